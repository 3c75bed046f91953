"""The spikes of cells: which of the touched ones crossed the threshold, in order; what they emit, and their reset."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.cells import CELLS, READ_F4

FEW = 16  # cells that are put in order by insertion alone
CROWDED = 4  # with more than one cell in so many touched, all are gone through in order
LANES = 32  # neurons whose comparisons make one number
PLACES = np.array([0, 1, 28, 2, 29, 14, 24, 3, 30, 22, 20, 15, 25, 17, 4, 8, 31, 27, 13, 23, 21, 19, 16, 7, 26, 12, 18, 6, 11, 5,
                   10, 9], np.uint64)  # of the one bit set: by the five bits that 0x077CB531 times it shows first

FIRING = f"Tuple(({READ_F4}, {READ_F4}))"
SCRATCH = "Tuple((int64[::1], int64[::1], int64[::1], int64[::1], int64[::1]))"
OUT = "Tuple((int64[::1], uint32[::1]))"


@njit("void(int64, int64[::1], int64[::1], int64[::1])", cache=True)
def order_cells(n, cells, room, starts):
    """Sorts the first n of `cells` in place: dealt out to buckets of neighbours, then by insertion. room: as long as cells."""
    if n > FEW:
        shift, buckets = 0, starts.shape[0] - 1
        while cells.shape[0] >> shift >= buckets:
            shift += 1
        starts[:] = 0
        for i in range(n):
            starts[(cells[i] >> shift) + 1] += 1
        for k in range(1, buckets):
            starts[k] += starts[k - 1]
        for i in range(n):
            room[i] = cells[i]
        for i in range(n):
            k = room[i] >> shift
            cells[starts[k]] = room[i]
            starts[k] += 1
    for i in range(1, n):
        moved, k = cells[i], i
        while k > 0 and cells[k - 1] > moved:
            cells[k] = cells[k - 1]
            k -= 1
        cells[k] = moved


@njit(f"int64(int64, int64, int64, int64, {CELLS}, {FIRING}, {SCRATCH})", cache=True)
def find_hot(n, tick, c, pixels, cells, firing, scratch):
    """The cells among the n touched ones in which some v >= ceiling, in order, into `hot`; returns their number."""
    v, last, touched = cells
    ceiling, hot, n_cells, n_hot = firing[1], scratch[2], last.shape[0], 0
    in_order = n * CROWDED >= n_cells
    if in_order:
        n = 0
        for q in range(n_cells):
            touched[n] = q
            n += last[q] == tick
    for i in range(n):
        q = touched[i]
        own, first = np.uint64(q * c), np.uint64(0)
        if n_cells != pixels:
            first = np.uint64(q // pixels * c)
        found = np.int32(0)
        for j in range(np.uint64(c)):
            found = found + np.int32(v[own + j] >= ceiling[first + j])
        hot[n_hot] = q
        n_hot += int(found > 0)
    if not in_order:
        order_cells(n_hot, hot, scratch[3], scratch[4])
    return n_hot


@njit(f"UniTuple(int64, 2)(int64, int64, int64, int64, {CELLS}, {FIRING}, int64, int64, {SCRATCH}, {OUT})", cache=True)
def fire(n_hot, t_us, c, pixels, cells, firing, to_zero, driven, scratch, out):
    """Writes the spikes of the hot cells, in order, and resets; `hot` keeps the cells of which some v >= ceiling is left.

    A neuron with v >= threshold spikes. The spikes come out pixel by pixel, and are dealt out to channels. Returns the
    number of spikes and of cells kept. The room in `out` is that behind the spikes of earlier ticks.
    """
    v, last, _ = cells
    threshold, ceiling = firing
    found, counts, hot, _, _ = scratch
    out_t_us, out_unit = out
    n_found, kept = 0, 0
    for i in range(n_hot):
        q = hot[i]
        group = np.int64(0) if last.shape[0] == pixels else q // pixels
        own, first, again = np.uint64(q * c), np.uint64(group * c), np.int32(0)
        for lane in range(np.uint64(0), np.uint64(c), np.uint64(LANES)):
            bits = np.int32(0)
            for j in range(min(np.uint64(LANES), np.uint64(c) - lane)):
                bits = bits | np.int32(v[own + lane + j] >= threshold[first + lane + j]) << np.int32(j)
            fired = np.int64(bits) & 0xFFFFFFFF
            while fired:
                lowest = fired & -fired
                fired ^= lowest
                j = lane + PLACES[(lowest * 0x077CB531 & 0xFFFFFFFF) >> 27]
                found[n_found] = (q - group * pixels) << 32 | np.int64(first + j)
                counts[first + j] += 1
                n_found += 1
                left = np.float32(0) if to_zero else v[own + j] - threshold[first + j]
                v[own + j] = left
                again = again + np.int32(left >= ceiling[first + j])
        if driven:
            for j in range(np.uint64(c)):
                again = again + np.int32(v[own + j] >= ceiling[first + j])
        hot[kept] = q
        kept += int(again > 0)
    if n_found == 0:
        return n_found, kept
    begin = 0
    for k in range(counts.shape[0]):
        begin, counts[k] = begin + counts[k], begin
    for i in range(n_found):
        k = found[i] & 0xFFFFFFFF
        out_unit[counts[k]] = k * pixels + (found[i] >> 32)
        counts[k] += 1
    for i in range(n_found):
        out_t_us[i] = t_us
    counts[:] = 0
    return n_found, kept
