"""The slow plain truth of layers of compartments and of balanced layers: a whole episode as one packet, equation by equation.

States are np.float32 scalars, so every sum and product rounds as the equations say; powers of matrices are Python floats.
"""

from __future__ import annotations

import numpy as np

from pipeline.layer_spec import EILIFSpec, TwoCompartmentSpec
from pipeline.packet import Packet
from tests.naive import Event, by_tick, f32, silence_ceiling, silent_ticks

Matrix = tuple[float, float, float, float]  # rows (00, 01), (10, 11)


def two_compartment(spec: TwoCompartmentSpec, episode: Packet) -> tuple[list[Event], list[np.float32]]:
    """The graded events, and slow of all neurons, then fast, at the end."""
    tick_us, added = spec.tick_us, spec.input_step()
    came = by_tick(episode, tick_us)
    slow, fast = [f32(0)] * spec.n_out, [f32(0)] * spec.n_out
    steps = [tuple(map(float, step.ravel())) for step in spec.silent_step()]
    growth = [greatest_growth(step) for step in steps]
    last, found = episode.begin_us // tick_us - 1, list[Event]()
    for tick in range(last + 1, -(-episode.end_us // tick_us)):
        restless = last == tick - 1 and any(
            growth[j] is None or max(abs(slow[j]), abs(fast[j])) >= f32(spec.threshold[j] / (growth[j] * (1 + 2**-20)))
            for j in range(spec.n_out))
        if tick not in came and not restless:
            continue
        for j in range(spec.n_out):
            current = f32(0)
            for _, i, value in came.get(tick, ()):
                current = current + spec.weight[i, j] * value
            a, b, c, d = map(f32, power(steps[j], tick - last))
            slow[j], fast[j] = (a * slow[j] + b * fast[j] + added[j, 0] * current,
                                c * slow[j] + d * fast[j] + added[j, 1] * current)
            fires_slow, fires_fast = slow[j] >= spec.threshold[j], fast[j] >= spec.threshold[j]
            if fires_slow or fires_fast:
                value = (spec.gain_slow[j] if fires_slow else f32(0)) + (spec.gain_fast[j] if fires_fast else f32(0))
                found.append((tick * tick_us, j, value))
            slow[j] = slow[j] - spec.reset_slow[j] if fires_slow else slow[j]
            fast[j] = fast[j] - spec.reset_fast[j] if fires_fast else fast[j]
        last = tick
    return found, slow + fast


def times(x: Matrix, y: Matrix) -> Matrix:
    return (x[0] * y[0] + x[1] * y[2], x[0] * y[1] + x[1] * y[3], x[2] * y[0] + x[3] * y[2], x[2] * y[1] + x[3] * y[3])


def power(step: Matrix, m: int) -> Matrix:
    """step^m, squaring from the highest bit of m on."""
    found = step
    for bit in bin(m)[3:]:
        found = times(found, found)
        if bit == "1":
            found = times(found, step)
    return found


def greatest_growth(step: Matrix) -> float | None:
    """By how much silence can make the greater of |slow| and |fast| grow at most; None if it is not seen to end."""
    greatest, reached = 1.0, step
    for _ in range(4096):
        size = max(abs(reached[0]) + abs(reached[1]), abs(reached[2]) + abs(reached[3]))
        greatest = max(greatest, size)
        if size <= 1:
            return greatest
        reached = times(reached, step)
    return None


def two_compartment_every_tick(spec: TwoCompartmentSpec, episode: Packet) -> tuple[list[tuple[int, int]], float]:
    """(t_us, unit) by the equations of the paper, in float64 at every tick; and how near to a threshold a neuron ever came."""
    tick_us = spec.tick_us
    came, found, nearest = by_tick(episode, tick_us), [], float("inf")
    slow, fast = np.zeros(spec.n_out), np.zeros(spec.n_out)
    a, b = spec.silent_step()[:, 0, 0], spec.silent_step()[:, 1, 1] - spec.to_fast.astype(float) * spec.to_slow
    for tick in range(episode.begin_us // tick_us, -(-episode.end_us // tick_us)):
        current = np.zeros(spec.n_out)
        for _, i, value in came.get(tick, ()):
            current = current + spec.weight[i].astype(float) * float(value)
        slow = a * slow - spec.to_slow * fast + spec.input_slow * current
        fast = b * fast - spec.to_fast * slow + spec.input_fast * current
        nearest = min(nearest, *np.abs(slow - spec.threshold), *np.abs(fast - spec.threshold))
        found += [(tick * tick_us, j) for j in np.flatnonzero((slow >= spec.threshold) | (fast >= spec.threshold)).tolist()]
        slow, fast = slow - spec.reset_slow * (slow >= spec.threshold), fast - spec.reset_fast * (fast >= spec.threshold)
    return found, nearest


def ei_lif(spec: EILIFSpec, episode: Packet) -> tuple[list[tuple[int, int]], list[np.float32]]:
    """The spikes (t_us, unit) and v at the end."""
    tick_us = spec.tick_us
    came = by_tick(episode, tick_us)
    v = [f32(0)] * spec.n_out
    last, spikes = episode.begin_us // tick_us - 1, []
    for tick in range(last + 1, -(-episode.end_us // tick_us)):
        restless = last == tick - 1 and any(v[j] >= silence_ceiling(spec, j) for j in range(spec.n_out))
        if tick not in came and not restless:
            continue
        h = [weighed(spec.weight_i[:, k], came.get(tick, ())) for k in range(spec.weight_i.shape[1])]
        for j in range(spec.n_out):
            v[j] = silent_ticks(spec, j, v[j], tick - last)
            subtracts, divides = f32(0), f32(0)
            for k, activity in enumerate(h):
                if activity != 0:
                    subtracts = subtracts + activity * spec.weight_ei[k, j]
                    divides = divides + spec.gain_i[k] * activity * spec.weight_ei[k, j]
            if divides > 0:
                v[j] = v[j] + spec.gain_e[j] * (weighed(spec.weight_e[:, j], came.get(tick, ())) - subtracts) / divides
            if v[j] >= spec.threshold[j]:
                spikes.append((tick * tick_us, j))
                v[j] = v[j] - spec.threshold[j] if spec.reset == "subtract" else f32(0)
        last = tick
    return spikes, v


def weighed(weight: np.ndarray, inputs: list[Event]) -> np.float32:
    total = f32(0)
    for _, i, value in inputs:
        total = total + weight[i] * value
    return total
