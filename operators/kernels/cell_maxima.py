"""Sums of patches with a maximum over windows in between: what the events of a tick add up to, and its maxima, added to cells."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.cells import ADDED, CELLS, CURSOR, EVENTS, LAW, READ_I8, SITES, decay_by

WINDOWS = f"Tuple(({READ_I8}, {READ_I8}, {READ_I8}, {READ_I8}))"


@njit("void(float32[::1], int64, float32[::1], int64, int64, int64)", cache=True)
def add_greatest_of_four(v, own, current, upper, lower, c):
    """add_greatest for windows of two by two sums, whose rows of numbers begin at `upper` and `lower`."""
    own_, a, b, n = np.uint64(own), np.uint64(upper), np.uint64(lower), np.uint64(c)
    for j in range(n):
        most, other = current[a + j], current[a + n + j]
        most = other if other > most else most
        other = current[b + j]
        most = other if other > most else most
        other = current[b + n + j]
        v[own_ + j] += other if other > most else most


@njit("void(float32[::1], int64, float32[::1], int64, int64, int64, int64, int64, float32[::1])", cache=True)
def add_greatest(v, own, current, first, sum_width, high, wide, c, most):
    """Adds to the c neurons from v[own] on the greatest of a window of sums, whose first cell is `first`. most (c,): room."""
    begin = np.uint64(first * c)
    for j in range(np.uint64(c)):
        most[j] = current[begin + j]
    for row in range(high):
        for q in range(first + row * sum_width, first + row * sum_width + wide):
            begin = np.uint64(q * c)
            for j in range(np.uint64(c)):
                other = current[begin + j]
                most[j] = other if other > most[j] else most[j]
    begin = np.uint64(own)
    for j in range(np.uint64(c)):
        v[begin + j] += most[j]


@njit(f"int64(int64, int64, int64, int64, int64, {CELLS}, {CELLS}, {LAW}, {WINDOWS}, float32[::1], int64)", cache=True)
def add_maxima(n_fed, n, tick, c, pixels, sums, cells, law, windows, most, event_mode):
    """Adds to every cell the maximum of the sums in its window, and clears them; returns the number of touched cells.

    A window in which no sum was fed holds zeros and is left alone. windows: sizes (4,), pixels and columns of the sums, height
    and width of a window; corners (pixels,), the first pixel of each cell's window; of each pixel of the sums, belongs[k], k
    from starts[pixel] on, the cells in whose windows it lies. most (c,): room.
    """
    current, _, fed = sums
    v, last, touched = cells
    rate, bias, kept, driven = law
    quick = kept.shape[0] if c == kept.shape[1] and bias.shape[0] == 0 else 0
    sizes, corners, starts, belongs = windows
    sum_pixels, sum_width = sizes[0], sizes[1]
    for i in range(n_fed):
        group = fed[i] // sum_pixels
        pixel = fed[i] - group * sum_pixels
        for k in range(starts[pixel], starts[pixel + 1]):
            q = group * pixels + belongs[k]
            if last[q] != tick:
                if tick - last[q] < quick:
                    begin, m = np.uint64(q * c), tick - last[q]
                    for j in range(np.uint64(c)):
                        v[begin + j] *= kept[m, j]
                else:
                    decay_by(v, q, c, pixels, tick - last[q], rate, bias, kept, driven, event_mode)
                last[q], touched[n] = tick, q
                n += 1
    for i in range(n):
        group = touched[i] // pixels
        first = group * sum_pixels + corners[touched[i] - group * pixels]
        if sizes[2] == 2 and sizes[3] == 2:
            add_greatest_of_four(v, touched[i] * c, current, first * c, (first + sum_width) * c, c)
        else:
            add_greatest(v, touched[i] * c, current, first, sum_width, sizes[2], sizes[3], c, most)
    for i in range(n_fed):
        begin = np.uint64(fed[i] * c)
        for j in range(np.uint64(c)):
            current[begin + j] = np.float32(0)
    return n


@njit(f"void({EVENTS}, int64, int64[::1], int64, int64, {CELLS}, {SITES})", cache=True)
def add_to_sums(events, end_us, clock, tick, c, sums, sites):
    """add_patches for sums, which are zero before the tick: what an event reaches is marked with the tick, and not listed."""
    t_us, unit, value = events
    current, fed_at, _ = sums
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
                for p in range(np.uint64(q), np.uint64(q + length)):
                    fed_at[p] = tick
                own, patch = np.uint64(q * c), np.uint64((row_site + cols[k, 2]) * c)
                if graded:
                    factor = value[at]
                    for j in range(np.uint64(length * c)):
                        current[own + j] += weight[patch + j] * factor
                else:
                    for j in range(np.uint64(length * c)):
                        current[own + j] += weight[patch + j]
                added += length * c
        at += 1
    clock[CURSOR] = at
    clock[ADDED] += added


@njit(f"int64(int64, int64, int64, int64, {CELLS}, {CELLS}, {LAW}, {WINDOWS}, float32[::1], int64)", cache=True)
def add_all_maxima(n, tick, c, pixels, sums, cells, law, windows, most, event_mode):
    """add_maxima for sums that are marked and not listed: goes through all cells, and clears all sums."""
    current, fed_at, _ = sums
    v, last, touched = cells
    rate, bias, kept, driven = law
    sizes, corners, _, _ = windows
    sum_pixels, sum_width, high, wide = sizes[0], sizes[1], sizes[2], sizes[3]
    woken = n
    for group in range(last.shape[0] // pixels):
        for pixel in range(pixels):
            q, first, fed = group * pixels + pixel, group * sum_pixels + corners[pixel], 0
            for row in range(high):
                for p in range(np.uint64(first + row * sum_width), np.uint64(first + row * sum_width + wide)):
                    fed += fed_at[p] == tick
            touched[n] = q
            n += (fed > 0) & (last[q] != tick)
    for i in range(n):
        q = touched[i]
        group = q // pixels
        first = group * sum_pixels + corners[q - group * pixels]
        if i >= woken:
            decay_by(v, q, c, pixels, tick - last[q], rate, bias, kept, driven, event_mode)
            last[q] = tick
        if high == 2 and wide == 2:
            add_greatest_of_four(v, q * c, current, first * c, (first + sum_width) * c, c)
        else:
            add_greatest(v, q * c, current, first, sum_width, high, wide, c, most)
    current[:] = np.float32(0)
    return n
