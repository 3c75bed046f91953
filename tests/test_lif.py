"""lif: the law of the tick, one clause a test; what goes in and what comes out; and what does not fit."""

import math

import numpy as np
import pytest

from operators import delay, lif
from operators.lif import LIFConfig
from pipeline.layer_spec import DelaySpec, LIFSpec
from pipeline.model_file import Model, save_model
from pipeline.packet import Format, Packet, same_events
from tests import naive
from tests.packets import glue, recut

ONE = Format("spikes", (1,))
TWO = Format("spikes", (2,))


def packet(begin_us, end_us, *events, graded=False):
    """events: (t_us, unit) or (t_us, unit, value)."""
    t_us, unit, *value = zip(*events, strict=True) if events else ((), ())
    column = np.array(value[0] if value else (), np.float32) if graded else None
    return Packet(begin_us, end_us, np.array(t_us, np.int64), np.array(unit, np.uint32), column)


def neuron(weight=0.6, tau_ms=math.inf, threshold=1.0, tick_us=1000, **more):
    return LIFSpec(np.array([[weight]]) if np.isscalar(weight) else np.array(weight), tau_ms, threshold, tick_us, **more)


def spikes(out):
    return list(zip(out.t_us.tolist(), out.unit.tolist(), strict=True))


def play(spec, *packets, upstream=ONE):
    operator = lif.make(spec, upstream)(None)
    return glue([*(operator.process(packet) for packet in packets), operator.finish()])


# --- the law ---


def test_two_spikes_of_one_unit_in_one_tick_count_twice():
    assert spikes(play(neuron(0.6), packet(0, 3000, (1200, 0), (1200, 0)))) == [(1000, 0)]


def test_a_neuron_at_its_threshold_fires():
    assert spikes(play(neuron(1.0), packet(0, 1000, (5, 0)))) == [(0, 0)]


def test_reset_by_subtraction_keeps_what_was_above_the_threshold():
    out = play(neuron(0.75, reset="subtract"), packet(0, 3000, (0, 0), (1000, 0), (2000, 0)))
    assert spikes(out) == [(1000, 0), (2000, 0)]  # v: 0.75, 1.5 -> 0.5, 1.25


def test_reset_to_zero_forgets_what_was_above_the_threshold():
    out = play(neuron(0.75, reset="to_zero"), packet(0, 3000, (0, 0), (1000, 0), (2000, 0)))
    assert spikes(out) == [(1000, 0)]


def test_a_neuron_still_above_its_threshold_after_the_reset_fires_again_in_silence():
    assert spikes(play(neuron(3.5), packet(0, 9000, (0, 0)))) == [(0, 0), (1000, 0), (2000, 0)]


def test_in_event_mode_it_fires_again_a_microsecond_later():
    assert spikes(play(neuron(3.5, tick_us=None), packet(0, 9000, (40, 0)))) == [(40, 0), (41, 0), (42, 0)]


def test_in_event_mode_all_events_of_a_microsecond_are_added_before_one_comparison():
    spec = neuron([[1.4], [-1.0]], tick_us=None)
    assert spikes(play(spec, packet(0, 9, (4, 0), (4, 1), (5, 0)), upstream=TWO)) == [(5, 0)]


def test_the_decay_over_a_gap_is_the_power_of_the_stored_decay():
    spec = neuron(0.7, tau_ms=20)
    operator = lif.make(spec, ONE)(None)
    operator.process(packet(0, 600_000, (0, 0), (500_000, 0)))
    d = float(spec.decay()[0])
    assert operator.snapshot()["v"][0] == np.float32(0.7) * np.float32(d**500) + np.float32(0.7)


def test_tau_zero_keeps_nothing_and_tau_infinite_everything():
    spec = LIFSpec(np.array([[0.6, 0.6]]), np.array([0.0, math.inf]), 1.0, 1000)
    assert spikes(play(spec, packet(0, 10**9, (0, 0), (10**9 - 1, 0)))) == [(10**9 - 1000, 1)]


def test_a_graded_event_multiplies_the_weights_with_its_value():
    graded = Format("graded", (1,))
    out = play(neuron(0.5), packet(0, 2000, (0, 0, 1.5), (1000, 0, 0.5), graded=True), upstream=graded)
    assert spikes(out) == [(1000, 0)]


def test_ticks_are_counted_from_stream_time_zero_wherever_the_episode_begins():
    out = play(neuron(0.6), packet(1_234_567, 1_236_100, (1_234_999, 0), (1_235_000, 0), (1_235_999, 0)))
    assert (out.begin_us, out.end_us, spikes(out)) == (1_234_000, 1_237_000, [(1_235_000, 0)])


