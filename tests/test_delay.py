"""delay: when events come out, in what order, and that none is lost, however long it is held."""

import numpy as np
import pytest
from pydantic import ValidationError

from operators import delay
from operators.delay import DelayConfig
from pipeline.layer_spec import DelaySpec, LIFSpec
from pipeline.model_file import Model, save_model
from pipeline.packet import Format, Packet, same_events
from tests import naive
from tests.packets import columns, glue, recut

THREE = Format("spikes", (3,))
GRADED = Format("graded", (3,))


def packet(begin_us, end_us, *events, graded=False):
    t_us, unit, *value = zip(*events, strict=True) if events else ((), ())
    column = np.array(value[0] if value else (), np.float32) if graded else None
    return Packet(begin_us, end_us, np.array(t_us, np.int64), np.array(unit, np.uint32), column)


def operator_of(*delay_us, upstream=THREE, state=None):
    return delay.make(DelaySpec(np.array(delay_us)), upstream)(state)


def events(out):
    return list(zip(*(column.tolist() for column in columns(out)), strict=True))


def interval(out):
    return out.begin_us, out.end_us


def test_every_unit_has_its_own_delay():
    operator = operator_of(0, 5, 300)
    outputs = [operator.process(packet(0, 10, (2, 2), (3, 1), (4, 0))), operator.process(packet(10, 400))]
    assert [events(out) for out in outputs] == [[(4, 0), (8, 1)], [(302, 2)]]


def test_the_output_clock_runs_ahead_by_the_least_delay():
    operator = operator_of(20, 50, 20)
    outputs = [operator.process(packet(100, 200)), operator.process(packet(200, 200)), operator.process(packet(200, 230))]
    assert [interval(out) for out in outputs] == [(100, 220), (220, 220), (220, 250)]
    assert interval(operator.finish()) == (250, 280)


def test_an_event_comes_out_as_soon_as_nothing_earlier_can_follow():
    operator = operator_of(20, 50, 20)
    assert events(operator.process(packet(0, 10, (7, 0), (8, 1)))) == [(27, 0)]  # up to 10 + 20
    assert events(operator.process(packet(10, 38))) == []
    assert events(operator.process(packet(38, 39))) == [(58, 1)]


def test_events_come_out_sorted_by_time_and_unit_and_equals_in_the_order_they_came():
    operator = operator_of(10, 5, 0, upstream=GRADED)
    out = operator.process(packet(0, 100, (0, 0, 1.0), (5, 1, 2.0), (10, 2, 4.0), (10, 2, 3.0), (10, 0, 9.0), graded=True))
    assert events(out) == [(10, 0, 1.0), (10, 1, 2.0), (10, 2, 4.0), (10, 2, 3.0), (20, 0, 9.0)]


def test_delay_longer_than_the_recording_is_flushed():
    operator = operator_of(10**9, 3, 10**12)
    assert operator.process(packet(0, 1000, (5, 0), (6, 1), (7, 2))).n == 1
    out = operator.finish()
    assert (out.end_us, events(out)) == (1000 + 10**12, [(10**9 + 5, 0), (10**12 + 7, 2)])


def test_an_episode_of_no_packet_gives_nothing():
    assert operator_of(5, 5, 5).finish().n == 0


def test_empty_packets_of_a_graded_stream_have_values():
    operator = operator_of(5, 7, 9, upstream=GRADED)
    for out in (operator.process(packet(0, 10, graded=True)), operator.finish()):
        out.check(GRADED)


def test_events_wait_through_long_silence():
    operator = operator_of(0, 2_000_000, 9)
    outputs = [operator.process(packet(0, 1, (0, 1)))]
    outputs += [operator.process(packet(begin, begin + 999)) for begin in range(1, 1_999_000, 999)]
    assert sum(out.n for out in outputs) == 0
    assert events(operator.process(packet(outputs[-1].end_us, 2_000_001))) == [(2_000_000, 1)]


