"""The kernels of two_compartment and ei_lif against the slow plain truth of tests/naive_compartments.py, bit for bit, on random
layers, recordings and cuts; and the kernels without their compiler."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from operators import ei_lif, two_compartment
from pipeline.layer_spec import EILIFSpec, TwoCompartmentSpec
from tests import naive_compartments as naive
from tests.test_parity_delays import RESETS, TAUS, TICK_US, biases, matrices
from tests.test_parity_kernels import bits, cuts, episodes, floats, play, stream, vectors

MANY = 8 if numba.config.DISABLE_JIT else 25


@st.composite
def two_compartment_specs(draw):
    n_in, n_out = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    strength = {"to_slow": 0.1, "to_fast": 0.8, "gain_slow": 1.0, "gain_fast": 0.5}
    of = {name: draw(vectors(st.sampled_from([0.0, x, -x]), n_out)) for name, x in strength.items()}
    of |= {name: draw(floats(0, 1)) for name in ("input_slow", "input_fast", "reset_slow", "reset_fast")}
    slow_ms, fast_ms = draw(TAUS | vectors(TAUS, n_out)), draw(st.sampled_from([0.0, 0.8, 3.0]))
    weight, threshold = matrices(draw, n_in, n_out), draw(floats(0.125, 2))
    try:
        return TwoCompartmentSpec(weight, slow_ms, fast_ms, threshold, TICK_US, **of)
    except ValueError:
        reject()  # it would grow in silence


@st.composite
def ei_specs(draw):
    n_in, n_out, n_inhibitory = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    weights = [matrices(draw, *shape, 0) for shape in ((n_in, n_out), (n_in, n_inhibitory), (n_inhibitory, n_out))]
    return EILIFSpec(*weights, draw(floats(0.25, 3)), draw(floats(0.25, 3)), draw(TAUS | vectors(TAUS, n_out)),
                     draw(floats(0.125, 2)), TICK_US, draw(RESETS), biases(draw, n_out))


@settings(deadline=None, derandomize=True, max_examples=MANY)
@given(st.data())
def test_two_compartment_equals_the_plain_truth_bit_for_bit(data):
    spec = data.draw(two_compartment_specs())
    episode = data.draw(episodes(spec.n_in, 20_000))
    operator = two_compartment.make(spec, stream(spec.n_in, episode))(None)
    out, (events, state) = play(operator, cuts(data.draw, episode)), naive.two_compartment(spec, episode)
    assert list(zip(out.t_us.tolist(), out.unit.tolist(), strict=True)) == [event[:2] for event in events]
    assert out.value.tobytes() == bits([value for _, _, value in events])
    held = operator.snapshot()
    assert held["slow"].tobytes() + held["fast"].tobytes() == bits(state)


@settings(deadline=None, derandomize=True, max_examples=MANY)
@given(st.data())
def test_ei_lif_equals_the_plain_truth_bit_for_bit(data):
    spec = data.draw(ei_specs())
    episode = data.draw(episodes(spec.n_in, 20_000))
    operator = ei_lif.make(spec, stream(spec.n_in, episode))(None)
    out = play(operator, cuts(data.draw, episode))
    spikes, v = naive.ei_lif(spec, episode)
    assert list(zip(out.t_us.tolist(), out.unit.tolist(), strict=True)) == spikes
    assert operator.snapshot()["v"].tobytes() == bits(v)


@settings(deadline=None, derandomize=True, max_examples=MANY)
@given(st.data(), st.integers(0, 2**32 - 1))
def test_skipped_gaps_of_two_compartments_hide_no_spike(data, seed):
    rng = np.random.default_rng(seed)
    spec = TwoCompartmentSpec(rng.normal(0, 2, (2, 3)), rng.uniform(1, 6, 3), rng.uniform(0.5, 3, 3), 1.0, TICK_US,
                              to_slow=rng.uniform(-0.1, 0.1, 3), to_fast=rng.uniform(-0.3, 0.3, 3))
    episode = data.draw(episodes(2, 20_000))
    out = play(two_compartment.make(spec, stream(2, episode))(None), cuts(data.draw, episode))
    spikes, nearest = naive.two_compartment_every_tick(spec, episode)
    if nearest > 1e-4:
        assert list(zip(out.t_us.tolist(), out.unit.tolist(), strict=True)) == spikes


def test_the_kernels_equal_the_plain_truth_without_their_compiler():
    if numba.config.DISABLE_JIT:
        pytest.skip("the compiler is off already")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__]
    run = subprocess.run(command, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)
    assert "3 passed" in run.stdout, run.stdout[-3000:]
