"""readout: when a decision is given, on what evidence, of what value; exits; and what does not fit."""

import math

import numpy as np
import pytest
from pydantic import ValidationError

from operators import lif, readout
from operators.readout import ReadoutConfig
from pipeline.layer_spec import LIFSpec, ReadoutSpec
from pipeline.model_file import Model, save_model
from pipeline.packet import Format, Packet, decisions, join, same_events
from tests.packets import glue, recut

TWO = Format("spikes", (2,))
NAMES = ("left", "right")
COUNT = ReadoutSpec("spike_count", NAMES)  # the identity: unit c votes for class c
MEMBRANE = ReadoutSpec("membrane", NAMES, tau_ms=math.inf, tick_us=1000)
MAX_MEMBRANE = ReadoutSpec("max_membrane", NAMES, tau_ms=0.0, tick_us=1000)
SOFTMAX_SUM = ReadoutSpec("softmax_sum", NAMES, tau_ms=math.inf, tick_us=1000)


def packet(begin_us, end_us, *events, value=None):
    t_us, unit = zip(*events, strict=True) if events else ((), ())
    column = None if value is None else np.array(value, np.float32)
    return Packet(begin_us, end_us, np.array(t_us, np.int64), np.array(unit, np.uint32), column)


def outputs_of(spec, *packets, upstream=TWO, state=None, **options):
    operator = readout.make(spec, upstream, **options)(state)
    return [*(operator.process(each) for each in packets), operator.finish()]