def test_a_bias_that_reaches_the_threshold_makes_a_neuron_fire_in_silence():
    spec = neuron(0.0, tau_ms=20, bias=np.array([0.3]))
    out = play(spec, packet(0, 9000))
    assert spikes(out) == [(3000, 0), (7000, 0)]  # d = 0.951; v: 0.3, 0.585, 0.857, 1.115 -> 0.115, 0.409, 0.689, 0.955, 1.209


def test_a_bias_that_stays_below_the_threshold_is_skipped_and_arrives_at_its_rest():
    spec = neuron(0.001, tau_ms=20, bias=np.array([0.04]))
    operator = lif.make(spec, ONE)(None)
    operator.process(packet(0, 10**12, (10**12 - 5, 0)))  # 10^9 ticks: they cannot have been run one by one
    assert operator.snapshot()["v"][0] == pytest.approx(0.04 / (1 - float(spec.decay()[0])) + 0.001, rel=1e-6)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("tick_us", [None, 1000])
def test_skipping_silence_gives_the_spikes_of_running_every_tick(seed, tick_us):
    rng = np.random.default_rng(seed)
    scale = 1 if tick_us else 0.01
    t_us = np.sort(rng.choice(rng.integers(0, 60_000 * scale, 25), 60))
    episode = Packet(0, int(60_000 * scale), t_us, rng.integers(0, 4, 60).astype(np.uint32))
    bias = rng.choice([0.0, 0.01, 0.2, -0.1], 5) if tick_us else None
    reset = ("subtract", "to_zero")[seed % 2]
    spec = LIFSpec(rng.normal(0.2, 0.6, (4, 5)), rng.choice([0.2, 5, 40], 5), rng.uniform(0.5, 1.5, 5), tick_us, reset, bias)
    truth, nearest = naive.lif_every_tick(spec, episode)
    assert nearest > 1e-5  # so that rounding decides nothing
    assert truth
    assert spikes(play(spec, episode, upstream=Format("spikes", (4,)))) == truth


@pytest.mark.parametrize("n_out", [1, 31, 33, 64, 65, 130])
@pytest.mark.parametrize("reset", ["subtract", "to_zero"])
def test_any_number_of_neurons_and_of_events_a_tick_equals_the_plain_truth(n_out, reset):
    rng = np.random.default_rng(n_out)
    counts = rng.permutation(24)  # events in tick k: every number from none to more than two groups of eight
    t_us = np.repeat(np.arange(24) * 1000, counts)
    episode = Packet(0, 24_000, t_us, rng.integers(0, 9, t_us.size).astype(np.uint32))
    weight = rng.normal(0.02, 0.2, (9, n_out))
    weight[:, 0] = -0.0  # zeros keep their sign
    spec = LIFSpec(weight, 20.0, 1.0, 1000, reset)
    operator = lif.make(spec, Format("spikes", (9,)))(None)
    out = glue([*(operator.process(packet) for packet in recut(episode, [300, 7001, 7002, 15_500])), operator.finish()])
    truth, v = naive.lif(spec, episode)
    assert truth or n_out == 1
    assert spikes(out) == truth
    assert operator.snapshot()["v"].tobytes() == np.array(v, np.float32).tobytes()


# --- packets ---


def test_spikes_come_out_in_the_packet_that_closes_their_tick():
    operator = lif.make(neuron(1.0), ONE)(None)
    outputs = [operator.process(each) for each in (packet(0, 400, (300, 0)), packet(400, 999), packet(999, 1001))]
    assert [(out.begin_us, out.end_us, spikes(out)) for out in outputs] == [(0, 0, []), (0, 0, []), (0, 1000, [(0, 0)])]


def test_finish_closes_the_open_tick():
    operator = lif.make(neuron(1.0), ONE)(None)
    operator.process(packet(0, 1500, (1400, 0)))
    out = operator.finish()
    assert (out.begin_us, out.end_us, spikes(out)) == (1000, 2000, [(1000, 0)])


def test_in_event_mode_the_output_reaches_as_far_as_the_input():
    operator = lif.make(neuron(1.0, tick_us=None), ONE)(None)
    out = operator.process(packet(7, 13, (12, 0)))
    assert (out.begin_us, out.end_us, spikes(out)) == (7, 13, [(12, 0)])


def test_more_spikes_than_the_output_buffer_holds_all_come_out():
    n_out = 5000
    spec = LIFSpec(np.full((1, n_out), 7.5, np.float32), math.inf, 1.0, 1000)
    out = play(spec, packet(0, 20_000, (0, 0)))
    assert out.n == 7 * n_out
    assert spikes(out) == [(k * 1000, j) for k in range(7) for j in range(n_out)]


