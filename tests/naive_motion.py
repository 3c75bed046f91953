"""The slow plain truth of delay_motion and linear_attention: a whole episode as one packet, equation by equation.

States are np.float32 scalars, so every sum and product rounds as the equations say; powers are Python floats.
"""

from __future__ import annotations

import math

import numpy as np

from pipeline.layer_spec import DelayMotionSpec, LinearAttentionSpec
from pipeline.packet import Packet
from tests.naive import Event, by_tick, f32


def delay_motion(spec: DelayMotionSpec, episode: Packet) -> list[Event]:
    """Every class, place and tick: the sum over the events that a tap of its kernel reaches, in the order in which they came."""
    classes, _, delays, kh, kw = spec.kernel.shape
    height, width = spec.size
    came = by_tick(episode, spec.tick_us)
    begin, stop = episode.begin_us // spec.tick_us, -(-episode.end_us // spec.tick_us) + spec.reach_ticks
    found = []
    for tick in range(begin, stop):
        heard = [(tick - k, *np.unravel_index(i, (spec.kernel.shape[1], height, width)), value)
                 for k in sorted(came) if 0 <= tick - k < delays for _, i, value in came[k]]
        for y in range(height):
            for x in range(width):
                taps = [(spec.kernel[:, p, d, y - ey + kh // 2, x - ex + kw // 2], value) for d, p, ey, ex, value in heard
                        if 0 <= y - ey + kh // 2 < kh and 0 <= x - ex + kw // 2 < kw]
                if taps:
                    sums = [total(kernel[c] * value for kernel, value in taps) for c in range(classes)]
                    evidence = [spec.bias[c] + sums[c] for c in range(classes)]
                    winner = evidence.index(max(evidence))
                    if evidence[winner] >= spec.level():
                        unit = (winner * height + y) * width + x
                        found.append((tick * spec.tick_us, unit, f32(1 / (1 + math.exp(-float(evidence[winner]))))))
    return sorted(found, key=lambda event: event[:2])


def total(terms) -> np.float32:
    result = f32(0)
    for term in terms:
        result = result + term
    return result


def linear_attention(spec: LinearAttentionSpec, episode: Packet) -> tuple[list[tuple[int, int]], list[np.float32]]:
    """The spikes (t_us, unit), and o of all output neurons at the end."""
    tick_us, keys, values = spec.tick_us, spec.n_keys // spec.heads, spec.n_out // spec.heads
    came, hidden = by_tick(episode, tick_us), spec.weight.shape[1]
    d, d_out, memory = ([float(x) for x in array] for array in (spec.decay(), spec.decay_out(), spec.memory()))
    u, o = [f32(0)] * hidden, [f32(0)] * spec.n_out
    sums = {(k, j): f32(0) for k in range(spec.n_keys) for j in range(spec.n_out) if k // keys == j // values}
    last, spikes = episode.begin_us // tick_us - 1, []
    for tick in range(last + 1, -(-episode.end_us // tick_us)):
        left = any(x >= limit for x, limit in zip([*u, *o], [*spec.threshold, *spec.threshold_out], strict=True))
        if tick not in came and not left:
            continue
        m, last = tick - last, tick
        for i in range(hidden):
            u[i] = total([u[i] * f32(d[i] ** m), *(spec.weight[unit, i] * value for _, unit, value in came.get(tick, ()))])
        fired = [u[i] >= spec.threshold[i] for i in range(hidden)]
        u = [x - spec.threshold[i] if fired[i] else x for i, x in enumerate(u)]
        q, k, v = fired[: spec.n_keys], fired[spec.n_keys : 2 * spec.n_keys], fired[2 * spec.n_keys :]
        sums = {(i, j): x * f32(memory[i // keys] ** m) + f32(k[i] and v[j]) for (i, j), x in sums.items()}
        for j in range(spec.n_out):
            read = total(x for (i, to), x in sums.items() if to == j and q[i])
            o[j] = o[j] * f32(d_out[j] ** m) + spec.scale[j] * read
            if o[j] >= spec.threshold_out[j]:
                spikes.append((tick * tick_us, j))
                o[j] = o[j] - spec.threshold_out[j]
    return spikes, o
