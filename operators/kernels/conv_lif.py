"""The kernels of conv_lif: events add patches of the kernel to a channel-last state, of which only touched cells are looked at.

The arrays that kernels share are those of operators/kernels/cells.py, and
sites   (sizes, weight, row_starts, rows, col_starts, cols, group_first), see add_patches
"""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.cell_maxima import WINDOWS, add_all_maxima, add_maxima, add_to_sums
from operators.kernels.cell_spikes import FIRING, OUT, SCRATCH, find_hot, fire
from operators.kernels.cells import (
    ADDED,
    CELLS,
    CURSOR,
    EVENTS,
    FED,
    FULL,
    LAST,
    LAW,
    OPEN,
    READ_I8,
    RESTLESS,
    SITES,
    STOP,
    TOUCHED,
    decay_by,
    wake,
)

UNLISTED = -1  # in place of the number of cells that were fed: so many that they are marked and not listed


@njit(f"int64({EVENTS}, int64, int64[::1], int64, int64, int64, int64, {CELLS}, {LAW}, {SITES}, int64)", cache=True)
def add_patches(events, end_us, clock, n, tick, c, pixels, cells, law, sites, event_mode):
    """Adds the patches of the events from clock[CURSOR] on and before end_us to v; returns the number of touched cells.

    Event (i, y, x) adds weight[o, i, ky, kx] value to every output (o, oy, ox) with y = oy stride - padding + ky dilation and
    the same for x. sizes (3,): pixels of a channel and of a row of the input, sites of the kernel. weight: rows of c floats, by
    input channel, kernel row and column, the columns in such an order that neighbours in a row of outputs meet neighbours.
    rows[k], k from row_starts[y] on: first pixel of an output row and first site of the kernel row that leads there. cols[k], k
    from col_starts[x] on: first output column of a run, its length, kernel column. group_first (c_in,): first cell of the group.
    """
    t_us, unit, value = events
    v, last, touched = cells
    rate, bias, kept, driven = law
    quick = kept.shape[0] if c == kept.shape[1] and bias.shape[0] == 0 else 0
    sizes, weight, row_starts, rows, col_starts, cols, group_first = sites
    plane, width, n_sites = np.uint32(sizes[0]), np.uint32(sizes[1]), sizes[2]
    graded, at, added = value.shape[0] > 0, clock[CURSOR], 0
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
                    if last[p] != tick:
                        if tick - last[p] < quick:
                            begin, m = np.uint64(p * c), tick - last[p]
                            for j in range(np.uint64(c)):
                                v[begin + j] *= kept[m, j]
                        else:
                            decay_by(v, p, c, pixels, tick - last[p], rate, bias, kept, driven, event_mode)
                        last[p], touched[n] = tick, p
                        n += 1
                own, patch = np.uint64(q * c), np.uint64((row_site + cols[k, 2]) * c)
                if graded:
                    factor = value[at]
                    for j in range(np.uint64(length * c)):
                        v[own + j] += weight[patch + j] * factor
                else:
                    for j in range(np.uint64(length * c)):
                        v[own + j] += weight[patch + j]
                added += length * c
        at += 1
    clock[CURSOR] = at
    clock[ADDED] += added
    return n


@njit(f"boolean({READ_I8}, int64, int64, int64)", cache=True)
def has_many(t_us, at, end_us, most):
    """Whether more than `most` events from `at` on lie before end_us."""
    return at + most < t_us.shape[0] and t_us[at + most] < end_us


RUN = (
    f"int64({EVENTS}, int64[::1], {READ_I8}, {CELLS}, {LAW}, {CELLS}, {LAW}, {SITES}, {WINDOWS}, {FIRING}, {SCRATCH}, "
    f"float32[::1], {OUT})"
)


@njit(RUN, cache=True)
def run_ticks(events, clock, modes, sums, sum_law, cells, law, sites, windows, firing, scratch, most, out):
    """Takes in all events, runs the ticks before clock[STOP] and writes their spikes, sorted by (t, unit); returns how many.

    A tick is run if it has input, or if a cell had v >= ceiling after the tick before it. Of a tick, the cells that its events
    reach and those are run, m ticks after they last were: v <- v kept(m) + driven(m) + the patches, in the order of the events;
    where v >= threshold a spike at k tick_us, and v <- v - threshold, or 0. Tick clock[STOP] is not closed yet: its events are
    added as they come, it is compared by the call that closes it. With a maximum over windows in between patches are added to
    `sums`, cells that forget everything over a tick, and their maxima to v when the tick closes.

    modes: tick_us, event mode, reset to zero, neurons of a cell, pixels of the cells and of the sums. most (c,): room. It stops
    before a tick whose spikes might not fit, with clock[FULL]: call again.
    """
    t_us = events[0]
    tick_us, event_mode, to_zero, c, pixels, sum_pixels = modes[0], modes[1], modes[2], modes[3], modes[4], modes[5]
    n_events, stop, room, pooled = t_us.shape[0], clock[STOP], out[0].shape[0], windows[1].shape[0] > 0
    driven = np.int64(law[1].shape[0] > 0)
    hot, n, n_fed, written = scratch[2], clock[TOUCHED], clock[FED], 0
    clock[FULL] = 0
    while True:
        at, tick = clock[CURSOR], clock[LAST]
        if not clock[OPEN]:
            tick = tick + 1 if clock[RESTLESS] > 0 else t_us[at] // tick_us if at < n_events else stop
            if tick >= stop and not (at < n_events and t_us[at] < (tick + 1) * tick_us):
                break
            clock[LAST], clock[OPEN] = tick, 1
            n, n_fed = clock[RESTLESS], 0
            wake(n, tick, c, pixels, cells, law, hot, event_mode)
            clock[RESTLESS] = 0
        if pooled and (n_fed == UNLISTED or has_many(t_us, at, (tick + 1) * tick_us, sums[1].shape[0] // sites[0][2])):
            n_fed = UNLISTED
            add_to_sums(events, (tick + 1) * tick_us, clock, tick, c, sums, sites)
        elif pooled:
            n_fed = add_patches(events, (tick + 1) * tick_us, clock, n_fed, tick, c, sum_pixels, sums, sum_law, sites, 0)
        else:
            n = add_patches(events, (tick + 1) * tick_us, clock, n, tick, c, pixels, cells, law, sites, event_mode)
        if tick >= stop:
            break
        if written + (cells[0].shape[0] if pooled else n * c) > room:
            clock[FULL] = 1
            break
        if pooled and n_fed == UNLISTED:
            n = add_all_maxima(n, tick, c, pixels, sums, cells, law, windows, most, event_mode)
        elif pooled:
            n = add_maxima(n_fed, n, tick, c, pixels, sums, cells, law, windows, most, event_mode)
        n_hot = find_hot(n, tick, c, pixels, cells, firing, scratch)
        if n_hot > 0:
            rest = out[0][written:], out[1][written:]
            found, clock[RESTLESS] = fire(n_hot, tick * tick_us, c, pixels, cells, firing, to_zero, driven, scratch, rest)
            written += found
        clock[OPEN] = 0
    clock[TOUCHED], clock[FED] = n, n_fed
    return written