def test_an_episode_of_no_packet_and_one_of_no_length_give_nothing():
    operator = lif.make(neuron(), ONE)(None)
    assert operator.finish().n == 0
    out = play(neuron(), packet(1500, 1500))
    assert (out.begin_us, out.end_us, out.n) == (1000, 2000, 0)


def test_a_chain_of_layers_and_a_delay_adds_no_tick_of_lag():
    first, second = lif.make(neuron(1.0), ONE)(None), lif.make(neuron(1.0), ONE)(None)
    between = delay.make(DelaySpec(np.array([2000])), ONE)(None)
    out = packet(0, 5300, (0, 0), (5200, 0))
    for operator in (first, between, second):
        out = glue([operator.process(out), operator.finish()])
    assert (out.end_us, spikes(out)) == (8000, [(2000, 0), (7000, 0)])


def test_the_report_counts_spikes_and_synaptic_operations_and_goes_on_after_a_resume():
    spec = LIFSpec(np.ones((2, 3)), 5.0, 1.0, 1000)
    make = lif.make(spec, TWO)
    operator = make(None)
    operator.process(packet(0, 2500, (0, 0), (2400, 1)))
    assert operator.report() == {"spikes": 3, "synaptic_operations": 6}  # the second event waits in v for its tick to close
    resumed = make(operator.snapshot())
    resumed.finish()
    assert resumed.report() == {"spikes": 6, "synaptic_operations": 6}


def test_resuming_inside_a_tick_gives_the_same_bits():
    rng = np.random.default_rng(3)
    episode = Packet(0, 50_000, np.sort(rng.integers(0, 50_000, 300)), rng.integers(0, 2, 300).astype(np.uint32))
    make = lif.make(LIFSpec(rng.normal(0.2, 0.5, (2, 6)), rng.uniform(1, 30, 6), 1.0, 7000), TWO)
    packets = recut(episode, list(range(1000, 50_000, 1000)))
    whole, operator, outputs = make(None), make(None), []
    expected = glue([*(whole.process(packet) for packet in packets), whole.finish()])
    for each in packets:
        operator = make(operator.snapshot())
        outputs.append(operator.process(each))
    assert expected.n > 20
    assert same_events(glue([*outputs, operator.finish()]), expected)


# --- what fits ---


@pytest.fixture
def model(tmp_path):
    layers = {"hidden": LIFSpec(np.ones((8, 3)), 5.0, 1.0, 10_000), "later": DelaySpec(np.zeros(3, int)),
              "free": LIFSpec(np.ones((8, 3)), 5.0, 1.0, None)}
    save_model(tmp_path / "m.safetensors", Model(Format("spikes", (2, 2, 2)), layers))
    return tmp_path / "m.safetensors"


def test_the_format_that_comes_out_keeps_the_class_names(model):
    upstream = Format("spikes", (2, 2, 2), tick_us=5000, names=("a", "b"))
    assert LIFConfig(model=model, layer="hidden").check(upstream) == Format("spikes", (3,), 10_000, names=("a", "b"))
    assert LIFConfig(model=model, layer="free").check(upstream) == Format("spikes", (3,), None, names=("a", "b"))


def test_the_config_makes_the_layer_of_the_file(model):
    operator = LIFConfig(model=model, layer="hidden").prepare(Format("spikes", (8,)))(None)
    assert spikes(operator.process(packet(0, 10_000, (3, 7)))) == [(0, 0), (0, 1), (0, 2)]


@pytest.mark.parametrize(("layer", "upstream", "complaint"), [
    ("hidden", Format("spikes", (9,)), r"'hidden' of .*m.safetensors has 8 inputs, got spikes of shape 9 \(9 units\)"),
    ("hidden", Format("decisions", (8,)), "takes spikes or graded events, got decisions"),
    ("hidden", Format("spikes", (8,), 3000), "runs on ticks of 10 ms, got spikes of shape 8 on a 3 ms tick"),
    ("hidden", Format("spikes", (8,), 20_000), "whole multiple"),
    ("later", Format("spikes", (8,)), "m.safetensors: layer 'later' is a delay, not a lif"),
    ("hiden", Format("spikes", (8,)), r"m.safetensors: the model has no layer 'hiden'; it has hidden \(lif\)"),
])  # fmt: skip
def test_what_does_not_fit_is_one_clear_line(model, layer, upstream, complaint):
    with pytest.raises(ValueError, match=complaint) as refusal:
        LIFConfig(model=model, layer=layer).check(upstream)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_is_one_clear_line(tmp_path):
    with pytest.raises(ValueError, match="no such model file"):
        LIFConfig(model=tmp_path / "none.safetensors", layer="hidden").check(ONE)
