"""The kernel of quantised_lif: runs the ticks of leaky integrate-and-fire neurons whose weights are small whole numbers.

It is the kernel of lif with rows of bytes: a row is a quarter of the loads, and what a tick adds up is a whole number, so the
order of additions is free. Up to eight rows are added in one pass over `few`, 16-bit sums; the tick that closes multiplies
them with the scale once, in the pass that also resets, decays and compares.

v (lanes,) float32, few (lanes,) int16 and sums (lanes,) int32, edited: the membranes; the sums of the events that are being
added; what a tick that is not closed, or has more than MOST events, has added up before. lanes is n_out rounded up to 64.
clock (5,) int64, edited: as in kernels/lif.py. codes (n_in + 1, lanes) int8: the last row zeros. scale, threshold (lanes,)
float32: 0 and inf behind n_out. rate, kept, zero, bits, fired, fired_us, out_t_us, out_unit: as in kernels/lif.py.
"""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.lif import (
    CURSOR,
    LAST,
    MATRIX,
    OPEN,
    READ_F4,
    READ_F8,
    READ_I8,
    READ_U4,
    SLACK,
    STOP,
    UNSETTLED,
    decay_by,
    keep_of_all,
    reset,
    settle,
    write_spikes,
)

MOST = 240  # events whose codes fit into 16-bit sums, in groups of eight: 127 (MOST + 8) < 2^15
SIGNATURE = (
    f"int64(float32[::1], int16[::1], int32[::1], int64[::1], Array(int8, 2, 'C', readonly=True), {READ_F4}, {READ_F4}, "
    f"{READ_F8}, {MATRIX}, int64, int64, float32, {READ_U4}, {READ_I8}, {READ_U4}, uint32[:, ::1], int64[::1], int64[::1], "
    "uint32[::1])"
)


@njit("void(int32[::1], int16[::1])", cache=True)
def put_aside(sums, few):
    """sums <- sums + few; few <- 0."""
    for j in range(few.shape[0]):
        sums[j] += few[j]
        few[j] = 0


@njit(f"void(float32[::1], int32[::1], {READ_F4})", cache=True)
def add_sums(v, sums, scale):
    """v <- v + scale sums; sums <- 0."""
    for j in range(v.shape[0]):
        v[j] += scale[j] * np.float32(sums[j])
        sums[j] = 0


@njit("float32(float32, float32, float32, float32, int16, int64, int64, float32)", cache=True)
def after_tick(v, threshold, keep, scale, n, to_reset, to_zero, zero):
    """v keep + scale n, after the reset of the tick before if that is still to be done."""
    return ((zero if to_zero else v - threshold) if to_reset and v >= threshold else v) * keep + scale * np.float32(n)


@njit(f"void(float32[::1], int16[::1], {READ_F4}, {READ_F4}, float32, int64, int64, float32, {READ_U4}, uint32[:, ::1], int64)",
      cache=True)  # fmt: skip
