"""The kernel of quantised_lif: runs the ticks of leaky integrate-and-fire neurons whose weights are small whole numbers.

64 units at a time, or 128 (operators/lanes.py): what a tick adds up stays in registers, a byte a unit (8 bits: two), and at 1 bit
comes straight from packed weights; one pass decays, adds it times the scale, compares and resets. It is a whole number, so the
order of additions is free. The events of a tick are found sixteen at a time, by comparisons instead of jumps, and their rows are
added sixteen at a time, where they are cheap whether there are as many or not.

v (lanes,) float32 and sums (lanes,) int32, edited: the membranes; what a tick that is not closed, or has more than most_events
events, has added up before. lanes is n_out rounded up to 64. clock (5,) int64, edited: see kernels/lif.py.
codes: int8 or uint64, see operators/lanes.py; ones: how much is to be taken off for each event, 1 for codes of 1 bit, which are
-1 or 1, else 0. few (lanes,) int8 or int16: working memory, 0 before and after, of the type that a tick's sums have; most_events:
how many codes fit into it. scale, threshold, ceiling (lanes,) float32: 0 and inf behind n_out. fired (ticks, lanes / 64)
uint64: working memory. bias, rate, kept, fired_us, out_t_us, out_unit: as in kernels/lif.py.
"""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.clock import CURSOR, LAST, MATRIX, OPEN, READ_F4, READ_F8, READ_I8, READ_U4, STOP, UNSETTLED
from operators.kernels.lif import decay_by, keep_of_all
from operators.kernels.spike_masks import SLACK, write_spikes
from operators.lanes import SIXTEEN, add_row, add_sixteen, all_lanes, columns_of, early, fired_mask, put_aside, step, taken

__all__ = ["SLACK", "run_ticks"]

BYTES, WORDS, PAIRS = (f"Array({of}, 'C', readonly=True)" for of in ("int8, 2", "uint64, 2", "uint64, 3"))
SIGNATURE = (
    f"int64(float32[::1], int32[::1], int64[::1], {{codes}}, {{few}}, int64, int64, {READ_F4}, {READ_F4}, {READ_F4}, {READ_F4}, "
    f"{READ_F8}, {MATRIX}, int64, int64, int64, {READ_I8}, {READ_U4}, uint64[:, ::1], int64[::1], int64[::1], uint32[::1])"
)
KINDS = ((WORDS, "int8[::1]"), (PAIRS, "int8[::1]"), (BYTES, "int8[::1]"), (BYTES, "int16[::1]"))


@njit([f"void(int32[::1], {codes}, {few}, int64, {READ_U4}, int64, int64)" for codes, few in KINDS], cache=True)
def add_aside(sums, codes, few, ones, unit, at, held):
    """sums <- sums + the rows of unit[at:at + held]."""
    for block in range(sums.shape[0] // columns_of(codes)):
        some = all_lanes(few, codes, -ones * held)
        for first in range(0, held, SIXTEEN):
            if at + first + SIXTEEN <= unit.shape[0]:
                some = add_sixteen(some, codes, block, unit, at + first, held - first)
            else:
                for k in range(at + first, at + held):
                    some = add_row(some, codes, block, unit[k])
        put_aside(some, sums, block)


@njit(f"int64(float32[::1], {READ_F4})", cache=True)
def any_fires(v, threshold):
    """Whether some v >= threshold."""
    found = np.uint64(0)
    for block in range(v.shape[0] // 64):
        found |= fired_mask(v, threshold, block)
    return np.int64(found != 0)


@njit([SIGNATURE.format(codes=codes, few=few) for codes, few in KINDS], cache=True)
def run_ticks(v, sums, clock, codes, few, ones, most_events, scale, threshold, ceiling, bias, rate, kept, tick_us,
              event_mode, to_zero, t_us, unit, fired, fired_us, out_t_us, out_unit):  # fmt: skip
    """Takes in all events, runs the ticks before clock[STOP] and writes their spikes, sorted by (t, unit); returns how many.

    At tick k, m ticks after the last one run: v <- v kept(m) + b grown(m) + scale (sum of codes[i] over this tick's events);
    where v >= threshold a spike at k tick_us, and v <- v - threshold, or 0. A tick is run if it has input, or if a neuron had
    v >= ceiling after the tick before it: only then could one cross in silence. Tick clock[STOP] is not closed yet: v has
    decayed, its events are added up in `sums`.
    """
    last, open_, unsettled, stop, at = clock[LAST], clock[OPEN], clock[UNSETTLED], clock[STOP], clock[CURSOR]
    n, lanes, room = t_us.shape[0], v.shape[0], out_t_us.shape[0] - SLACK
    blocks, by_row, one, written, ticks, closed = lanes // columns_of(codes), ones == 0, np.float32(1), 0, 0, 0
    apart = rate.shape[0] > 1 or bias.shape[0] > 0  # whether v decays in a pass of its own
    most = min(fired.shape[0], room // lanes)
    while most > 0 and at >= 0:  # it always is: asking tells the compiler that it indexes from the front
        m, slow = 0, open_
        if not open_:
            tick = last + 1
            if at == n or t_us[at] >= (tick + 1) * tick_us:
                if closed:
                    unsettled, closed = any_fires(v, ceiling), 0
                tick = tick if unsettled else t_us[at] // tick_us if at < n else stop
                if tick >= stop and (at == n or t_us[at] >= (tick + 1) * tick_us):
                    break
            m, last, open_, unsettled = tick - last, tick, 1, 0
        begin, count, end_us, slow = at, SIXTEEN, (last + 1) * tick_us, slow or last >= stop or apart
        while count == SIXTEEN:
            if at - begin + SIXTEEN > most_events:
                add_aside(sums, codes, few, ones, unit, begin, at - begin)
                begin, slow = at, 1
            count = early(t_us, at, end_us)
            at += count
        held = at - begin
        if slow or begin + held + SIXTEEN > n:
            add_aside(sums, codes, few, ones, unit, begin, held)
            if m > 0:
                decay_by(m, v, bias, rate, kept, event_mode)
            if last >= stop:
                closed = 0
                break
            for block in range(blocks):
                step(taken(sums, codes, block), v, block, scale, threshold, one, to_zero, fired, ticks)
        elif by_row and held > SIXTEEN:  # rows do not fit into the cache: one after the other, as they lie in memory
            keep = keep_of_all(m, rate, kept, event_mode)
            for first in range(0, held, SIXTEEN):
                for block in range(blocks):
                    put_aside(add_sixteen(all_lanes(few, codes, 0), codes, block, unit, begin + first, held - first), few, block)
            for block in range(blocks):
                step(taken(few, codes, block), v, block, scale, threshold, keep, to_zero, fired, ticks)
        else:
            keep = keep_of_all(m, rate, kept, event_mode)
            for block in range(blocks):
                some = all_lanes(few, codes, -ones * held)
                for first in range(0, held, SIXTEEN):
                    some = add_sixteen(some, codes, block, unit, begin + first, held - first)
                step(some, v, block, scale, threshold, keep, to_zero, fired, ticks)
        fired_us[ticks] = last * tick_us
        ticks, open_, closed = ticks + 1, 0, 1
        if ticks == most:
            written, ticks = write_spikes(fired, fired_us, ticks, out_t_us, out_unit, written), 0
            most = min(fired.shape[0], (room - written) // lanes)
    if closed:
        unsettled = any_fires(v, ceiling)
    clock[LAST], clock[OPEN], clock[UNSETTLED], clock[CURSOR] = last, open_, unsettled, at
    return write_spikes(fired, fired_us, ticks, out_t_us, out_unit, written)
