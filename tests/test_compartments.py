"""two_compartment and ei_lif: their laws, one clause a test; and what their specs refuse."""

import math

import numpy as np
import pytest

from operators import ei_lif, two_compartment
from pipeline.layer_spec import EILIFSpec, TwoCompartmentSpec
from pipeline.packet import Format
from tests.packets import glue
from tests.test_lif import packet, spikes

MS = 1000


def play(operator, *packets):
    return glue([*(operator.process(each) for each in packets), operator.finish()])


def compartments(weight, keep_slow=0.8, keep_fast=0.3, **more):
    slow_ms, fast_ms = -1 / math.log(keep_slow), -1 / math.log(keep_fast)
    spec = TwoCompartmentSpec(np.array(weight), slow_ms, fast_ms, 1.0, MS, **more)
    return two_compartment.make(spec, Format("spikes", (spec.n_in,)))(None)


def balanced(weight_e, weight_i, weight_ei, **more):
    options = {"gain_e": 1.0, "gain_i": 1.0, "tau_ms": 0.0, "threshold": 1.0, "tick_us": MS} | more
    spec = EILIFSpec(np.array(weight_e), np.array(weight_i), np.array(weight_ei), **options)
    return ei_lif.make(spec, Format("spikes", (spec.n_in,)))(None)


def test_the_fast_compartment_hears_the_slow_one_of_the_same_tick():
    operator = compartments([[2.0]])
    operator.process(packet(0, MS, (0, 0)))
    held = operator.snapshot()
    assert held["slow"][0] == pytest.approx(0.4)
    assert held["fast"][0] == pytest.approx(0.7 * 2 - 0.8 * 0.4 - 1)  # 1.08: a spike, which takes 1


def test_a_spike_of_each_compartment_has_its_own_value():
    gains = {"gain_slow": 0.25, "gain_fast": 2.0}
    fast, both = (play(compartments([[weight]], **gains), packet(0, MS, (0, 0))) for weight in (2.0, 8.0))
    assert (fast.value.tolist(), both.value.tolist()) == ([2.0], [2.25])


def test_a_slow_compartment_below_zero_makes_the_fast_one_fire_in_silence():
    late = compartments([[-1.2]], keep_slow=0.9, keep_fast=0.9, input_slow=1.0, input_fast=0.0, to_slow=0.0)
    # slow: -1.2, -1.08 | fast: 0.96, 0.9 * 0.96 + 0.8 * 1.08 = 1.728
    assert spikes(play(late, packet(0, 9 * MS, (0, 0))))[0] == (1 * MS, 0)


def test_calm_compartments_skip_any_gap():
    operator = compartments([[0.5]])
    operator.process(packet(0, 10**12, (10**12 - 5, 0)))  # 10^9 ticks: they cannot have been run one by one
    assert operator.snapshot()["slow"][0] == np.float32(0.1)


def test_compartments_that_drive_each_other_without_end_are_refused():
    with pytest.raises(ValueError, match="without end in silence"):
        TwoCompartmentSpec(np.ones((1, 1)), 100.0, 100.0, 1.0, MS, to_slow=1.0, to_fast=1.0)


def test_twice_the_input_gives_the_same_current():
    for events in ([(0, 0)], [(0, 0), (0, 0)], [(0, 0)] * 9):
        operator = balanced([[3.0]], [[1.0]], [[0.5]], threshold=100.0, tau_ms=math.inf)
        operator.process(packet(0, MS, *events))
        assert operator.snapshot()["v"][0] == (3 - 0.5) / 0.5


def test_inhibition_that_outweighs_excitation_lowers_v():
    operator = balanced([[0.0], [1.0]], [[1.0], [0.0]], [[0.5]], tau_ms=math.inf)
    operator.process(packet(0, MS, (0, 0)))
    assert operator.snapshot()["v"][0] == -1


def test_input_that_no_inhibitory_neuron_hears_counts_for_nothing():
    assert spikes(play(balanced([[9.0]], [[0.0]], [[1.0]]), packet(0, MS, (0, 0)))) == []


def test_a_balanced_neuron_with_a_bias_may_fire_in_silence():
    out = play(balanced([[1.0]], [[1.0]], [[1.0]], bias=np.array([0.5]), tau_ms=math.inf), packet(0, 4 * MS))
    assert spikes(out) == [(1 * MS, 0), (3 * MS, 0)]


def test_negative_weights_are_refused():
    with pytest.raises(ValueError, match="inhibition has its own neurons"):
        EILIFSpec(-np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)), 1.0, 1.0, 1.0, 1.0, MS)


def test_weights_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="fit together"):
        EILIFSpec(np.ones((2, 3)), np.ones((2, 1)), np.ones((2, 3)), 1.0, 1.0, 1.0, 1.0, MS)
