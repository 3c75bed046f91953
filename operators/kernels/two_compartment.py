"""The kernel of two_compartment: the ticks that have input, or in which silence might make a neuron fire, are run."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.clock import CURSOR, EVENTS, LAST, MATRIX, OPEN, READ_F4, STOP, UNSETTLED
from operators.kernels.tick_parts import add_rows

STEPS = "Array(float64, 2, 'C', readonly=True)"


@njit(f"void({STEPS}, int64, float64[:, ::1])", cache=True)
def power(step, m, over):
    """over[j] = step[j]^m, m >= 1: 2 x 2 matrices in rows (00, 01, 10, 11), in float64 by squaring from the highest bit of m."""
    top = 0
    while (m >> (top + 1)) > 0:
        top += 1
    for j in range(step.shape[0]):
        a, b, c, d = step[j, 0], step[j, 1], step[j, 2], step[j, 3]
        for bit in range(top - 1, -1, -1):
            a, b, c, d = a * a + b * c, a * b + b * d, c * a + d * c, c * b + d * d
            if (m >> bit) & 1:
                a, b, c, d = (a * step[j, 0] + b * step[j, 2], a * step[j, 1] + b * step[j, 3],
                              c * step[j, 0] + d * step[j, 2], c * step[j, 1] + d * step[j, 3])  # fmt: skip
        over[j, 0], over[j, 1], over[j, 2], over[j, 3] = a, b, c, d


@njit(
    f"int64(int64, float32[::1], float32[::1], float32[::1], float64[:, ::1], {MATRIX}, {READ_F4}, {MATRIX}, {MATRIX}, int64, "
    "int64[::1], uint32[::1], float32[::1], int64)",
    cache=True,
)
def close(m, slow, fast, current, over, added, threshold, reset, gain, t_us, out_t_us, out_unit, out_value, written):
    """A tick m ticks after the last: (slow, fast) <- step^m (slow, fast) + added I, then compare, emit and reset.

    over (n_out, 4) holds step^m, of which the float32 counts. I, the sum of this tick's input, goes back to 0. added, reset and
    gain (n_out, 2): of slow and fast. Returns the new number of events written.
    """
    none = np.float32(0)
    for j in range(slow.shape[0]):
        s = np.float32(over[j, 0]) * slow[j] + np.float32(over[j, 1]) * fast[j] + added[j, 0] * current[j]
        f = np.float32(over[j, 2]) * slow[j] + np.float32(over[j, 3]) * fast[j] + added[j, 1] * current[j]
        fires_slow, fires_fast = s >= threshold[j], f >= threshold[j]
        if fires_slow or fires_fast:
            out_t_us[written] = t_us
            out_unit[written] = j
            out_value[written] = (gain[j, 0] if fires_slow else none) + (gain[j, 1] if fires_fast else none)
            written += 1
        slow[j] = s - reset[j, 0] if fires_slow else s
        fast[j] = f - reset[j, 1] if fires_fast else f
        current[j] = 0
    return written


@njit(f"boolean(float32[::1], float32[::1], {READ_F4})", cache=True)
def restless(slow, fast, ceiling):
    """Whether some neuron has a compartment as far from 0 as its ceiling: no other can cross its threshold in silence."""
    found = 0
    for j in range(slow.shape[0]):
        found += max(abs(slow[j]), abs(fast[j])) >= ceiling[j]
    return found > 0


@njit(
    f"int64(float32[::1], float32[::1], float32[::1], int64[::1], float64[:, ::1], {MATRIX}, {STEPS}, {MATRIX}, {READ_F4}, "
    f"{READ_F4}, {MATRIX}, {MATRIX}, int64, {EVENTS}, int64[::1], uint32[::1], float32[::1])",
    cache=True,
)
def run_ticks(slow, fast, current, clock, over, weight, step, added, threshold, ceiling, reset, gain, tick_us,
              t_us, unit, value, out_t_us, out_unit, out_value):  # fmt: skip
    """Takes in all events, runs the ticks before clock[STOP], writes their graded events, sorted by (t, unit); returns how many.

    A tick is run, as `close` says, if it has input, or if after the one before some neuron was restless. Tick clock[STOP] is not
    closed yet: its events are added to `current` as they come.

    slow, fast, current (n_out,) f4: the compartments after the last tick closed, and the input of the open one, or 0. clock
    (5,): last tick closed; by how much the open one is later, or 0; whether some neuron is restless; first tick not to close;
    next event. All edited. over (n_out, 4) f8: scratch. step (n_out, 4) f8: a silent tick's matrix. value (n,), or (0,) for
    spikes. out_t_us, out_unit, out_value: at least n_out long; it stops before a tick that might not fit.
    """
    last, open_, unsettled, stop, at = clock[LAST], clock[OPEN], clock[UNSETTLED], clock[STOP], clock[CURSOR]
    n, n_out, room = t_us.shape[0], slow.shape[0], out_t_us.shape[0]
    written = 0
    while written + n_out <= room:
        tick = last + 1 if unsettled else t_us[at] // tick_us if at < n else stop
        if open_:
            tick = last + open_
        elif tick >= stop and not (at < n and t_us[at] < (tick + 1) * tick_us):
            break
        open_ = tick - last
        at = add_rows(current, weight, t_us, unit, value, at, (tick + 1) * tick_us)
        if tick >= stop:
            break
        power(step, open_, over)
        written = close(open_, slow, fast, current, over, added, threshold, reset, gain, tick * tick_us,
                        out_t_us, out_unit, out_value, written)  # fmt: skip
        last, open_, unsettled = tick, 0, restless(slow, fast, ceiling)
    clock[LAST], clock[OPEN], clock[UNSETTLED], clock[CURSOR] = last, open_, unsettled, at
    return written
