"""The slow plain truth of the kinds of neurons: each takes a whole episode as one packet and follows its equations one by one.

States are np.float32 scalars, so every sum and product of a tick rounds as the equations say; what passes in silence is computed
in Python floats and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.layer_spec import AdaptiveLIFSpec, CubaLIFSpec, ResonateSpec, SRMSpec
from pipeline.packet import Packet
from tests.naive import by_tick

f32 = np.float32
Spikes = list[tuple[int, int]]  # t_us, unit


@dataclass
class Neuron:
    """One neuron on a tick: what its spec makes of its states. They come in pairs; a silent tick is (x, y) <- A (x, y) + b."""

    tick: Callable[..., Any]  # states, input -> states, potential
    end: Callable[..., Any]  # states, spiked -> states at the end of the tick
    threshold: np.float32
    silence: list[tuple[list[list[float]], tuple[float, float]]]  # of each pair: A and b
    bias: np.float32


def run(spec, neurons: list[Neuron], restless: Callable[..., bool], episode: Packet):
    """The spikes and the states at the end. A tick is run if it has input, or if a neuron was restless after the one before."""
    inputs = by_tick(episode, spec.tick_us)
    last, stop = episode.begin_us // spec.tick_us - 1, -(-episode.end_us // spec.tick_us)
    states = [(f32(0),) * 2 * len(neuron.silence) for neuron in neurons]
    spikes: Spikes = []
    while True:
        forced = any(restless(j, *states[j]) for j in range(spec.n_out))
        tick = last + 1 if forced else min((k for k in inputs if k > last), default=stop)
        if tick >= stop:
            return spikes, states
        for j, neuron in enumerate(neurons):
            current = neuron.bias
            for _, i, value in inputs.get(tick, ()):
                current = current + spec.weight[i, j] * value
            states[j], potential = neuron.tick(*silent(neuron, states[j], tick - last - 1), current)
            if potential >= neuron.threshold:
                spikes.append((tick * spec.tick_us, j))
            states[j] = neuron.end(*states[j], potential >= neuron.threshold)
        last = tick


def restless_by(bound: np.ndarray) -> Callable[..., bool]:
    """Whether neuron j with the states x and y might reach its threshold in silence, by the bound of operators/silence.py."""

    def restless(j, x, y, *_):
        most = f32(0)
        for k, state in enumerate((x, y)):
            away = state - bound[k, j]
            part = max(away, f32(0)) * bound[2 + 2 * k, j] + max(-away, f32(0)) * bound[3 + 2 * k, j]
            most = most + part if k else part
        return not most < bound[6, j]

    return restless


def silent(neuron: Neuron, states: tuple[np.float32, ...], m: int) -> tuple[np.float32, ...]:
    """m silent ticks."""
    pairs = zip(states[::2], states[1::2], neuron.silence, strict=True)
    return sum((silent_pair(x, y, matrix, drive, m) for x, y, (matrix, drive) in pairs), ())


def silent_pair(x: np.float32, y: np.float32, matrix, drive, m: int) -> tuple[np.float32, np.float32]:
    """(x, y) <- A (x, y) + b done m times: by the binary digits of m, the lowest first, each power the one before done twice."""
    if m == 0:
        return x, y
    u, w = float(x), float(y)
    ((a, b), (c, d)), (e, f) = matrix, drive
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
    states = [(np.float64(0),) * 2 * len(neuron.silence) for neuron in neurons]
    spikes, nearest = list[tuple[int, int]](), math.inf
    for tick in range(episode.begin_us // spec.tick_us, -(-episode.end_us // spec.tick_us)):
        for j, neuron in enumerate(neurons):
            current = np.float64(neuron.bias)
            for _, i, value in inputs.get(tick, ()):
                current = current + np.float64(spec.weight[i, j]) * np.float64(value)
            states[j], potential = neuron.tick(*states[j], current)
            nearest = min(nearest, abs(potential - neuron.threshold))
            if potential >= neuron.threshold:
                spikes.append((tick * spec.tick_us, j))
            states[j] = tuple(np.float64(state) for state in neuron.end(*states[j], potential >= neuron.threshold))
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
        return (i, v), v

    def end(i, v, spiked):
        return i, reset(v, threshold, spec.reset) if spiked else v

    matrix = [[float(a), 0.0], [float(a), float(d)]]
    return Neuron(tick, end, threshold, [(matrix, (float(bias), float(bias)))], bias)


def reset(v: np.float32, threshold: np.float32, how: str) -> np.float32:
    return v - threshold if how == "subtract" else f32(0)


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


# --- adaptive_lif ---


def adaptive_lif(spec: AdaptiveLIFSpec, j: int) -> Neuron:
    """Neuron j: u <- al u + (1 - al) (I - w), then w and the reset in the order of the form."""
    al, be, threshold, bias = spec.decay()[j], spec.adaptation_decay()[j], spec.threshold[j], bias_of(spec, j)
    a, b = (coupling[j] for coupling in spec.couplings())
    share = f32(1) - al

    def tick(u, w, current):
        u = al * u + share * (current - w)
        return (u, w), u

    def end(u, w, spiked):
        if spiked and spec.form == "se_adlif":
            return f32(0), be * w + b
        w = be * w + a * u
        return (u - threshold, w + b) if spiked else (u, w)

    al64, g, be64, a64, b64 = (float(x) for x in (al, share, be, a, bias))
    matrix = [[al64, -g], [a64 * al64, be64 - a64 * g]]
    return Neuron(tick, end, threshold, [(matrix, (g * b64, a64 * (g * b64)))], bias)


# --- resonate ---


def resonate(spec: ResonateSpec, j: int) -> Neuron:
    """Neuron j: z <- (re + i im) z + I"""
    re, im = (part[j] for part in spec.turn())
    threshold, bias = spec.threshold[j], bias_of(spec, j)

    def tick(x, y, current):
        x, y = re * x - im * y + current, im * x + re * y
        return (x, y), x

    def end(x, y, spiked):
        if spiked:
            return reset(x, threshold, spec.reset), y if spec.reset == "subtract" else f32(0)
        return x, y

    matrix = [[float(re), -float(im)], [float(im), float(re)]]
    return Neuron(tick, end, threshold, [(matrix, (float(bias), 0.0))], bias)


# --- srm ---


def srm(spec: SRMSpec, j: int) -> Neuron:
    """Neuron j: two alpha filters, of the input and of its own spikes."""
    (d, d_own), (gain, own_gain) = ([pair[0][j], pair[1][j]] for pair in (spec.decays(), spec.gains()))
    bias = bias_of(spec, j)

    def tick(p, q, p_own, q_own, current):
        q, p = d * (q + p), d * p + current
        q_own, p_own = d_own * (q_own + p_own), d_own * p_own
        return (p, q, p_own, q_own), gain * q - own_gain * q_own

    def end(p, q, p_own, q_own, spiked):
        return p, q, p_own + f32(1) if spiked else p_own, q_own

    pairs = [([[float(x), 0.0], [float(x), float(x)]], drive) for x, drive in ((d, (float(bias), 0.0)), (d_own, (0.0, 0.0)))]
    return Neuron(tick, end, spec.threshold[j], pairs, bias)
