"""The kernel of synaptic_delay: events are added to where their synapses deliver them, the ticks that may have input are run."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.clock import CURSOR, EVENTS, LAST, MATRIX, OPEN, READ_F4, READ_F8, STOP, UNSETTLED
from operators.kernels.tick_parts import fire, leak, reaches

BEGIN, UNTIL = 0, 1  # the entries of `due`

PLACES = "Array(uint32, 2, 'C', readonly=True)"


@njit(f"void(float32[::1], int64, {MATRIX}, {PLACES}, int64, float32)", cache=True)
def deliver(coming, base, weight, place, i, x):
    """coming[base + place[i, j]] <- the same + weight[i, j] x for all neurons j, the ring closing behind its last entry.

    Places are unsigned, for an index that may be negative costs a third of the time.
    """
    size, begin, row = np.uint64(coming.shape[0]), np.uint64(base), min(i, place.shape[0] - 1)
    for j in range(weight.shape[1]):
        k = begin + np.uint64(place[row, j])
        if k >= size:
            k -= size
        coming[k] += weight[i, j] * x


@njit("void(float32[::1], float32[::1], int64)", cache=True)
def collect(v, coming, base):
    """v <- v + what has come for it at this tick; its places are free again."""
    for j in range(v.shape[0]):
        v[j] += coming[base + j]
        coming[base + j] = 0


@njit(
    f"int64(float32[::1], float32[::1], int64[::1], int64[::1], {MATRIX}, {PLACES}, int64, {READ_F4}, {READ_F4}, {READ_F4}, "
    f"{READ_F8}, int64, int64, {EVENTS}, int64[::1], uint32[::1])",
    cache=True,
)
def run_ticks(v, coming, due, clock, weight, place, lead, threshold, ceiling, bias, decay, tick_us, to_zero,
              t_us, unit, value, out_t_us, out_unit):  # fmt: skip
    """Takes in all events, runs the ticks before clock[STOP] and writes their spikes, sorted by (t, unit); returns how many.

    An event of tick s on input i adds weight[i, j] value to coming for tick s + lead + place[i, j] / n_out, in the order of the
    events. At tick k, m ticks after the last one run: v <- v d^m + b grown(m), then v <- v + coming for k; where
    v >= threshold a spike at k tick_us, and v <- v - threshold, or 0. Ticks are run from the first to the last at which a
    synapse of the layer could deliver an event that came, and while some v >= ceiling: only then could one cross in silence.

    v (n_out,) f4. coming (slots * n_out,) f4: what will be added to v at each of the next ticks, tick k at k modulo slots.
    due (2,): the first and the last tick at which something may come. clock (5,): last tick run, whether more may come, whether
    some v >= ceiling, first tick not to run, next event. All edited. weight (n_in, n_out). place (n_in, n_out), or (1, n_out) for
    all inputs alike: (delay - lead) n_out + j; lead: the least delay in ticks. bias (n_out,), or (0,). decay: see leak.
    value (n,), or (0,) for spikes. out_t_us, out_unit: at least n_out long; it stops before a tick that might not fit.
    """
    last, unsettled, stop, at = clock[LAST], clock[UNSETTLED], clock[STOP], clock[CURSOR]
    n, n_out, room = t_us.shape[0], v.shape[0], out_t_us.shape[0]
    slots, reach = coming.shape[0] // n_out, coming.shape[0] // n_out - 1
    written = 0
    while written + n_out <= room:
        limit = min(stop, t_us[at] // tick_us + lead) if at < n else stop
        tick = limit
        if unsettled:
            tick = last + 1
        elif due[UNTIL] > last:
            tick = max(last + 1, due[BEGIN])
        if tick < limit:
            leak(tick - last, v, bias, decay)
            collect(v, coming, (tick % slots) * n_out)
            last = tick
            unsettled = reaches(v, ceiling)
            if unsettled:
                written = fire(v, threshold, to_zero, tick * tick_us, out_t_us, out_unit, written)
                unsettled = reaches(v, ceiling)
        elif at < n:
            first, end_us = t_us[at] // tick_us + lead, (t_us[at] // tick_us + 1) * tick_us
            if due[UNTIL] <= last:
                due[BEGIN] = first
            due[UNTIL] = first + reach
            while at < n and t_us[at] < end_us:
                x = value[at] if value.shape[0] > 0 else np.float32(1)
                deliver(coming, (first % slots) * n_out, weight, place, np.int64(unit[at]), x)
                at += 1
        else:
            break
    clock[LAST], clock[OPEN], clock[UNSETTLED], clock[CURSOR] = last, due[UNTIL] > last, unsettled, at
    return written
