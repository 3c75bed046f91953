"""The kernels of conv_lif: events add patches of the kernel to a channel-last state, of which only touched cells are looked at.

A cell is a pixel of one group of channels; its c neurons lie side by side. Cell q of maps of P pixels is pixel q % P of group
q // P, its neurons are v[q c : (q + 1) c], and neuron j of it is unit ((q // P) c + j) P + q % P.

Kernels share arrays as tuples:
cells   v (cells * c,) f4; last (cells,) i8, the tick up to which v of a cell has decayed; touched (cells + 1,) i8, the cells
        of the open tick, in any order
law     rate (c_out,) f8, d or in event mode tau in us; bias (c_out,) or (0,); kept and driven (ticks, c_out) f4, what m ticks
        keep of v and what bias adds in them, as far as the tables go
sites   (sizes, weight, row_starts, rows, col_starts, cols, group_first), see add_patches
"""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import math

import numpy as np
from numba import njit

# The entries of `clock`: last tick begun, whether it is open, first tick not to close, next event, cells touched by the open
# tick, cells whose sums it fed, cells that the next tick must run, additions made, whether the output is full.
LAST, OPEN, STOP, CURSOR, TOUCHED, FED, RESTLESS, ADDED, FULL = 0, 1, 2, 3, 4, 5, 6, 7, 8
FEW = 16  # cells that are put in order by insertion alone
UNLISTED = -1  # in place of the number of cells that were fed: so many that they are marked and not listed
CROWDED = 4  # with more than one cell in so many touched, all are gone through in order

LANES = 32  # neurons whose comparisons make one number
PLACES = np.array([0, 1, 28, 2, 29, 14, 24, 3, 30, 22, 20, 15, 25, 17, 4, 8, 31, 27, 13, 23, 21, 19, 16, 7, 26, 12, 18, 6, 11, 5,
                   10, 9], np.uint64)  # of the one bit set: by the five bits that 0x077CB531 times it shows first

READ_I8, READ_F4 = "Array(int64, 1, 'C', readonly=True)", "Array(float32, 1, 'C', readonly=True)"
READ_F8, READ_U4 = "Array(float64, 1, 'C', readonly=True)", "Array(uint32, 1, 'C', readonly=True)"
TABLE, MATRIX = "Array(int64, 2, 'C', readonly=True)", "Array(float32, 2, 'C', readonly=True)"
EVENTS = f"Tuple(({READ_I8}, {READ_U4}, {READ_F4}))"
CELLS = "Tuple((float32[::1], int64[::1], int64[::1]))"
LAW = f"Tuple(({READ_F8}, {READ_F4}, {MATRIX}, {MATRIX}))"
SITES = f"Tuple(({READ_I8}, {READ_F4}, {READ_I8}, {TABLE}, {READ_I8}, {TABLE}, {READ_I8}))"
WINDOWS = f"Tuple(({READ_I8}, {READ_I8}, {READ_I8}, {READ_I8}))"
FIRING = f"Tuple(({READ_F4}, {READ_F4}))"
SCRATCH = "Tuple((int64[::1], int64[::1], int64[::1], int64[::1], int64[::1]))"
OUT = "Tuple((int64[::1], uint32[::1]))"


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
