"""The kernels of delay_motion and linear_attention against the slow plain truth of tests/naive_motion.py, bit for bit, on random
layers, recordings and cuts; and the kernels without their compiler."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators import delay_motion, linear_attention
from pipeline.layer_spec import DelayMotionSpec, LinearAttentionSpec
from tests import naive_motion as naive
from tests.test_parity_delays import TAUS, TICK_US, matrices
from tests.test_parity_kernels import bits, cuts, episodes, floats, play, stream, vectors

MANY = 8 if numba.config.DISABLE_JIT else 25


@st.composite
def motion_specs(draw):
    shape = tuple(draw(st.integers(1, n)) for n in (3, 2, 5, 3, 4))  # classes, polarities, delays, kh, kw
    kernel = draw(vectors(floats(-2, 3), int(np.prod(shape)))).reshape(shape)
    kernel = np.where(np.random.default_rng(draw(st.integers(0, 9))).random(shape[1:]) < 0.4, 0, kernel)  # taps that are pruned
    bias = draw(vectors(floats(-3, -1), shape[0]))
    size = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    return DelayMotionSpec(kernel, bias, draw(st.sampled_from([0.3, 0.5, 0.9])), size, TICK_US)


@st.composite
def attention_specs(draw):
    heads = draw(st.integers(1, 2))
    n_in, n_keys, n_out = draw(st.integers(1, 4)), heads * draw(st.integers(1, 2)), heads * draw(st.integers(1, 2))
    hidden = 2 * n_keys + n_out
    return LinearAttentionSpec(matrices(draw, n_in, hidden), n_keys, draw(vectors(TAUS, heads)),
                               draw(TAUS | vectors(TAUS, hidden)), draw(floats(0.125, 2)), draw(TAUS | vectors(TAUS, n_out)),
                               draw(floats(0.125, 2)), TICK_US, draw(floats(-0.5, 1)))


@settings(deadline=None, derandomize=True, max_examples=MANY, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_delay_motion_equals_the_plain_truth_bit_for_bit(data):
    spec = data.draw(motion_specs())
    episode = data.draw(episodes(spec.n_in, 20_000))
    out = play(delay_motion.make(spec, stream(spec.n_in, episode))(None), cuts(data.draw, episode))
    truth = naive.delay_motion(spec, episode)
    assert list(zip(out.t_us.tolist(), out.unit.tolist(), strict=True)) == [event[:2] for event in truth]
    assert out.value.tobytes() == bits([value for _, _, value in truth])


@settings(deadline=None, derandomize=True, max_examples=MANY, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_linear_attention_equals_the_plain_truth_bit_for_bit(data):
    spec = data.draw(attention_specs())
    episode = data.draw(episodes(spec.n_in, 200_000))
    operator = linear_attention.make(spec, stream(spec.n_in, episode))(None)
    out = play(operator, cuts(data.draw, episode))
    spikes, o = naive.linear_attention(spec, episode)
    assert list(zip(out.t_us.tolist(), out.unit.tolist(), strict=True)) == spikes
    assert operator.snapshot()["o"].tobytes() == bits(o)


def test_the_kernels_equal_the_plain_truth_without_their_compiler():
    if numba.config.DISABLE_JIT:
        pytest.skip("the compiler is off already")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error::RuntimeWarning", __file__]
    run = subprocess.run(command, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)
    assert "2 passed" in run.stdout, run.stdout[-3000:]
