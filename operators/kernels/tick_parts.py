"""What the kernels of layers on a tick share: leaking over a gap, adding the rows of a tick's events, firing."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import math

import numpy as np
from numba import njit

from operators.kernels.clock import EVENTS, MATRIX, READ_F4, READ_F8


@njit(f"void(int64, float32[::1], {READ_F4}, {READ_F8})", cache=True)
def leak(m, v, bias, decay):
    """v after m >= 1 ticks without input events: v <- v d^m + b (1 - d^m) / (1 - d), a float32 product and a float32 sum.

    d^m is float32(pow(float64 d, m)). decay (n_out,) f8, or (1,) where all neurons have this one; bias (n_out,), or (0,): none.
    """
    keep = math.pow(decay[0], np.float64(m))
    for j in range(v.shape[0]):
        d = decay[min(j, decay.shape[0] - 1)]
        if decay.shape[0] > 1:
            keep = d if m == 1 else math.pow(d, np.float64(m))
        v[j] *= np.float32(keep)
        if bias.shape[0] > 0:
            grown = np.float64(m) if d == 1 else (1 - keep) / (1 - d)
            v[j] += bias[j] if m == 1 else np.float32(np.float64(bias[j]) * grown)


@njit(f"int64(float32[::1], {MATRIX}, {EVENTS}, int64, int64)", cache=True)
def add_rows(sums, weight, t_us, unit, value, at, end_us):
    """sums <- sums + weight[i] value_i of the events from `at` on that lie before end_us, in order; returns the next event."""
    n, n_out, graded = t_us.shape[0], sums.shape[0], value.shape[0] > 0
    while graded and at < n and t_us[at] < end_us:
        for j in range(n_out):
            sums[j] += weight[unit[at], j] * value[at]
        at += 1
    while at + 4 <= n and t_us[at + 3] < end_us:  # four at once: the sums are read and written a quarter as often
        a, b, c, d = weight[unit[at]], weight[unit[at + 1]], weight[unit[at + 2]], weight[unit[at + 3]]
        for j in range(n_out):
            sums[j] = sums[j] + a[j] + b[j] + c[j] + d[j]
        at += 4
    while at < n and t_us[at] < end_us:
        row = weight[unit[at]]
        for j in range(n_out):
            sums[j] += row[j]
        at += 1
    return at


@njit(f"boolean(float32[::1], {READ_F4})", cache=True)
def reaches(v, level):
    """Whether some v >= level."""
    found = 0
    for j in range(v.shape[0]):
        found += v[j] >= level[j]
    return found > 0


@njit(f"int64(float32[::1], {READ_F4}, int64, int64, int64[::1], uint32[::1], int64)", cache=True)
def fire(v, threshold, to_zero, t_us, out_t_us, out_unit, written):
    """Writes a spike of every neuron with v >= threshold behind the `written` ones, and resets it; returns the new number."""
    for j in range(v.shape[0]):
        if v[j] >= threshold[j]:
            out_t_us[written] = t_us
            out_unit[written] = j
            written += 1
            if to_zero:
                v[j] = 0
            else:
                v[j] -= threshold[j]
    return written