@pytest.mark.parametrize("upstream", [Format("spikes", (700,)), Format("graded", (700,))])
@pytest.mark.parametrize("packet_us", [50, 1000, 400_000])
def test_tens_of_thousands_of_events_wait_at_once_and_none_is_lost(upstream, packet_us):
    rng = np.random.default_rng(1)
    t_us = np.sort(rng.integers(0, 100_000, 30_000))
    value = rng.normal(size=30_000).astype(np.float32) if upstream.kind == "graded" else None
    episode = Packet(0, 100_000, t_us, rng.integers(0, 700, 30_000).astype(np.uint32), value)
    spec = DelaySpec(rng.integers(0, 300_000, 700))
    operator = delay.make(spec, upstream)(None)
    packets = recut(episode, list(range(packet_us, 100_000, packet_us)))
    out = glue([*(operator.process(each) for each in packets), operator.finish()])
    truth = naive.delay(spec, episode)
    assert out.t_us.tolist() == [t for t, _, _ in truth]
    assert out.unit.tolist() == [unit for _, unit, _ in truth]
    assert value is None or out.value.tolist() == [float(x) for _, _, x in truth]


def test_resuming_with_events_on_their_way_gives_the_same_bits():
    rng = np.random.default_rng(2)
    episode = Packet(500, 60_000, np.sort(rng.integers(500, 60_000, 900)), rng.integers(0, 3, 900).astype(np.uint32))
    packets = recut(episode, list(range(1000, 60_000, 1000)))
    whole = operator_of(100, 70_000, 2500)
    expected = glue([*(whole.process(each) for each in packets), whole.finish()])
    operator, outputs = operator_of(100, 70_000, 2500), []
    for each in packets:
        operator = operator_of(100, 70_000, 2500, state=operator.snapshot())
        outputs.append(operator.process(each))
    assert same_events(glue([*outputs, operator.finish()]), expected)


# --- what fits ---


@pytest.mark.parametrize(("delays_ms", "tick_us", "kept"), [((10, 0, 50), 10_000, 10_000), ((10, 5, 0), 10_000, None),
                                                            ((1, 2, 3), None, None)])  # fmt: skip
def test_the_tick_is_kept_if_every_delay_is_a_multiple_of_it(delays_ms, tick_us, kept):
    upstream = Format("spikes", (3,), tick_us, names=("a",))
    assert DelayConfig(delays_ms=delays_ms).check(upstream) == Format("spikes", (3,), kept, names=("a",))


def test_one_delay_serves_all_units():
    operator = DelayConfig(delay_ms=0.0015).prepare(Format("graded", (2, 2)))(None)
    assert events(operator.process(packet(0, 9, (1, 3, 0.5), (2, 0, 1.5), graded=True))) == [(3, 3, 0.5), (4, 0, 1.5)]


def test_the_config_makes_the_layer_of_the_file(tmp_path):
    layers = {"hidden_delay": DelaySpec(np.array([0, 4, 8])), "hidden": LIFSpec(np.ones((3, 3)), 5.0, 1.0, 10_000)}
    save_model(tmp_path / "m.safetensors", Model(THREE, layers))
    config = DelayConfig(model=tmp_path / "m.safetensors", layer="hidden_delay")
    assert config.check(Format("spikes", (3,), 1000)) == THREE
    assert events(config.prepare(THREE)(None).process(packet(0, 9, (1, 1), (2, 0)))) == [(2, 0), (5, 1)]
    with pytest.raises(ValueError, match=r"'hidden_delay' of .* has 3 inputs, got spikes of shape 4"):
        config.check(Format("spikes", (4,)))


@pytest.mark.parametrize(("options", "complaint"), [
    ({}, "exactly one of model, delay_ms and delays_ms, got none"),
    ({"delay_ms": 1, "delays_ms": [1]}, "got delay_ms and delays_ms"),
    ({"model": "m.safetensors"}, "model and layer belong together"),
    ({"delay_ms": 1, "layer": "hidden"}, "model and layer belong together"),
    ({"delays_ms": [1, -1]}, "one delay of 0 to"),
    ({"delays_ms": []}, "one delay"),
    ({"delay_ms": -1}, "greater than or equal to 0"),
])  # fmt: skip
def test_options_that_do_not_go_together_are_refused(options, complaint):
    with pytest.raises(ValidationError, match=complaint):
        DelayConfig(**options)


@pytest.mark.parametrize(("upstream", "complaint"), [
    (Format("spikes", (4,)), "the delay has 3 inputs, got spikes of shape 4"),
    (Format("decisions", (3,)), "takes spikes or graded events"),
])  # fmt: skip
def test_a_stream_that_does_not_fit_is_refused(upstream, complaint):
    with pytest.raises(ValueError, match=complaint):
        DelayConfig(delays_ms=(1, 2, 3)).check(upstream)
