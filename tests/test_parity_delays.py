"""The kernels of synaptic_delay, recurrent_lif and mps_lif against the slow plain truth of tests/naive_delays.py, bit for bit,
on random layers, recordings and cuts; and the kernels without their compiler."""

import os
import subprocess
import sys
from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import mps_lif, recurrent_lif, synaptic_delay
from pipeline.layer_spec import MPSLIFSpec, RecurrentLIFSpec, SynapticDelaySpec
from tests import naive_delays
from tests.test_parity_kernels import INF, bits, cuts, episodes, floats, play, stream, vectors

MANY = 10 if numba.config.DISABLE_JIT else 60
TICK_US = 1000
TAUS = st.sampled_from([0.0, INF, 0.3, 5.0, 20.0, 1000.0])
RESETS = st.sampled_from(["subtract", "to_zero"])


def matrices(draw, rows, columns, least=-2, most=3):
    return draw(vectors(floats(least, most), rows * columns)).reshape(rows, columns)


def delay_ticks(draw, *shape):
    ticks = st.sampled_from([0, 1, 1, 2, 3, 7, 40])
    n = int(np.prod(shape))
    return np.array(draw(st.lists(ticks, min_size=n, max_size=n)), np.int64).reshape(shape)


def biases(draw, n):
    return draw(st.none() | vectors(st.sampled_from([0.0, 0.01, 0.2, -0.3]), n))


@st.composite
def synaptic_delay_specs(draw):
    n_in, n_out = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    delay = delay_ticks(draw, draw(st.sampled_from([n_in, 1])), n_out) + draw(st.sampled_from([0, 0, 5]))
    return SynapticDelaySpec(matrices(draw, n_in, n_out), delay * TICK_US, draw(TAUS | vectors(TAUS, n_out)),
                             draw(floats(0.125, 2)), TICK_US, draw(RESETS), biases(draw, n_out))


@st.composite
def recurrent_specs(draw):
    n_in, n_out = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    weight, recurrent = matrices(draw, n_in, n_out), matrices(draw, n_out, n_out, -1, 1.5)
    return RecurrentLIFSpec(weight, recurrent, delay_ticks(draw, n_out) * TICK_US,
                            draw(TAUS | vectors(TAUS, n_out)), draw(floats(0.125, 2)), TICK_US, draw(RESETS), biases(draw, n_out))


@st.composite
def mps_specs(draw):
    n_in, n_out = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return MPSLIFSpec(matrices(draw, n_in, n_out), draw(TAUS | vectors(TAUS, n_out)), draw(floats(0.125, 2)),
                      draw(st.sampled_from([0.0, 0.2, 0.5, 0.9])), TICK_US)


KINDS = [
    (synaptic_delay_specs(), synaptic_delay.make, naive_delays.synaptic_delay, "v"),
    (recurrent_specs(), recurrent_lif.make, naive_delays.recurrent_lif, "v"),
    (mps_specs(), mps_lif.make, naive_delays.mps_lif, "hs"),
]


@pytest.mark.parametrize(("specs", "make", "truth", "key"), KINDS, ids=["synaptic_delay", "recurrent_lif", "mps_lif"])
@settings(deadline=None, derandomize=True, max_examples=MANY)
@given(data=st.data())
def test_the_kernel_equals_the_plain_truth_bit_for_bit(specs, make, truth, key, data):
    spec = data.draw(specs)
    episode = data.draw(episodes(spec.n_in, 200_000))
    operator = make(spec, stream(spec.n_in, episode))(None)
    out = play(operator, cuts(data.draw, episode))
    spikes, state = truth(spec, episode)
    assert list(zip(out.t_us.tolist(), out.unit.tolist(), strict=True)) == spikes
    assert operator.snapshot()[key].tobytes() == bits(state)


fractions = st.integers(-60, 90).map(lambda n: Fraction(n, 32))


@settings(deadline=None, derandomize=True, max_examples=MANY)
@given(st.integers(0, 32), st.integers(0, 31), st.integers(1, 64), st.lists(fractions, max_size=60))
def test_one_state_smooths_a_membrane_as_two_do(k, alpha, threshold, inputs):
    neuron = Fraction(k, 32), Fraction(alpha, 32), Fraction(threshold, 32), inputs
    assert naive_delays.mps_one_state(*neuron) == naive_delays.mps_two_states(*neuron)


def test_the_kernels_equal_the_plain_truth_without_their_compiler():
    if numba.config.DISABLE_JIT:
        pytest.skip("the compiler is off already")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error::RuntimeWarning", __file__]
    run = subprocess.run(command, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)
    assert "4 passed" in run.stdout, run.stdout[-3000:]
