"""synaptic_delay, recurrent_lif and mps_lif: their laws, one clause a test; and what their specs refuse."""

import math

import numpy as np
import pytest

from operators import mps_lif, recurrent_lif, synaptic_delay
from pipeline.layer_spec import MPSLIFSpec, RecurrentLIFSpec, SynapticDelaySpec
from pipeline.packet import Format
from tests.packets import glue
from tests.test_lif import packet, spikes

MS = 1000
FORGETS_NOTHING = math.inf


def play(operator, *packets):
    return glue([*(operator.process(each) for each in packets), operator.finish()])


def synaptic(weight, delay_ms, **more):
    options = {"tau_ms": FORGETS_NOTHING, "threshold": 1.0, "tick_us": MS} | more
    spec = SynapticDelaySpec(np.array(weight), np.array(delay_ms) * MS, **options)
    return synaptic_delay.make(spec, Format("spikes", (spec.n_in,)))(None)


def recurrent(weight, back, delay_ms, **more):
    options = {"tau_ms": 0.0, "threshold": 1.0, "tick_us": MS} | more
    spec = RecurrentLIFSpec(np.array(weight), np.array(back), np.array(delay_ms) * MS, **options)
    return recurrent_lif.make(spec, Format("spikes", (spec.n_in,)))(None)


def test_each_synapse_delivers_after_its_own_delay():
    out = play(synaptic([[1.0, 1.0, 1.0]], [[0, 3, 7]]), packet(0, 2 * MS, (1500, 0)))
    assert spikes(out) == [(1 * MS, 0), (4 * MS, 1), (8 * MS, 2)]


def test_spikes_that_arrive_together_add_up_though_they_left_apart():
    delayed = synaptic([[0.5], [0.5]], [[4], [1]], tau_ms=0.0)
    out = play(delayed, packet(0, 9 * MS, (0, 0), (3 * MS, 1), (5 * MS, 1)))
    assert spikes(out) == [(4 * MS, 0)]


def test_what_is_underway_at_the_end_of_an_episode_is_delivered():
    out = play(synaptic([[1.0]], [[250]]), packet(0, 10 * MS, (0, 0), (9 * MS, 0)))
    assert spikes(out) == [(250 * MS, 0), (259 * MS, 0)]
    assert out.end_us == 260 * MS


def test_the_output_clock_runs_ahead_by_the_least_delay():
    operator = synaptic([[1.0, 1.0]], [[5, 8]])
    out = operator.process(packet(0, 2 * MS, (0, 0)))
    assert (out.begin_us, out.end_us) == (0, 7 * MS)
    assert spikes(out) == [(5 * MS, 0)]


def test_a_dendrite_delays_all_inputs_of_its_neuron_alike():
    out = play(synaptic([[1.0, 0.0], [0.0, 1.0]], [[2, 3]]), packet(0, MS, (0, 0), (0, 1)))
    assert spikes(out) == [(2 * MS, 0), (3 * MS, 1)]


def test_ticks_in_which_no_synapse_can_deliver_are_skipped():
    operator = synaptic([[0.5]], [[5]], tau_ms=20.0)
    operator.process(packet(0, 1000 * MS, (0, 0), (900 * MS, 0)))  # 894 silent ticks: one step of the closed form
    d = float(np.exp(-1 / 20).astype(np.float32))
    assert operator.snapshot()["v"][0] == np.float32(np.float32(0.5) * np.float32(d**900) + np.float32(0.5))


def test_a_spike_comes_back_at_the_next_tick_and_its_delay_later():
    out = play(recurrent([[1.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]], [3, 0]), packet(0, 9 * MS, (MS, 0)))
    assert spikes(out) == [(1 * MS, 0), (5 * MS, 1)]


def test_a_layer_that_excites_itself_fires_on_in_silence():
    out = play(recurrent([[1.0]], [[1.0]], [2]), packet(0, 10 * MS, (0, 0)))
    assert spikes(out) == [(k * 3 * MS, 0) for k in range(4)]


def test_arrivals_and_events_of_one_tick_add_up():
    out = play(recurrent([[1.0], [0.6]], [[0.5]], [0]), packet(0, 9 * MS, (0, 0), (MS, 1), (5 * MS, 1)))
    assert spikes(out) == [(0, 0), (MS, 0)]


def test_a_recurrent_layer_with_nothing_underway_skips_any_gap():
    operator = recurrent([[0.5]], [[1.0]], [1], tau_ms=20.0)
    operator.process(packet(0, 10**12, (10**12 - 5, 0)))  # 10^9 ticks: they cannot have been run one by one
    assert operator.snapshot()["v"][0] == np.float32(0.5)


def test_a_smoothed_membrane_remembers_longer_than_its_leak():
    half = 1 / math.log(2)  # k = 0.5; alpha = 0.5: hs keeps 0.75
    spec = MPSLIFSpec(np.array([[0.8]]), half, 1.0, 0.5, MS)
    operator = mps_lif.make(spec, Format("spikes", (1,)))(None)
    out = play(operator, packet(0, 4 * MS, (0, 0), (MS, 0), (2 * MS, 0)))
    # hs: 0, 0.4, 0.75 * 0.4 + 0.4 = 0.7 | h: 0.8, 1.0 -> a spike, and hs 0.3 + 0.5 * (0.8 - 1) = 0.2, h = 0.1 + 0.8
    assert spikes(out) == [(MS, 0)]


def test_a_smoothed_membrane_above_its_threshold_fires_again_in_silence():
    spec = MPSLIFSpec(np.array([[6.0]]), FORGETS_NOTHING, 1.0, 0.5, MS)
    out = play(mps_lif.make(spec, Format("spikes", (1,)))(None), packet(0, 9 * MS, (0, 0)))
    assert spikes(out) == [(k * MS, 0) for k in range(5)]  # h: 6, 2.5, 2, 1.5, 1


@pytest.mark.parametrize(("delay_us", "message"), [
    ([[1500]], "whole ticks of 1000 us"), ([[-1000]], "at least 0"), ([[1.0]], "whole microseconds"), ([1000], "shape"),
])
def test_delays_that_no_tick_can_keep_are_refused(delay_us, message):
    with pytest.raises(ValueError, match=message):
        SynapticDelaySpec(np.ones((1, 1)), np.array(delay_us), 1.0, 1.0, MS)


def test_recurrent_weights_must_be_square():
    with pytest.raises(ValueError, match=r"recurrent must have shape \(2, 2\)"):
        RecurrentLIFSpec(np.ones((1, 2)), np.ones((1, 2)), np.zeros(2, int), 1.0, 1.0, MS)


def test_alpha_must_leave_room_for_input():
    with pytest.raises(ValueError, match="below 1"):
        MPSLIFSpec(np.ones((1, 2)), 1.0, 1.0, 1.0, MS)


def test_layers_that_need_a_tick_say_so():
    with pytest.raises(ValueError, match="needs a tick"):
        MPSLIFSpec(np.ones((1, 2)), 1.0, 1.0, 0.5, None)
