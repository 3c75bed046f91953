"""The slow plain truth of the kinds of neurons: each takes a whole episode as one packet and follows its equations one by one.

States are np.float32 scalars, so every sum and product of a tick rounds as the equations say; what passes in silence is computed
in Python floats and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.layer_spec import CubaLIFSpec
from pipeline.packet import Packet
from tests.naive import by_tick

f32 = np.float32
Spikes = list[tuple[int, int]]  # t_us, unit


@dataclass
class Neuron:
    """One neuron with two states on a tick: what its spec makes of them. A silent tick is (x, y) <- A (x, y) + b."""

    tick: Callable[..., tuple[np.float32, np.float32, np.float32]]  # x, y, input -> x, y, potential
    spike: Callable[..., tuple[np.float32, np.float32]]  # x, y -> x, y after the reset
    threshold: np.float32
    matrix: list[list[float]]
    drive: tuple[float, float]
    bias: np.float32
    after: Callable[..., tuple[np.float32, np.float32]] = lambda x, y, spiked: (x, y)  # at the end of the tick


def run(spec, neurons: list[Neuron], restless: Callable[[int, np.float32, np.float32], bool], episode: Packet):
    """The spikes and the states at the end. A tick is run if it has input, or if a neuron was restless after the one before."""
    inputs = by_tick(episode, spec.tick_us)
    last, stop = episode.begin_us // spec.tick_us - 1, -(-episode.end_us // spec.tick_us)
    x, y = [f32(0)] * spec.n_out, [f32(0)] * spec.n_out
    spikes: Spikes = []
    while True:
        forced = any(restless(j, x[j], y[j]) for j in range(spec.n_out))
        tick = last + 1 if forced else min((k for k in inputs if k > last), default=stop)
        if tick >= stop:
            return spikes, x, y
        for j, neuron in enumerate(neurons):
            x[j], y[j] = silent(neuron, x[j], y[j], tick - last - 1)
            current = neuron.bias
            for _, i, value in inputs.get(tick, ()):
                current = current + spec.weight[i, j] * value
            x[j], y[j], potential = neuron.tick(x[j], y[j], current)
            spiked = bool(potential >= neuron.threshold)
            if spiked:
                spikes.append((tick * spec.tick_us, j))
                x[j], y[j] = neuron.spike(x[j], y[j])
            x[j], y[j] = neuron.after(x[j], y[j], spiked)
        last = tick


def silent(neuron: Neuron, x: np.float32, y: np.float32, m: int) -> tuple[np.float32, np.float32]:
    """(x, y) <- A (x, y) + b done m times: by the binary digits of m, the lowest first, each power the one before done twice."""
    if m == 0:
        return x, y
    u, w = float(x), float(y)
    ((a, b), (c, d)), (e, f) = neuron.matrix, neuron.drive
    while m:
        if m % 2:
            u, w = a * u + b * w + e, c * u + d * w + f
        m //= 2
        a, b, e, c, d, f = (a * a + b * c, a * b + b * d, a * e + b * f + e,
                            c * a + d * c, c * b + d * d, c * e + d * f + f)  # fmt: skip
    return f32(u), f32(w)


def run_every_tick(spec, neurons: list[Neuron], episode: Packet) -> tuple[Spikes, float]:
    """The same layer with every tick run, in float64; and how near to a threshold a potential ever came."""
    inputs = by_tick(episode, spec.tick_us)
    x, y = [np.float64(0)] * spec.n_out, [np.float64(0)] * spec.n_out
    spikes, nearest = list[tuple[int, int]](), math.inf
    for tick in range(episode.begin_us // spec.tick_us, -(-episode.end_us // spec.tick_us)):
        for j, neuron in enumerate(neurons):
            current = np.float64(neuron.bias)
            for _, i, value in inputs.get(tick, ()):
                current = current + np.float64(spec.weight[i, j]) * np.float64(value)
            x[j], y[j], potential = neuron.tick(x[j], y[j], current)
            nearest = min(nearest, abs(potential - neuron.threshold))
            spiked = bool(potential >= neuron.threshold)
            if spiked:
                spikes.append((tick * spec.tick_us, j))
                x[j], y[j] = (np.float64(state) for state in neuron.spike(x[j], y[j]))
            x[j], y[j] = neuron.after(x[j], y[j], spiked)
    return spikes, nearest


def bias_of(spec, j: int) -> np.float32:
    return f32(0) if spec.bias is None else spec.bias[j]


# --- cuba_lif ---


def cuba_lif(spec: CubaLIFSpec, j: int) -> Neuron:
    """Neuron j: at every tick the current i decays and takes the input in, v decays and takes the current."""
    a, d, threshold, bias = spec.synaptic_decay()[j], spec.decay()[j], spec.threshold[j], bias_of(spec, j)

    def tick(i, v, current):
        i = a * i + current
        v = d * v + i
        return i, v, v

    def spike(i, v):
        return i, v - threshold if spec.reset == "subtract" else f32(0)

    matrix = [[float(a), 0.0], [float(a), float(d)]]
    return Neuron(tick, spike, threshold, matrix, (float(bias), float(bias)), bias)


def cuba_lif_in_continuous_time(spec: CubaLIFSpec, episode: Packet):
    """The spikes, i and v at the end, every microsecond looked at: those with events or at which some v reaches its threshold
    are run."""
    inputs, last = by_tick(episode, 1), episode.begin_us - 1
    i, v = [f32(0)] * spec.n_out, [f32(0)] * spec.n_out
    spikes: Spikes = []
    for now in range(episode.begin_us, episode.end_us):
        moved = [after_us(spec, j, i[j], v[j], now - last) for j in range(spec.n_out)]
        if now not in inputs and not any(moved[j][1] >= spec.threshold[j] for j in range(spec.n_out)):
            continue
        last = now
        for j in range(spec.n_out):
            i[j], v[j] = moved[j]
            for _, k, value in inputs.get(now, ()):
                i[j] = i[j] + spec.weight[k, j] * value
            if v[j] >= spec.threshold[j]:
                spikes.append((now, j))
                v[j] = v[j] - spec.threshold[j] if spec.reset == "subtract" else f32(0)
    return spikes, i, v


def after_us(spec: CubaLIFSpec, j: int, i: np.float32, v: np.float32, m: int) -> tuple[np.float32, np.float32]:
    """i exp(-t/tau_syn); v exp(-t/tau) + i (exp(-t/tau) - exp(-t/tau_syn)) / (1/tau_syn - 1/tau)"""
    synaptic, membrane, t = 1 / float(spec.tau_syn_ms[j]), 1 / float(spec.tau_ms[j]), m / 1000
    slow, apart = min(synaptic, membrane), abs(synaptic - membrane)
    charge = math.exp(-t * slow) * (-math.expm1(-t * apart) / apart if apart else t)
    return f32(float(i) * math.exp(-t * synaptic)), f32(float(v) * math.exp(-t * membrane) + float(i) * charge)
