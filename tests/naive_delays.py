"""The slow plain truth of layers with delays, recurrence and smoothing: a whole episode as one packet, equation by equation.

Membranes are np.float32 scalars, so every sum and product rounds as the equations say; powers are Python floats.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import numpy as np

from pipeline.layer_spec import MPSLIFSpec, RecurrentLIFSpec, SynapticDelaySpec
from pipeline.packet import Packet
from tests.naive import by_tick, f32, silence_ceiling, silent_ticks

Spikes = list[tuple[int, int]]


def synaptic_delay(spec: SynapticDelaySpec, episode: Packet) -> tuple[Spikes, list[np.float32]]:
    """The spikes (t_us, unit) and v at the end. A tick is run if an event before it is at least as old as the least delay and
    at most as old as the greatest, or if after the tick before it some neuron was where silence could make it fire."""
    tick_us, delay = spec.tick_us, np.broadcast_to(spec.delay_us, spec.weight.shape) // spec.tick_us
    begin, stop = episode.begin_us // tick_us, -(-episode.end_us // tick_us) + spec.reach_ticks
    came = by_tick(episode, tick_us)
    v = [f32(0)] * spec.n_out
    last, spikes = begin - 1, Spikes()
    for tick in range(begin, stop):
        restless = last == tick - 1 and any(v[j] >= silence_ceiling(spec, j) for j in range(spec.n_out))
        sources = [k for k in sorted(came) if tick - spec.reach_ticks <= k <= tick - spec.lead_ticks]
        if not sources and not restless:
            continue
        for j in range(spec.n_out):
            current = f32(0)
            for k in sources:
                for _, i, value in came[k]:
                    if k + delay[i, j] == tick:
                        current = current + spec.weight[i, j] * value
            v[j] = silent_ticks(spec, j, v[j], tick - last) + current
            if v[j] >= spec.threshold[j]:
                spikes.append((tick * tick_us, j))
                v[j] = v[j] - spec.threshold[j] if spec.reset == "subtract" else f32(0)
        last = tick
    return spikes, v


def recurrent_lif(spec: RecurrentLIFSpec, episode: Packet) -> tuple[Spikes, list[np.float32]]:
    """The spikes (t_us, unit) and v at the end: at every tick with events, arrivals or a neuron that silence could make fire,
    decay, bias, arrivals, events, compare, emit, reset."""
    tick_us = spec.tick_us
    came, arriving = by_tick(episode, tick_us), defaultdict(list)
    begin, stop = episode.begin_us // tick_us, -(-episode.end_us // tick_us)
    v = [f32(0)] * spec.n_out
    last, spikes = begin - 1, Spikes()
    for tick in range(begin, stop):
        restless = last == tick - 1 and any(v[j] >= silence_ceiling(spec, j) for j in range(spec.n_out))
        if tick not in came and tick not in arriving and not restless:
            continue
        fired = []
        for j in range(spec.n_out):
            v[j] = silent_ticks(spec, j, v[j], tick - last)
            for source in arriving[tick]:
                v[j] = v[j] + spec.recurrent[source, j]
            for _, i, value in came.get(tick, ()):
                v[j] = v[j] + spec.weight[i, j] * value
            if v[j] >= spec.threshold[j]:
                fired.append(j)
                v[j] = v[j] - spec.threshold[j] if spec.reset == "subtract" else f32(0)
        for j in fired:
            spikes.append((tick * tick_us, j))
            arriving[tick + 1 + int(spec.delay_us[j]) // tick_us].append(j)
        last = tick
    return spikes, v


def mps_lif(spec: MPSLIFSpec, episode: Packet) -> tuple[Spikes, list[np.float32]]:
    """The spikes (t_us, unit) and hs of the tick after the last one run, by the form with one state."""
    tick_us, k, rho, gain = spec.tick_us, spec.decay(), spec.smooth_decay(), f32(1 - spec.alpha)
    came = by_tick(episode, tick_us)
    begin, stop = episode.begin_us // tick_us, -(-episode.end_us // tick_us)
    hs = [f32(0)] * spec.n_out
    last, spikes = begin - 1, Spikes()
    for tick in range(begin, stop):
        restless = last == tick - 1 and any(k[j] * hs[j] >= spec.threshold[j] for j in range(spec.n_out))
        if tick not in came and not restless:
            continue
        for j in range(spec.n_out):
            current = f32(0)
            for _, i, value in came.get(tick, ()):
                current = current + spec.weight[i, j] * value
            now = hs[j] * f32(float(rho[j]) ** (tick - last - 1))
            left = current
            if k[j] * now + current >= spec.threshold[j]:
                spikes.append((tick * tick_us, j))
                left = current - spec.threshold[j]
            hs[j] = rho[j] * now + gain * left
        last = tick
    return spikes, hs


def mps_two_states(k: Fraction, alpha: Fraction, threshold: Fraction, inputs: list[Fraction]) -> list[int]:
    """The ticks of the spikes of one neuron, as the paper defines it: hs and u are states, in exact arithmetic."""
    hs = u = Fraction(0)
    spikes = []
    for tick, current in enumerate(inputs):
        hs = alpha * hs + (1 - alpha) * u
        u = k * hs + current
        if u >= threshold:
            spikes.append(tick)
            u -= threshold
    return spikes


def mps_one_state(k: Fraction, alpha: Fraction, threshold: Fraction, inputs: list[Fraction]) -> list[int]:
    """The same with one state: hs <- rho hs + (1 - alpha)(I - threshold spike), rho = k + alpha (1 - k)."""
    hs = Fraction(0)
    spikes = []
    for tick, current in enumerate(inputs):
        left = current
        if k * hs + current >= threshold:
            spikes.append(tick)
            left -= threshold
        hs = (k + alpha * (1 - k)) * hs + (1 - alpha) * left
    return spikes
