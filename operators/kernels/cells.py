"""Cells: the neurons of one pixel and group of channels, side by side in a channel-last state, each moved on only when touched.

A cell is a pixel of one group of channels; its c neurons lie side by side. Cell q of maps of P pixels is pixel q % P of group
q // P, its neurons are v[q c : (q + 1) c], and neuron j of it is unit ((q // P) c + j) P + q % P.

Kernels share arrays as tuples:
cells   v (cells * c,) f4; last (cells,) i8, the tick up to which v of a cell has decayed; touched (cells + 1,) i8, the cells
        of the open tick, in any order
law     rate (c_out,) f8, d or in event mode tau in us; bias (c_out,) or (0,); kept and driven (ticks, c_out) f4, what m ticks
        keep of v and what bias adds in them, as far as the tables go
"""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import math

import numpy as np
from numba import njit

# The entries of `clock`: last tick begun, whether it is open, first tick not to close, next event, cells touched by the open
# tick, cells whose sums it fed, cells that the next tick must run, additions made, whether the output is full.
LAST, OPEN, STOP, CURSOR, TOUCHED, FED, RESTLESS, ADDED, FULL = 0, 1, 2, 3, 4, 5, 6, 7, 8

READ_I8, READ_F4 = "Array(int64, 1, 'C', readonly=True)", "Array(float32, 1, 'C', readonly=True)"
READ_F8, READ_U4 = "Array(float64, 1, 'C', readonly=True)", "Array(uint32, 1, 'C', readonly=True)"
TABLE, MATRIX = "Array(int64, 2, 'C', readonly=True)", "Array(float32, 2, 'C', readonly=True)"
EVENTS = f"Tuple(({READ_I8}, {READ_U4}, {READ_F4}))"
CELLS = "Tuple((float32[::1], int64[::1], int64[::1]))"
LAW = f"Tuple(({READ_F8}, {READ_F4}, {MATRIX}, {MATRIX}))"
SITES = f"Tuple(({READ_I8}, {READ_F4}, {READ_I8}, {TABLE}, {READ_I8}, {TABLE}, {READ_I8}))"


@njit("float64(int64, float64, int64)", cache=True)
def keep_over(m, rate, event_mode):
    """What a state keeps over m ticks: rate^m, in event mode exp(-m / rate) with the time constant `rate` in us."""
    if not event_mode:
        return math.pow(rate, np.float64(m))
    if rate == 0:
        return np.float64(m == 0)
    return math.exp(-np.float64(m) / rate)


@njit("float64(int64, float64, float64)", cache=True)
def drive_over(m, d, bias):
    """What a constant input of every tick grows to over m ticks, b (1 - d^m) / (1 - d); event mode has none."""
    if m == 1:
        return bias
    if d == 1:
        return bias * np.float64(m)
    return bias * ((1 - math.pow(d, np.float64(m))) / (1 - d))


@njit(f"void({READ_F8}, {READ_F4}, int64, float32[:, ::1], float32[:, ::1])", cache=True)
def fill_tables(rate, bias, event_mode, kept, driven):
    """kept[m, k] = what a neuron of channel k keeps over m ticks; driven[m, k] = what its bias adds to it in them."""
    for m in range(1, kept.shape[0]):
        for k in range(kept.shape[1]):
            kept[m, k] = np.float32(keep_over(m, rate[k], event_mode))
        for k in range(bias.shape[0]):
            driven[m, k] = np.float32(drive_over(m, rate[k], np.float64(bias[k])))


@njit(f"void(float32[::1], int64, int64, int64, int64, {READ_F8}, {READ_F4}, {MATRIX}, {MATRIX}, int64)", cache=True)
def decay_by(v, q, c, pixels, m, rate, bias, kept, driven, event_mode):
    """The c neurons of cell q after m ticks without input: v <- v d^m + b (1 - d^m) / (1 - d)."""
    own = np.uint64(q * c)
    first = np.uint64(0) if c == rate.shape[0] else np.uint64(q // pixels * c)
    if m < kept.shape[0]:
        for j in range(np.uint64(c)):
            v[own + j] *= kept[m, first + j]
        if bias.shape[0] > 0:
            for j in range(np.uint64(c)):
                v[own + j] += driven[m, first + j]
        return
    over = np.float32(0)
    for j in range(np.uint64(c)):
        d = rate[first + j]
        if j == 0 or d != rate[first + j - np.uint64(1)]:
            over = np.float32(keep_over(m, d, event_mode))
        v[own + j] *= over
        if bias.shape[0] > 0:
            v[own + j] += np.float32(drive_over(m, d, np.float64(bias[first + j])))


@njit(f"void(int64, int64, int64, int64, {CELLS}, {LAW}, int64[::1], int64)", cache=True)
def wake(n, tick, c, pixels, cells, law, restless, event_mode):
    """Brings the n restless cells to this tick; they are the first that it touches."""
    v, last, touched = cells
    rate, bias, kept, driven = law
    for i in range(n):
        q = restless[i]
        decay_by(v, q, c, pixels, tick - last[q], rate, bias, kept, driven, event_mode)
        last[q], touched[i] = tick, q
