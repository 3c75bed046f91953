"""The kinds of neurons: kernels against the slow plain truth of tests/naive_neurons.py, bit for bit, on random layers, recordings
and cuts; silence skipped against every tick run; and the kernels without their compiler."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import adaptive_lif, cuba_lif, resonate, silence, srm
from operators.tick_layer import LAST, operators_of
from pipeline.layer_spec import AdaptiveLIFSpec, CubaLIFSpec, ResonateSpec, SRMSpec
from pipeline.packet import Format, Packet
from tests import naive_neurons as naive
from tests.packets import glue, recut

INF = float("inf")
MANY, FEW = (5, 5) if numba.config.DISABLE_JIT else (40, 20)
if numba.config.DISABLE_JIT:
    silence.LONGEST = 2**9
TAUS = st.sampled_from([0.0, INF, 0.3, 5.0, 20.0, 1000.0])
f32 = np.float32


def vectors(elements, n):
    return st.lists(elements, min_size=n, max_size=n).map(lambda values: np.array(values, np.float32))


def floats(least, most):
    return st.floats(least, most, width=32, allow_subnormal=False)


@st.composite
def dense(draw, most_weight=3.0):
    """What all kinds have: weight, threshold, tick_us, bias."""
    n_in, n_out = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    weight = draw(vectors(floats(-2, most_weight), n_in * n_out)).reshape(n_in, n_out)
    bias = draw(st.none() | vectors(st.sampled_from([0.0, 0.01, 0.1, -0.2]), n_out))
    return {"weight": weight, "threshold": draw(floats(0.125, 2)), "tick_us": draw(st.sampled_from([7, 1000])), "bias": bias}


@st.composite
def cuba_specs(draw):
    common = draw(dense())
    n_out = common["weight"].shape[1]
    taus = [draw(TAUS | vectors(TAUS, n_out)) for _ in range(2)]
    return CubaLIFSpec(**common, tau_ms=taus[0], tau_syn_ms=taus[1], reset=draw(st.sampled_from(["subtract", "to_zero"])))


@st.composite
def adaptive_specs(draw):
    common = draw(dense(most_weight=30.0))
    n_out = common["weight"].shape[1]
    tau_ms, tau_w_ms = (draw(TAUS | vectors(TAUS, n_out)) for _ in range(2))
    a, b = draw(vectors(floats(0, 1), n_out)), draw(vectors(floats(0, 2), n_out))
    form = draw(st.sampled_from(["adlif", "se_adlif"]))
    q = draw(st.sampled_from([1.0, 30.0])) if form == "se_adlif" else 1.0
    return AdaptiveLIFSpec(**common, tau_ms=tau_ms, tau_w_ms=tau_w_ms, a=a, b=b, form=form, q=q)


@st.composite
def resonate_specs(draw):
    common = draw(dense())
    n_out = common["weight"].shape[1]
    frequencies = draw(vectors(st.sampled_from([0.0, 3.0, 40.0, 500.0, -7.0]), n_out))
    taus = draw(TAUS | vectors(TAUS, n_out))
    return ResonateSpec(**common, tau_ms=taus, frequency_hz=frequencies, reset=draw(st.sampled_from(["subtract", "to_zero"])))


@st.composite
def srm_specs(draw):
    common = draw(dense())
    n_out = common["weight"].shape[1]
    taus = st.sampled_from([0.3, 1.0, 5.0, 20.0])
    tau_syn_ms, tau_ref_ms = (draw(taus | vectors(taus, n_out)) for _ in range(2))
    return SRMSpec(**common, tau_syn_ms=tau_syn_ms, tau_ref_ms=tau_ref_ms, refractory=draw(st.sampled_from([0.0, 2.0])))


@dataclass(frozen=True)
class Kind:
    specs: Any  # a strategy
    module: Any  # of its operator
    law: Any  # spec -> the law of its operator
    neuron: Any  # spec, j -> its plain truth
    example: Callable[[np.random.Generator], Any]  # a layer of three inputs and five neurons that fires in silence


def cuba_example(rng):
    reset = rng.choice(["subtract", "to_zero"])
    taus = rng.uniform(5, 30, 5), rng.uniform(2, 20, 5)
    return CubaLIFSpec(rng.normal(0.1, 0.3, (3, 5)), *taus, rng.uniform(0.5, 1.5, 5), 1000, reset)


def adaptive_example(rng):
    taus = rng.uniform(5, 20, 5), rng.uniform(20, 60, 5)
    a, b = rng.uniform(0.3, 1, 5), rng.uniform(0, 0.5, 5)
    return AdaptiveLIFSpec(rng.normal(0.5, 6, (3, 5)), *taus, a, b, rng.uniform(0.2, 0.5, 5), 1000, "se_adlif", 20.0)


def resonate_example(rng):
    return ResonateSpec(rng.normal(0, 1, (3, 5)), rng.uniform(20, 50, 5), rng.uniform(5, 50, 5), rng.uniform(0.5, 1, 5), 1000)


def srm_example(rng):
    return SRMSpec(rng.normal(0.2, 0.7, (3, 5)), rng.uniform(3, 15, 5), rng.uniform(2, 9, 5), rng.uniform(0.5, 1.5, 5), 1000)


KINDS = {
    "adaptive_lif": Kind(adaptive_specs(), adaptive_lif, adaptive_lif.tick_law, naive.adaptive_lif, adaptive_example),
    "cuba_lif": Kind(cuba_specs(), cuba_lif, cuba_lif.tick_law, naive.cuba_lif, cuba_example),
    "resonate": Kind(resonate_specs(), resonate, resonate.tick_law, naive.resonate, resonate_example),
    "srm": Kind(srm_specs(), srm, srm.SRMLaw, naive.srm, srm_example),
}


@st.composite
def episodes(draw, units, gaps_us, tick_us=1000):
    """Crowded moments, gaps of every size, and a begin and an end off every grid."""
    begin_us = draw(st.integers(0, 3 * tick_us))
    gaps = draw(st.lists(st.sampled_from(gaps_us), max_size=20))
    t_us = begin_us + np.cumsum(np.array(gaps, np.int64))
    unit = draw(st.lists(st.integers(0, units - 1), min_size=len(gaps), max_size=len(gaps)))
    value = draw(st.none() | vectors(floats(-2, 2), len(gaps)))
    end_us = int(t_us[-1] if gaps else begin_us) + draw(st.sampled_from([1, 2, tick_us - 2, 4 * tick_us]))
    return Packet(begin_us, end_us, t_us, np.array(unit, np.uint32), value)


def cuts(draw, episode):
    moments = st.integers(episode.begin_us, episode.end_us) | st.sampled_from([*episode.t_us.tolist(), episode.end_us])
    return recut(episode, draw(st.lists(moments, max_size=6)))


def stream(units, episode):
    return Format("spikes" if episode.value is None else "graded", (units,))


def play(operator, packets):
    return glue([*(operator.process(packet) for packet in packets), operator.finish()])


def spikes_of(out):
    return list(zip(out.t_us.tolist(), out.unit.tolist(), strict=True))


def bits(values):
    return np.array(values, np.float32).tobytes()


def neurons(kind, spec):
    return [KINDS[kind].neuron(spec, j) for j in range(spec.n_out)]


# --- bit for bit ---


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, derandomize=True, max_examples=MANY)
@given(st.data())
def test_kernels_equal_the_plain_truth_bit_for_bit(kind, data):
    module = KINDS[kind].module
    spec = data.draw(KINDS[kind].specs)
    tick_us = spec.tick_us
    gaps_us = [0, 0, 0, 1, tick_us - 1, tick_us, 5 * tick_us + 3, 300 * tick_us]
    episode = data.draw(episodes(spec.weight.shape[0], gaps_us, tick_us))
    operator = module.make(spec, stream(spec.n_in, episode))(None)
    out = play(operator, cuts(data.draw, episode))
    spikes, states = naive.run(spec, neurons(kind, spec), naive.restless_by(KINDS[kind].law(spec).bound), episode)
    assert spikes_of(out) == spikes
    for state, truth in zip(operator.snapshot().values(), zip(*states, strict=True), strict=False):
        assert state.tobytes() == bits(truth)


@settings(deadline=None, derandomize=True, max_examples=MANY)
@given(st.data())
def test_cuba_lif_in_continuous_time_equals_looking_at_every_microsecond(data):
    taus = st.sampled_from([INF, 0.01, 0.05, 0.051, 0.3, 20.0])
    n_in, n_out = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3))
    weight = data.draw(vectors(floats(-20, 60), n_in * n_out)).reshape(n_in, n_out)
    tau_ms, tau_syn_ms = (data.draw(taus | vectors(taus, n_out)) for _ in range(2))
    reset = data.draw(st.sampled_from(["subtract", "to_zero"]))
    spec = CubaLIFSpec(weight, tau_ms, tau_syn_ms, data.draw(floats(0.25, 2)), None, reset)
    episode = data.draw(episodes(n_in, [0, 0, 1, 2, 9, 40, 250], 50))
    operator = cuba_lif.make(spec, stream(n_in, episode))(None)
    out = play(operator, cuts(data.draw, episode))
    spikes, i, v = naive.cuba_lif_in_continuous_time(spec, episode)
    assert spikes_of(out) == spikes
    state = operator.snapshot()
    assert (state["i"].tobytes(), state["v"].tobytes()) == (bits(i), bits(v))


# --- silence ---


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, derandomize=True, max_examples=FEW)
@given(st.data())
def test_where_the_bound_holds_no_silence_makes_a_spike(kind, data):
    spec = data.draw(KINDS[kind].specs)
    restless = naive.restless_by(KINDS[kind].law(spec).bound)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x, y = (rng.normal(size=(2, spec.n_out)) * rng.choice([0.1, 1, 10])).astype(f32)
    for j, neuron in enumerate(neurons(kind, spec)):
        if not restless(j, x[j], y[j]):
            assert greatest_potential(neuron, x[j], y[j], 300) < neuron.threshold


def greatest_potential(neuron, x, y, ticks):
    """In silence, every tick run in float64."""
    states, most = (np.float64(x), np.float64(y), *[np.float64(0)] * (2 * len(neuron.silence) - 2)), -INF
    for _ in range(ticks):
        states, potential = neuron.tick(*states, np.float64(neuron.bias))
        most = max(most, potential)
        states = neuron.end(*states, False)
    return most


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_skipping_silence_gives_the_spikes_of_running_every_tick(kind, seed):
    rng = np.random.default_rng(seed)
    spec = KINDS[kind].example(rng)
    t_us = np.sort(rng.choice(rng.integers(0, 400_000, 30), 50))
    episode = Packet(0, 600_000, t_us, rng.integers(0, 3, 50).astype(np.uint32))
    truth, nearest = naive.run_every_tick(spec, neurons(kind, spec), episode)
    assert nearest > 1e-6  # so that rounding decides nothing
    out = play(KINDS[kind].module.make(spec, Format("spikes", (3,)))(None), [episode])
    assert spikes_of(out) == truth
    assert {t_us for t_us, _ in truth} - set((episode.t_us // 1000 * 1000).tolist()), "none of them came in silence"


def test_an_adaptive_neuron_that_grows_by_itself_is_run_until_its_end():
    spec = AdaptiveLIFSpec(np.array([[8.0]]), 20.0, 100.0, -0.5, 0.0, 3.0, 1000)  # w falls the more u rises, and drives it
    episode = Packet(0, 40_000, np.zeros(1, np.int64), np.zeros(1, np.uint32))
    out = play(adaptive_lif.make(spec, Format("spikes", (1,)))(None), [episode])
    assert spikes_of(out) == naive.run_every_tick(spec, neurons("adaptive_lif", spec), episode)[0]
    assert out.t_us[-1] > 35_000
    assert not adaptive_lif.tick_law(spec).restless  # at rest it stays there


@pytest.mark.parametrize("kind", KINDS)
def test_ten_seconds_of_silence_are_one_step(kind):
    spec = KINDS[kind].example(np.random.default_rng(1))
    operator = operators_of(KINDS[kind].law(spec))(None)
    operator.process(Packet(0, 2_000_000, np.arange(0, 50_000, 5000), np.arange(10, dtype=np.uint32) % 3))
    before = operator.snapshot()["ticks"][LAST]
    operator.process(Packet(2_000_000, 12_000_000))
    assert operator.snapshot()["ticks"].tolist() == [before, 0, 0]  # nothing was run


def test_the_kernels_equal_the_plain_truth_without_their_compiler():
    if numba.config.DISABLE_JIT:
        pytest.skip("the compiler is off already")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "plain_truth or microsecond", __file__]
    run = subprocess.run(command, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)
    assert "5 passed, 1 skipped" in run.stdout, run.stdout[-3000:]
