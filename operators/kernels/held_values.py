"""The kernel of poisson and bernoulli: on every tick each unit fires as its latest value and a random number say.

The random number is a hash of (seed, tick, unit): nothing is drawn in order, so nothing of a stream of numbers needs keeping.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from operators.kernels.columns import EVENTS, OUT

EVENT, TICK, UNIT, LIVE = 0, 1, 2, 3  # the places of marks
BERNOULLI, POISSON = 0, 1
MOST = 255  # spikes that a unit gives in a tick at most; with a mean of 64 more are as good as impossible
BITS = 0xFFFFFFFF
GOLDEN = 0x9E3779B9


@njit("int64(int64)", cache=True)
def mix(x):
    """The last step of MurmurHash3 (32 bits). 0 <= x < 2**32, and so is what comes out; int64 keeps the low bits of a product."""
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & BITS
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & BITS
    return x ^ (x >> 16)


@njit("int64(int64, int64)", cache=True)
def tick_key(seed, tick):
    return mix(mix(mix(seed) ^ (tick & BITS)) ^ ((tick >> 32) & BITS))


@njit("int64(float64, float64)", cache=True)
def poisson_count(mean, draw):
    """The smallest n with P(N <= n) >= draw: P(N = n) = exp(-mean) mean^n / n!."""
    if draw <= 1.0 - mean:  # at most exp(-mean)
        return 0
    share = math.exp(-mean)
    below = share
    n = 0
    while draw > below and n < MOST:
        n += 1
        share *= mean / n
        below += share
    return n


@njit(f"int64({EVENTS}, int64[::1], int64, int64, int64, int64, float64, float64, float32[::1], {OUT})", cache=True)
def held_values(
    t_us, unit, value, marks, tick_us, until, law, seed, scale, mean_of_one, held, out_t_us, out_unit, no_values
):  # fmt: skip
    """Closes the ticks before `until`, taking each event into `held` before its tick closes. Returns how many spikes there are.

    p = scale * held, cut to 0..1. BERNOULLI: one spike if draw < p. POISSON: as many as poisson_count(p * mean_of_one, draw).
    A full output stops it between two units; it goes on from marks when called again, and is done when marks[TICK] is `until`.

    marks: (4,) int64, the next event, tick and unit, and how many units hold a value above 0. held: (units,) float32.
    no_values: (0,).
    """
    i, tick, u, live = int(marks[EVENT]), int(marks[TICK]), int(marks[UNIT]), int(marks[LIVE])
    room = out_t_us.shape[0] - MOST
    n = 0
    while True:
        while i < t_us.shape[0] and t_us[i] < (tick + 1) * tick_us:
            live += int(value[i] > 0) - int(held[unit[i]] > 0)
            held[unit[i]] = value[i]
            i += 1
        if live == 0 and tick < until:
            tick = min(until, int(t_us[i]) // tick_us) if i < t_us.shape[0] else until
            if i < t_us.shape[0]:
                continue
        if tick == until:
            break
        first, second = tick_key(seed, tick), tick_key(seed ^ GOLDEN, tick)
        while u < held.shape[0] and n <= room:
            if held[u] > 0:  # which what is not a number is not
                p = min(1.0, scale * np.float64(held[u]))
                draw = (mix(mix(u ^ first) ^ second) + 0.5) / 4294967296.0
                spikes = poisson_count(p * mean_of_one, draw) if law == POISSON else int(draw < p)
                for _ in range(spikes):
                    out_t_us[n] = tick * tick_us
                    out_unit[n] = u
                    n += 1
            u += 1
        if u < held.shape[0]:
            break
        u = 0
        tick += 1
    marks[EVENT], marks[TICK], marks[UNIT], marks[LIVE] = i, tick, u, live
    return n
