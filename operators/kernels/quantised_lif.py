"""The kernel of quantised_lif: runs the ticks of leaky integrate-and-fire neurons whose weights are small whole numbers.

It is the kernel of lif with rows of bytes: a row is a quarter of the loads, and what a tick adds up is a whole number, so the
order of additions is free. The units of a tick are picked sixteen at a time by comparisons instead of jumps; eight rows are added
in one pass over `few`, sums of bytes (8 bits: of two bytes) in blocks of 64, a length that is known and so becomes one vector;
the pass that closes a tick resets, decays, and adds them times the scale.

v (lanes,) float32, few (lanes,) int8 or int16 and sums (lanes,) int32, edited: the membranes; the sums of the events that are
being added, 0 before and after; what a tick that is not closed, or has more than most_events events, has added up before. lanes
is n_out rounded up to 64. clock (5,) int64, edited: see kernels/lif.py. codes (n_in + 1, lanes) int8: the last row zeros. scale,
threshold (lanes,) float32: 0 and inf behind n_out. most_events: how many codes fit into an entry of `few`. picked (GROUP,) u4,
fired (ticks, lanes / 64) uint64: working memory. rate, kept, zero, bits, fired_us, out_t_us, out_unit: as in kernels/lif.py.
"""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.clock import CURSOR, LAST, MATRIX, OPEN, READ_F4, READ_F8, READ_I8, READ_U4, STOP, UNSETTLED
from operators.kernels.lif import decay_by, keep_of_all, reset, settle
from operators.kernels.spike_masks import SLACK, set_masks, write_spikes

__all__ = ["GROUP", "SLACK", "run_ticks"]

GROUP = 16  # events that are picked at a time
READ_I1 = "Array(int8, 2, 'C', readonly=True)"
SIGNATURE = (
    f"int64(float32[::1], {{few}}[::1], int32[::1], int64[::1], {READ_I1}, {READ_F4}, {READ_F4}, {READ_F8}, {MATRIX}, int64, "
    f"int64, int64, float32, {READ_U4}, {READ_I8}, {READ_U4}, uint32[::1], uint64[:, ::1], int64[::1], int64[::1], uint32[::1])"
)


@njit(["void(int32[::1], int8[::1])", "void(int32[::1], int16[::1])"], cache=True)
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


@njit([SIGNATURE.format(few="int8"), SIGNATURE.format(few="int16")], cache=True)
def run_ticks(v, few, sums, clock, codes, scale, threshold, rate, kept, most_events, tick_us, to_zero, zero, bits,
              t_us, unit, picked, fired, fired_us, out_t_us, out_unit):  # fmt: skip
    """Takes in all events, runs the ticks before clock[STOP] and writes their spikes, sorted by (t, unit); returns how many.

    At tick k, m ticks after the last one run: v <- v d^m + scale (sum of codes[i] over this tick's events); where v >= threshold
    a spike at k tick_us, and v <- v - threshold, or 0. A tick is run if it has input, or if a neuron had v >= threshold after the
    tick before it. Tick clock[STOP] is not closed yet: v has decayed, its events are added up in `sums`.
    """
    last, open_, unsettled, stop, at = clock[LAST], clock[OPEN], clock[UNSETTLED], clock[STOP], clock[CURSOR]
    n, lanes, room, none = t_us.shape[0], v.shape[0], out_t_us.shape[0] - SLACK, np.uint32(codes.shape[0] - 1)
    blocks, written, ticks, to_reset = lanes // 64, 0, 0, 0
    most = min(fired.shape[0], room // lanes)
    while most > 0 and at >= 0:  # it always is: asking tells the compiler that it indexes from the front
        m, slow = 0, open_
        if not open_:
            tick = last + 1
            if at == n or t_us[at] >= (tick + 1) * tick_us:
                if to_reset:
                    unsettled, to_reset = settle(v, threshold, threshold, to_zero), 0
                tick = tick if unsettled else t_us[at] // tick_us if at < n else stop
                if tick >= stop and (at == n or t_us[at] >= (tick + 1) * tick_us):
                    break
            m, last, open_, unsettled = tick - last, tick, 1, 0
        end_us, held, count, slow = (last + 1) * tick_us, 0, GROUP, slow or last >= stop
        while count == GROUP:
            count = 0
            if at + GROUP <= n:
                first = np.uint64(at)
                for c in range(GROUP):
                    count += int(t_us[first + np.uint64(c)] < end_us)
                for c in range(GROUP):
                    picked[c] = unit[first + np.uint64(c)] if c < count else none
            else:
                picked[:] = none
                while count < GROUP and at + count < n and t_us[at + count] < end_us:
                    picked[count] = unit[at + count]
                    count += 1
            if held + GROUP > most_events:
                put_aside(sums, few)
                held, slow = 0, 1
            for half in range(0, count, 8):
                a, b, c, d = picked[half], picked[half + 1], picked[half + 2], picked[half + 3]
                e, f, g, h = picked[half + 4], picked[half + 5], picked[half + 6], picked[half + 7]
                for block in range(blocks):
                    for lane in range(64):
                        j = 64 * block + lane
                        four = few[j] + codes[a, j] + codes[b, j] + codes[c, j] + codes[d, j]
                        few[j] = four + codes[e, j] + codes[f, j] + codes[g, j] + codes[h, j]
            held += count
            at += count
        if slow or rate.shape[0] > 1:
            put_aside(sums, few)
            if m > 0:
                if to_reset:
                    reset(v, threshold, to_zero)
                decay_by(m, v, scale[:0], rate, kept, 0)
            if last >= stop:
                to_reset = 0
                break
            add_sums(v, sums, scale)
        else:
            keep = keep_of_all(m, rate, kept, 0)
            for block in range(blocks):
                for lane in range(64):
                    j = 64 * block + lane
                    after = (zero if to_zero else v[j] - threshold[j]) if to_reset and v[j] >= threshold[j] else v[j]
                    v[j] = after * keep + scale[j] * np.float32(few[j])
                    few[j] = 0
        set_masks(v, threshold, bits, fired, ticks)
        fired_us[ticks] = last * tick_us
        ticks, open_, to_reset = ticks + 1, 0, 1
        if ticks == most:
            written, ticks = write_spikes(fired, fired_us, ticks, out_t_us, out_unit, written), 0
            most = min(fired.shape[0], (room - written) // lanes)
    if to_reset:
        unsettled = settle(v, threshold, threshold, to_zero)
    clock[LAST], clock[OPEN], clock[UNSETTLED], clock[CURSOR] = last, open_, unsettled, at
    return write_spikes(fired, fired_us, ticks, out_t_us, out_unit, written)
