"""The kernels of lif, delay and readout against the slow plain truth of tests/naive.py, bit for bit, on random layers,
recordings and cuts; and the kernels without their compiler."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import delay, lif, readout
from pipeline.layer_spec import DelaySpec, LIFSpec, ReadoutSpec
from pipeline.packet import Format, Packet
from tests import naive
from tests.packets import glue, recut

INF = float("inf")
MANY, FEW = (20, 10) if numba.config.DISABLE_JIT else (400, 60)
TAUS = st.sampled_from([0.0, INF, 0.004, 0.3, 5.0, 20.0, 1000.0])
TICKS = st.sampled_from([1, 7, 1000])


def vectors(elements, n):
    return st.lists(elements, min_size=n, max_size=n).map(lambda values: np.array(values, np.float32))


def floats(least, most):
    return st.floats(least, most, width=32, allow_subnormal=False)


@st.composite
def lif_specs(draw):
    n_in, n_out = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    tick_us = draw(st.none() | TICKS)
    taus = draw(st.one_of(TAUS, vectors(TAUS, n_out)))
    bias = draw(st.none() | vectors(st.sampled_from([0.0, 0.01, 0.2, -0.3]), n_out)) if tick_us == 1000 else None
    weight = draw(vectors(floats(-2, 3), n_in * n_out)).reshape(n_in, n_out)
    return LIFSpec(weight, taus, draw(floats(0.125, 2)), tick_us, draw(st.sampled_from(["subtract", "to_zero"])), bias)


@st.composite
def readout_specs(draw):
    classes = draw(st.integers(1, 4))
    score = draw(st.sampled_from(["spike_count", "membrane", "max_membrane", "softmax_sum"]))
    n_in = draw(st.none() | st.integers(1, 4))
    weight = None if n_in is None else draw(vectors(floats(-2, 3), n_in * classes)).reshape(n_in, classes)
    bias = draw(st.none() | vectors(floats(-1, 1), classes))
    ticking = score != "spike_count"
    tau = draw(TAUS | vectors(TAUS, classes)) if ticking else None
    tick_us = draw(st.sampled_from([130, 1000])) if ticking else None
    return ReadoutSpec(score, tuple("abcd"[:classes]), weight, bias, tau, tick_us, draw(st.sampled_from([1.0, 0.3, 7.0])))


@st.composite
def episodes(draw, units, longest_gap_us, graded=st.booleans()):
    """Crowded moments, gaps of every size, and a begin and an end off every grid."""
    begin_us = draw(st.integers(0, 3000))
    gaps = draw(st.lists(st.sampled_from([0, 0, 0, 1, 3, 7, 990, 1000, 5003, longest_gap_us]), max_size=25))
    t_us = begin_us + np.cumsum(np.array(gaps, np.int64))
    unit = draw(st.lists(st.integers(0, units - 1), min_size=len(gaps), max_size=len(gaps)))
    value = draw(vectors(floats(-2, 2), len(gaps))) if draw(graded) else None
    end_us = int(t_us[-1] if gaps else begin_us) + draw(st.sampled_from([1, 2, 998, 4000]))
    return Packet(begin_us, end_us, t_us, np.array(unit, np.uint32), value)


def cuts(draw, episode):
    moments = st.integers(episode.begin_us, episode.end_us) | st.sampled_from([*episode.t_us.tolist(), episode.end_us])
    return recut(episode, draw(st.lists(moments, max_size=6)))


def stream(units, episode):
    return Format("spikes" if episode.value is None else "graded", (units,))


def play(operator, packets):
    return glue([*(operator.process(packet) for packet in packets), operator.finish()])


def bits(values):
    return np.array(values, np.float32).tobytes()


@settings(deadline=None, derandomize=True, max_examples=MANY)
@given(st.data())
def test_lif_equals_the_plain_truth_bit_for_bit(data):
    spec = data.draw(lif_specs())
    episode = data.draw(episodes(spec.n_in, 20_000 if spec.bias is not None else 10**9))
    operator = lif.make(spec, stream(spec.n_in, episode))(None)
    out = play(operator, cuts(data.draw, episode))
    spikes, v = naive.lif(spec, episode)
    assert list(zip(out.t_us.tolist(), out.unit.tolist(), strict=True)) == spikes
    assert operator.snapshot()["v"].tobytes() == bits(v)


@settings(deadline=None, derandomize=True, max_examples=FEW)
@given(st.data(), st.sampled_from([None, 1, 1000]), st.integers(0, 10**12))
def test_lif_equals_the_plain_truth_over_huge_gaps(data, tick_us, gap_us):
    taus = data.draw(vectors(st.sampled_from([0.0, 20.0, 1e6, 1e9]), 3))
    taus[1] = 20  # the bias of this neuron alone is positive, and must not bring it to its threshold
    bias = np.array([0.0, 1e-6, -0.1], np.float32) if tick_us else None
    spec = LIFSpec(np.full((1, 3), 0.4, np.float32), taus, 1.0, tick_us, "subtract", bias)
    t_us = np.array([5, 5, 5 + gap_us, 5 + 2 * gap_us], np.int64)
    episode = Packet(5, int(t_us[-1]) + 1, t_us, np.zeros(4, np.uint32))
    operator = lif.make(spec, Format("spikes", (1,)))(None)
    play(operator, cuts(data.draw, episode))
    assert operator.snapshot()["v"].tobytes() == bits(naive.lif(spec, episode)[1])


@settings(deadline=None, derandomize=True, max_examples=MANY)
@given(st.data())
def test_delay_equals_the_plain_truth_bit_for_bit(data):
    units = data.draw(st.integers(1, 5))
    delays = st.sampled_from([0, 1, 2, 300, 1000, 5000, 123_457])
    spec = DelaySpec(np.array(data.draw(st.lists(delays, min_size=units, max_size=units))))
    episode = data.draw(episodes(units, 400_000))
    out = play(delay.make(spec, stream(units, episode))(None), cuts(data.draw, episode))
    truth = naive.delay(spec, episode)
    assert list(zip(out.t_us.tolist(), out.unit.tolist(), strict=True)) == [event[:2] for event in truth]
    assert out.value is None or out.value.tobytes() == bits([value for _, _, value in truth])
    assert out.end_us == episode.end_us + spec.delay_us.max()


@settings(deadline=None, derandomize=True, max_examples=MANY)
@given(st.data())
def test_readout_equals_the_plain_truth_bit_for_bit(data):
    spec = data.draw(readout_specs())
    episode = data.draw(episodes(spec.n_in, 20_000))
    every_us = data.draw(st.sampled_from([None, 999, 1000, 1400, 7000]))
    window_us = 0 if every_us is None else every_us * data.draw(st.integers(0, 4))
    exit_at = data.draw(st.none() | st.sampled_from([0.01, 0.4, 0.8]))
    rearm = exit_at is not None and data.draw(st.booleans())
    make = readout.make(spec, stream(spec.n_in, episode), every_us=every_us, window_us=window_us, exit_at=exit_at, rearm=rearm)
    out = play(make(None), cuts(data.draw, episode))
    truth = naive.readout(spec, episode, every_us, window_us, exit_at, rearm)
    assert out.t_us.tolist() == [t_us for t_us, values in truth for _ in values]
    assert out.unit.tolist() == list(range(spec.n_out)) * len(truth)
    assert out.value.tobytes() == bits([value for _, values in truth for value in values])


def test_the_kernels_equal_the_plain_truth_without_their_compiler():
    if numba.config.DISABLE_JIT:
        pytest.skip("the compiler is off already")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error::RuntimeWarning", __file__]
    run = subprocess.run(command, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)
    assert "4 passed" in run.stdout, run.stdout[-3000:]
