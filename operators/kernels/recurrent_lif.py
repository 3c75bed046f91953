"""The kernel of recurrent_lif: ticks with input, and those at which spikes of the layer itself arrive, are run."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

from numba import njit

from operators.kernels.clock import CURSOR, EVENTS, LAST, MATRIX, OPEN, READ_F4, READ_F8, READ_I8, STOP, UNSETTLED
from operators.kernels.tick_parts import add_rows, fire, leak, reaches


@njit("int64(int64[::1], int64, int64)", cache=True)
def next_arrival(counts, last, otherwise):
    """The first tick after `last` at which spikes arrive; `otherwise` if none are on their way."""
    for tick in range(last + 1, last + 1 + counts.shape[0]):
        if counts[tick % counts.shape[0]] > 0:
            return tick
    return otherwise


@njit(f"void(float32[::1], uint32[:, ::1], int64[::1], {MATRIX}, int64)", cache=True)
def hear(v, underway, counts, recurrent, slot):
    """v <- v + recurrent[j] of the spikes j that arrive now, the earliest fired first; they are underway no more."""
    for k in range(counts[slot]):
        j = underway[slot, k]
        for target in range(v.shape[0]):
            v[target] += recurrent[j, target]
    counts[slot] = 0


@njit(f"void(uint32[:, ::1], int64[::1], {READ_I8}, int64, uint32[::1], int64, int64)", cache=True)
def send_off(underway, counts, delay, tick, out_unit, begin, end):
    """Puts the spikes out_unit[begin:end] of this tick on their way: j arrives 1 + delay[j] ticks later."""
    for k in range(begin, end):
        slot = (tick + 1 + delay[out_unit[k]]) % counts.shape[0]
        underway[slot, counts[slot]] = out_unit[k]
        counts[slot] += 1


@njit(
    f"int64(float32[::1], uint32[:, ::1], int64[::1], int64[::1], {MATRIX}, {MATRIX}, {READ_I8}, {READ_F4}, {READ_F4}, "
    f"{READ_F4}, {READ_F8}, int64, int64, {EVENTS}, int64[::1], uint32[::1])",
    cache=True,
)
def run_ticks(v, underway, counts, clock, weight, recurrent, delay, threshold, ceiling, bias, decay, tick_us, to_zero,
              t_us, unit, value, out_t_us, out_unit):  # fmt: skip
    """Takes in all events, runs the ticks before clock[STOP] and writes their spikes, sorted by (t, unit); returns how many.

    At tick k, m ticks after the last one run: v <- v d^m + b grown(m), plus recurrent[j] of the layer's spikes j that arrive,
    plus weight[i] value_i of this tick's events in their order; where v >= threshold a spike at k tick_us, which arrives at
    k + 1 + delay[j], and v <- v - threshold, or 0. A tick is run if it has events, or arrivals, or if some v >= ceiling after
    the one before. Tick clock[STOP] is not closed yet: its events are added as they come.

    v (n_out,) f4. underway (slots, n_out) u4: the spikes that arrive at each of the next ticks, tick k in row k modulo slots;
    counts (slots,): how many. clock (5,): last tick begun; 1 if it is open, 2 if spikes are underway; whether some v >= ceiling
    after the one before; first tick not to close; next event. All edited. weight (n_in, n_out). recurrent (n_out, n_out).
    delay (n_out,) in ticks. bias (n_out,), or (0,). decay: see leak. value (n,), or (0,) for spikes. out_t_us, out_unit: at
    least n_out long; it stops before a tick that might not fit.
    """
    last, open_, unsettled, stop, at = clock[LAST], clock[OPEN] == 1, clock[UNSETTLED], clock[STOP], clock[CURSOR]
    n, n_out, room = t_us.shape[0], v.shape[0], out_t_us.shape[0]
    written = 0
    while written + n_out <= room:
        if not open_:
            with_events = t_us[at] // tick_us if at < n else stop
            tick = last + 1 if unsettled else min(with_events, next_arrival(counts, last, with_events))
            if tick >= stop and not (at < n and tick == with_events):
                break
            leak(tick - last, v, bias, decay)
            hear(v, underway, counts, recurrent, tick % counts.shape[0])
            last, open_ = tick, True
        at = add_rows(v, weight, t_us, unit, value, at, (last + 1) * tick_us)
        if last >= stop:
            break
        open_, unsettled = False, reaches(v, ceiling)
        if unsettled:
            begin = written
            written = fire(v, threshold, to_zero, last * tick_us, out_t_us, out_unit, written)
            send_off(underway, counts, delay, last, out_unit, begin, written)
            unsettled = reaches(v, ceiling)
    underway_still = 2 if next_arrival(counts, last, last) > last else 0
    clock[LAST], clock[OPEN], clock[UNSETTLED], clock[CURSOR] = last, 1 if open_ else underway_still, unsettled, at
    return written
