"""The kernels of quantised_conv_lif: events add patches of small whole numbers to sums of whole numbers, and a tick that closes
adds these, times the scale of their channel, to the membranes.

Cells, law, sites and firing are those of kernels/cells.py and conv_lif.py, but that the weights of `sites` are int8 codes.
sums: current (cells * c,) int32, what the open tick has added up, 0 before and after; fed_at (cells,) i8, the last tick that
fed a cell; fed (cells + 1,) i8, the cells that the open tick fed, in any order.
"""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.cell_spikes import FIRING, OUT, SCRATCH, find_hot, fire
from operators.kernels.cells import (
    ADDED,
    CELLS,
    CURSOR,
    FED,
    FULL,
    LAST,
    LAW,
    OPEN,
    READ_F4,
    READ_I8,
    READ_U4,
    RESTLESS,
    STOP,
    TABLE,
    TOUCHED,
    decay_by,
    wake,
)

READ_I1 = "Array(int8, 1, 'C', readonly=True)"
SPIKES = f"Tuple(({READ_I8}, {READ_U4}))"
SUMS = "Tuple((int32[::1], int64[::1], int64[::1]))"
SITES = f"Tuple(({READ_I8}, {READ_I1}, {READ_I8}, {TABLE}, {READ_I8}, {TABLE}, {READ_I8}))"


@njit(f"int64({SPIKES}, int64, int64[::1], int64, int64, int64, {SUMS}, {SITES})", cache=True)
def add_codes(spikes, end_us, clock, n, tick, c, sums, sites):
    """Adds the patches of the spikes from clock[CURSOR] on and before end_us to the sums; returns the number of fed cells.

    It is add_patches of kernels/conv_lif.py in whole numbers.
    """
    t_us, unit = spikes
    current, fed_at, fed = sums
    sizes, codes, row_starts, rows, col_starts, cols, group_first = sites
    plane, width, n_sites = np.uint32(sizes[0]), np.uint32(sizes[1]), sizes[2]
    at, added = clock[CURSOR], 0
    while at < t_us.shape[0] and t_us[at] < end_us:
        channel = unit[at] // plane
        pixel = unit[at] - channel * plane
        y = pixel // width
        x = pixel - y * width
        for r in range(row_starts[y], row_starts[y + 1]):
            row_cell = group_first[channel] + rows[r, 0]
            row_site = np.int64(channel) * n_sites + rows[r, 1]
            for k in range(col_starts[x], col_starts[x + 1]):
                q, length = row_cell + cols[k, 0], cols[k, 1]
                for p in range(q, q + length):
                    if fed_at[p] != tick:
                        fed_at[p], fed[n] = tick, p
                        n += 1
                own, patch = np.uint64(q * c), np.uint64((row_site + cols[k, 2]) * c)
                for j in range(np.uint64(length * c)):
                    current[own + j] += codes[patch + j]
                added += length * c
        at += 1
    clock[CURSOR] = at
    clock[ADDED] += added
    return n


@njit(f"int64(int64, int64, int64, int64, int64, {SUMS}, {READ_F4}, {CELLS}, {LAW})", cache=True)
def add_sums(n_fed, n, tick, c, pixels, sums, scale, cells, law):
    """v <- v + scale n of the fed cells, after their decay; the sums are cleared. Returns the number of touched cells."""
    current, _, fed = sums
    v, last, touched = cells
    rate, bias, kept, driven = law
    for i in range(n_fed):
        q = fed[i]
        if last[q] != tick:
            decay_by(v, q, c, pixels, tick - last[q], rate, bias, kept, driven, 0)
            last[q], touched[n] = tick, q
            n += 1
        own = np.uint64(q * c)
        for j in range(np.uint64(c)):
            v[own + j] += scale[j] * np.float32(current[own + j])
            current[own + j] = np.int32(0)
    return n


@njit(f"int64({SPIKES}, int64[::1], {READ_I8}, {SUMS}, {READ_F4}, {CELLS}, {LAW}, {SITES}, {FIRING}, {SCRATCH}, {OUT})",
      cache=True)
def run_ticks(spikes, clock, modes, sums, scale, cells, law, sites, firing, scratch, out):
    """Takes in all spikes, runs the ticks before clock[STOP] and writes what fires, sorted by (t, unit); returns how many.

    At tick k, m ticks after a cell was run last: v <- v kept(m) + driven(m) + scale (sum of the patches of codes); where
    v >= threshold a spike at k tick_us, and v <- v - threshold, or 0. A cell is run at a tick that feeds it, and if it had
    v >= ceiling after the tick before. Tick clock[STOP] is not closed yet: it has fed its sums. modes, scratch: as in
    kernels/conv_lif.py. It stops before a tick whose spikes might not fit, with clock[FULL]: call again.
    """
    t_us = spikes[0]
    tick_us, to_zero, c, pixels = modes[0], modes[2], modes[3], modes[4]
    n_spikes, stop, room, driven = t_us.shape[0], clock[STOP], out[0].shape[0], np.int64(law[1].shape[0] > 0)
    hot, n, n_fed, written = scratch[2], clock[TOUCHED], clock[FED], 0
    clock[FULL] = 0
    while True:
        at, tick = clock[CURSOR], clock[LAST]
        if not clock[OPEN]:
            tick = tick + 1 if clock[RESTLESS] > 0 else t_us[at] // tick_us if at < n_spikes else stop
            if tick >= stop and not (at < n_spikes and t_us[at] < (tick + 1) * tick_us):
                break
            clock[LAST], clock[OPEN] = tick, 1
            n, n_fed = clock[RESTLESS], 0
            wake(n, tick, c, pixels, cells, law, hot, 0)
            clock[RESTLESS] = 0
        n_fed = add_codes(spikes, (tick + 1) * tick_us, clock, n_fed, tick, c, sums, sites)
        if tick >= stop:
            break
        if written + min((n + n_fed) * c, cells[0].shape[0]) > room:  # a cell that fires again may be fed as well
            clock[FULL] = 1
            break
        n = add_sums(n_fed, n, tick, c, pixels, sums, scale, cells, law)
        n_hot = find_hot(n, tick, c, pixels, cells, firing, scratch)
        if n_hot > 0:
            rest = out[0][written:], out[1][written:]
            found, clock[RESTLESS] = fire(n_hot, tick * tick_us, c, pixels, cells, firing, to_zero, driven, scratch, rest)
            written += found
        clock[OPEN] = 0
    clock[TOUCHED], clock[FED] = n, n_fed
    return written