def close_tick(v, few, scale, threshold, keep, to_reset, to_zero, zero, bits, fired, tick):
    """v <- v keep + scale few, few <- 0, and who fires, as masks: see set_masks of kernels/lif.py."""
    no = np.uint32(0)
    for block in range(v.shape[0] // 64):
        i, p, q, r, s = 64 * block, no, no, no, no
        j, k, m = i + 16, i + 32, i + 48
        for c in range(16):
            v[i + c] = after_tick(v[i + c], threshold[i + c], keep, scale[i + c], few[i + c], to_reset, to_zero, zero)
            v[j + c] = after_tick(v[j + c], threshold[j + c], keep, scale[j + c], few[j + c], to_reset, to_zero, zero)
            v[k + c] = after_tick(v[k + c], threshold[k + c], keep, scale[k + c], few[k + c], to_reset, to_zero, zero)
            v[m + c] = after_tick(v[m + c], threshold[m + c], keep, scale[m + c], few[m + c], to_reset, to_zero, zero)
            p = np.uint32(p | (bits[c] if v[i + c] >= threshold[i + c] else no))
            q = np.uint32(q | (bits[c + 16] if v[j + c] >= threshold[j + c] else no))
            r = np.uint32(r | (bits[c] if v[k + c] >= threshold[k + c] else no))
            s = np.uint32(s | (bits[c + 16] if v[m + c] >= threshold[m + c] else no))
        fired[tick, 2 * block], fired[tick, 2 * block + 1] = p | q, r | s
    for j in range(few.shape[0]):
        few[j] = 0


@njit(SIGNATURE, cache=True)
def run_ticks(v, few, sums, clock, codes, scale, threshold, rate, kept, tick_us, to_zero, zero, bits,
              t_us, unit, fired, fired_us, out_t_us, out_unit):  # fmt: skip
    """Takes in all events, runs the ticks before clock[STOP] and writes their spikes, sorted by (t, unit); returns how many.

    At tick k, m ticks after the last one run: v <- v d^m + scale (sum of codes[i] over this tick's events); where v >= threshold
    a spike at k tick_us, and v <- v - threshold, or 0. A tick is run if it has input, or if a neuron had v >= threshold after the
    tick before it. Tick clock[STOP] is not closed yet: v has decayed, its events are added up in `sums`.
    """
    last, open_, unsettled, stop, at = clock[LAST], clock[OPEN], clock[UNSETTLED], clock[STOP], clock[CURSOR]
    n, lanes, room, none = t_us.shape[0], v.shape[0], out_t_us.shape[0] - SLACK, np.uint32(codes.shape[0] - 1)
    one, written, ticks, to_reset = keep_of_all(0, rate, kept, 0), 0, 0, 0
    most = min(fired.shape[0], room // lanes)
    while most > 0 and at >= 0:  # it always is: asking tells the compiler that it indexes from the front
        m = 0
        if not open_:
            tick = last + 1
            if at == n or t_us[at] >= (tick + 1) * tick_us:
                if to_reset:
                    unsettled, to_reset = settle(v, threshold, threshold, to_zero), 0
                tick = tick if unsettled else t_us[at] // tick_us if at < n else stop
                if tick >= stop and (at == n or t_us[at] >= (tick + 1) * tick_us):
                    break
            m, last, open_, unsettled = tick - last, tick, 1, 0
        end_us, to = (last + 1) * tick_us, at
        while to < n and t_us[to] < end_us:
            to += 1
        keep, aside = one, m == 0 or last >= stop or rate.shape[0] > 1 or to - at > MOST
        if m > 0 and not aside:
            keep = keep_of_all(m, rate, kept, 0)
        elif m > 0:
            if to_reset:
                reset(v, threshold, to_zero)
            decay_by(m, v, scale[:0], rate, kept, 0)
            to_reset = 0
        while at < to:
            a, b = unit[at], unit[at + 1] if at + 1 < to else none
            c, d = unit[at + 2] if at + 2 < to else none, unit[at + 3] if at + 3 < to else none
            e, f = unit[at + 4] if at + 4 < to else none, unit[at + 5] if at + 5 < to else none
            g, h = unit[at + 6] if at + 6 < to else none, unit[at + 7] if at + 7 < to else none
            for j in range(lanes):
                few[j] += codes[a, j] + codes[b, j] + codes[c, j] + codes[d, j]
                few[j] += codes[e, j] + codes[f, j] + codes[g, j] + codes[h, j]
            at = min(at + 8, to)
            if aside:
                put_aside(sums, few)
        if last >= stop:
            break
        if aside:
            add_sums(v, sums, scale)
        close_tick(v, few, scale, threshold, keep, to_reset, to_zero, zero, bits, fired, ticks)
        fired_us[ticks] = last * tick_us
        ticks, open_, to_reset = ticks + 1, 0, 1
        if ticks == most:
            written, ticks = write_spikes(fired, fired_us, ticks, out_t_us, out_unit, written), 0
            most = min(fired.shape[0], (room - written) // lanes)
    if to_reset:
        unsettled = settle(v, threshold, threshold, to_zero)
    clock[LAST], clock[OPEN], clock[UNSETTLED], clock[CURSOR] = last, open_, unsettled, at
    return write_spikes(fired, fired_us, ticks, out_t_us, out_unit, written)