def decided(out, classes=2):
    """[(t_us, values)] of the decisions in a packet."""
    assert out.unit.tolist() == list(range(classes)) * (out.n // classes)
    return [(int(out.t_us[k]), out.value[k : k + classes].tolist()) for k in range(0, out.n, classes)]


def times(out):
    return [t_us for t_us, _ in decided(out)]


def shares(*scores):
    """softmax"""
    return pytest.approx(np.exp(scores) / np.exp(scores).sum(), rel=1e-6)


# --- when ---


def test_decisions_come_at_multiples_of_every_ms_from_stream_time_zero_and_at_the_end():
    out = glue(outputs_of(COUNT, packet(1700, 4300, (1800, 0)), every_us=1000))
    assert times(out) == [1999, 2999, 3999, 4299]


def test_a_decision_comes_with_the_first_packet_that_reaches_its_time():
    outputs = outputs_of(COUNT, packet(0, 999, (5, 0)), packet(999, 1000), packet(1000, 2500), every_us=1000)
    assert [times(out) for out in outputs] == [[], [999], [1999], [2499]]


def test_an_episode_that_ends_when_a_decision_is_due_has_one_there_not_two():
    assert times(glue(outputs_of(COUNT, packet(0, 2000, (5, 0)), every_us=1000))) == [999, 1999]


def test_without_every_ms_there_is_one_decision_at_the_end():
    assert times(glue(outputs_of(COUNT, packet(0, 1000, (5, 0)), packet(1000, 7777)))) == [7776]


def test_without_evidence_there_is_no_decision():
    out = glue(outputs_of(COUNT, packet(0, 5000, (2500, 1)), every_us=1000))
    assert times(out) == [2999, 3999, 4999]
    assert glue(outputs_of(COUNT, packet(0, 5000), every_us=1000)).n == 0


def test_an_event_counts_for_the_decisions_after_it():
    out = glue(outputs_of(COUNT, packet(0, 2001, (999, 0), (1000, 1), (2000, 1)), every_us=1000))
    assert decided(out) == [(999, shares(1, 0)), (1999, shares(1, 1)), (2000, shares(1, 2))]


def test_every_decision_lies_inside_the_interval_of_its_packet_even_when_the_last_has_no_length():
    for outputs in (
        outputs_of(COUNT, packet(0, 1500, (5, 0)), packet(1500, 1500), every_us=1000),
        outputs_of(COUNT, packet(0, 2000, (5, 0)), packet(2000, 2000), every_us=1000),
        outputs_of(COUNT, packet(0, 1500, (5, 0)), packet(1500, 1500)),
    ):
        last = join(outputs[-2], outputs[-1])
        for out in (*outputs[:-2], last):
            out.check(Format("decisions", (2,)))
        assert times(glue(outputs))[-1] == glue(outputs).end_us - 1


def test_hours_of_decisions_fit_into_one_packet():
    out = glue(outputs_of(COUNT, packet(0, 10**8, (5, 0)), every_us=10_000))
    assert times(out) == list(range(9_999, 10**8, 10_000))


# --- what ---


def test_spike_count_weighs_the_counts_and_adds_the_bias():
    spec = ReadoutSpec("spike_count", NAMES, np.array([[0.5, 0], [0, 2], [1, 1]]), np.array([0.25, 0]))
    out = glue(outputs_of(spec, packet(0, 9, (1, 0), (2, 0), (2, 1), (3, 2)), upstream=Format("spikes", (3,))))
    assert decided(out) == [(8, shares(0.25 + 2 * 0.5 + 1, 2 + 1))]


def test_a_graded_event_counts_as_much_as_its_value():
    out = glue(outputs_of(COUNT, packet(0, 9, (1, 0), (2, 1), value=[1.5, -2]), upstream=Format("graded", (2,))))
    assert decided(out) == [(8, shares(1.5, -2))]


def test_the_temperature_divides_the_scores():
    events = packet(0, 9, (1, 0), (2, 0), (2, 1))
    assert decided(glue(outputs_of(COUNT, events, temperature=4))) == [(8, shares(0.5, 0.25))]
    hot = ReadoutSpec("spike_count", NAMES, temperature=2)
    assert decided(glue(outputs_of(hot, events))) == [(8, shares(1, 0.5))]


def test_great_scores_give_certainty_and_no_overflow():
    out = glue(outputs_of(COUNT, packet(0, 9, (1, 0), value=[1e30]), upstream=Format("graded", (2,))))
    assert decided(out) == [(8, [1.0, 0.0])]


def test_membrane_is_the_potential_after_the_last_closed_tick():
    spec = ReadoutSpec("membrane", NAMES, tau_ms=20, tick_us=1000, bias=np.array([0.0, 0.1]))
    d = float(spec.decay()[0])
    out = glue(outputs_of(spec, packet(0, 3000, (100, 0), (2700, 0)), every_us=2500))
    assert decided(out) == [(2499, shares(d, 0.1 + 0.1 * d)), (2999, shares(d * d + 1, 0.1 + 0.1 * d + 0.1 * d * d))]


def test_the_end_of_the_episode_closes_the_open_tick():
    assert decided(glue(outputs_of(MEMBRANE, packet(0, 1300, (100, 0), (1200, 1))))) == [(1299, shares(1, 1))]


def test_softmax_sum_adds_the_softmax_of_every_tick_silent_ones_too():
    out = glue(outputs_of(SOFTMAX_SUM, packet(0, 3000, (1500, 0))))
    share = 1 / (1 + math.exp(-1))
    assert decided(out) == [(2999, shares(0.5 + 2 * share, 0.5 + 2 * (1 - share)))]


def test_max_membrane_keeps_the_greatest_v_of_all_ticks():
    events = packet(0, 3000, (0, 0), (10, 0), (1000, 0), (1100, 1))
    assert decided(glue(outputs_of(MAX_MEMBRANE, events))) == [(2999, shares(2, 1))]


def test_the_window_of_a_max_membrane_forgets_the_ticks_before_it():
    events = packet(0, 3000, (0, 0), (10, 0), (1000, 0), (1100, 1))
    out = glue(outputs_of(MAX_MEMBRANE, events, every_us=1000, window_us=2000))
    assert decided(out) == [(999, shares(2, 0)), (1999, shares(2, 1)), (2999, shares(1, 1))]


def test_the_greatest_v_may_be_negative():
    falling = ReadoutSpec("max_membrane", NAMES, weight=-np.eye(2), bias=np.array([-0.5, -2]), tau_ms=0.0, tick_us=1000)
    assert decided(glue(outputs_of(falling, packet(0, 2000, (0, 0), (1000, 0))))) == [(1999, shares(-1.5, -2))]


def test_a_window_forgets_the_counts_before_it():
    out = glue(outputs_of(COUNT, packet(0, 5000, (500, 0), (1500, 1), (1600, 1)), every_us=1000, window_us=2000))
    assert decided(out) == [(999, shares(1, 0)), (1999, shares(1, 2)), (2999, shares(0, 2))]  # and then nothing is in it


def test_the_window_of_a_membrane_gives_the_mean_over_its_ticks():
    out = glue(outputs_of(MEMBRANE, packet(0, 6000, (0, 0), (2000, 0), (5000, 0)), every_us=2000, window_us=4000))
    assert decided(out) == [(1999, shares(1, 0)), (3999, shares(1.5, 0)), (5999, shares((2 + 2 + 2 + 3) / 4, 0))]


def test_the_window_of_a_softmax_sum_adds_over_its_ticks():
    out = glue(outputs_of(SOFTMAX_SUM, packet(0, 2000, (1000, 0)), every_us=1000, window_us=1000))
    share = 1 / (1 + math.exp(-1))
    assert decided(out) == [(1999, shares(share, 1 - share))]


# --- exits ---


def test_after_a_final_decision_it_is_silent_until_the_episode_ends():
    events = packet(0, 9000, (100, 0), (1100, 0), (1200, 0), (2100, 1))
    out = glue(outputs_of(COUNT, events, every_us=1000, exit_at=0.9))
    assert times(out) == [999, 1999]
    final = [decision.final for decision in decisions(out, Format("decisions", (2,), exit_at=0.9))]
    assert final == [False, True]


def test_a_decision_as_sure_as_exit_at_is_final():
    out = glue(outputs_of(COUNT, packet(0, 9000, (100, 0), (100, 1), (3000, 1)), every_us=1000, exit_at=0.5))
    assert decided(out) == [(999, [0.5, 0.5])]


def test_rearmed_it_starts_from_nothing_instead():
    events = packet(0, 6000, (100, 0), (200, 0), (300, 0), (3100, 1), (4100, 1), (4200, 1))
    for spec in (COUNT, MEMBRANE):
        out = glue(outputs_of(spec, events, every_us=1000, exit_at=0.9, rearm=True))
        assert decided(out) == [(999, shares(3, 0)), (3999, shares(0, 1)), (4999, shares(0, 3))]


def test_resuming_after_an_exit_stays_silent():
    make = readout.make(COUNT, TWO, every_us=1000, exit_at=0.6)
    operator = make(None)
    assert operator.process(packet(0, 1500, (5, 0))).n == 2
    resumed = make(operator.snapshot())
    assert glue([resumed.process(packet(1500, 4000, (1600, 1))), resumed.finish()]).n == 0
    assert resumed.report() == {"decisions": 1}


# --- packets ---


@pytest.mark.parametrize("spec", [COUNT, MEMBRANE, SOFTMAX_SUM])
def test_resuming_anywhere_gives_the_same_bits(spec):
    rng = np.random.default_rng(4)
    episode = Packet(300, 40_000, np.sort(rng.integers(300, 40_000, 200)), rng.integers(0, 2, 200).astype(np.uint32))
    packets = recut(episode, list(range(700, 40_000, 700)))
    options = {"every_us": 3000, "window_us": 9000, "exit_at": 0.99, "rearm": True}
    expected = glue(outputs_of(spec, *packets, **options))
    make, outputs = readout.make(spec, TWO, **options), []
    operator = make(None)
    for each in packets:
        operator = make(operator.snapshot())
        outputs.append(operator.process(each))
    assert expected.n > 20
    assert same_events(glue([*outputs, operator.finish()]), expected)


def test_behind_a_layer_the_spikes_of_the_tick_just_closed_count():
    layer = lif.make(LIFSpec(np.array([[1.0, 0.0]]), 5.0, 1.0, 10_000), Format("spikes", (1,)))(None)
    out = layer.process(packet(0, 50_000, (49_990, 0)))
    for spec in (COUNT, ReadoutSpec("membrane", NAMES, tau_ms=20.0, tick_us=10_000)):
        operator = readout.make(spec, Format("spikes", (2,), 10_000), every_us=50_000)(None)
        assert decided(operator.process(out)) == [(49_999, shares(1, 0))]


def test_an_episode_of_no_packet_gives_nothing():
    assert readout.make(COUNT, TWO)(None).finish().n == 0


# --- what fits ---


@pytest.fixture
def model(tmp_path):
    save_model(tmp_path / "m.safetensors", Model(TWO, {"out": COUNT, "sum": SOFTMAX_SUM}))
    return tmp_path / "m.safetensors"


def test_the_format_that_comes_out_names_the_classes_of_the_model(model):
    config = ReadoutConfig(model=model, layer="out", every_ms=1, exit_at=0.75)
    assert config.check(TWO) == Format("decisions", (2,), names=NAMES, exit_at=0.75)


def test_the_config_makes_the_layer_of_the_file_with_its_options(model):
    config = ReadoutConfig(model=model, layer="out", every_ms=1, window_ms=2, exit_at=0.99, rearm=True, temperature=0.1)
    operator = config.prepare(TWO)(None)
    out = operator.process(packet(0, 5000, (500, 0), (1600, 1), (1700, 1), (3100, 0)))
    assert decided(out) == [(999, shares(10, 0)), (1999, shares(0, 20)), (3999, shares(10, 0))]


@pytest.mark.parametrize(("upstream", "complaint"), [
    (Format("spikes", (3,)), "'sum' of .* has 2 inputs, got spikes of shape 3"),
    (Format("decisions", (2,)), "takes spikes or graded events"),
    (Format("spikes", (2,), 700), "runs on ticks of 1 ms, got spikes of shape 2 on a 0.7 ms tick"),
    (Format("spikes", (2,), names=("left", "up")), "does not know the class 'up' of the stream; it knows left, right"),
    (Format("spikes", (2,), names=("right", "left")), "numbers the classes left, right, the stream right, left"),
])  # fmt: skip
def test_what_does_not_fit_is_one_clear_line(model, upstream, complaint):
    with pytest.raises(ValueError, match=complaint) as refusal:
        ReadoutConfig(model=model, layer="sum").check(upstream)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("options", "complaint"), [
    ({"window_ms": 10}, "window_ms must be a whole number of every_ms, got 10 and every_ms not given"),
    ({"window_ms": 10, "every_ms": 3}, "got 10 and every_ms 3"),
    ({"window_ms": 1000, "every_ms": 0.001}, "100000 times every_ms at most"),
    ({"rearm": True}, "give exit_at"),
    ({"exit_at": 1.5}, "less than or equal to 1"),
    ({"temperature": 0}, "greater than or equal to 0.000001"),
    ({"temperature": 1e-320}, "greater than or equal to 0.000001"),  # 0 as a float32
    ({"every_ms": 1e18}, "must be at most 1e\\+12 ms, got 1e\\+18"),
])  # fmt: skip
def test_options_that_do_not_go_together_are_refused(options, complaint):
    with pytest.raises(ValidationError, match=complaint):
        ReadoutConfig(model="m.safetensors", layer="out", **options)
