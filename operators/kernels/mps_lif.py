"""The kernel of mps_lif: the one state of a smoothed membrane, run at the ticks that have input."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import math

import numpy as np
from numba import njit

from operators.kernels.clock import CURSOR, EVENTS, LAST, MATRIX, OPEN, READ_F4, READ_F8, STOP, UNSETTLED
from operators.kernels.tick_parts import add_rows


@njit(
    f"int64(int64, float32[::1], float32[::1], {READ_F4}, {READ_F4}, {READ_F8}, float32, int64, int64[::1], uint32[::1], int64)",
    cache=True,
)
def close(m, hs, current, threshold, k, rho, gain, t_us, out_t_us, out_unit, written):
    """A tick m ticks after the last: hs <- hs rho^(m-1), h = k hs + I, spikes where h >= threshold, then the hs of the next tick.

    hs <- rho hs + gain (I - threshold spike); I, the sum of this tick's input, goes back to 0. Returns the spikes written.
    """
    keep = np.float32(math.pow(rho[0], np.float64(m - 1)))
    for j in range(hs.shape[0]):
        d = rho[min(j, rho.shape[0] - 1)]
        if m > 1 and rho.shape[0] > 1:
            keep = np.float32(math.pow(d, np.float64(m - 1)))
        if m > 1:
            hs[j] *= keep
        left = current[j]
        if k[j] * hs[j] + current[j] >= threshold[j]:
            out_t_us[written] = t_us
            out_unit[written] = j
            written += 1
            left -= threshold[j]
        hs[j] = np.float32(d) * hs[j] + gain * left
        current[j] = 0
    return written


@njit(f"boolean(float32[::1], {READ_F4}, {READ_F4})", cache=True)
def fires_in_silence(hs, threshold, k):
    """Whether a neuron fires at the next tick without input: k hs >= threshold. Later k rho^n hs is never greater."""
    found = 0
    for j in range(hs.shape[0]):
        found += k[j] * hs[j] >= threshold[j]
    return found > 0


@njit(
    f"int64(float32[::1], float32[::1], int64[::1], {MATRIX}, {READ_F4}, {READ_F4}, {READ_F8}, float32, int64, {EVENTS}, "
    "int64[::1], uint32[::1])",
    cache=True,
)
def run_ticks(hs, current, clock, weight, threshold, k, rho, gain, tick_us, t_us, unit, value, out_t_us, out_unit):
    """Takes in all events, runs the ticks before clock[STOP] and writes their spikes, sorted by (t, unit); returns how many.

    A tick is run, as `close` says, if it has input, or if after the one before some neuron was to fire in silence. Tick
    clock[STOP] is not closed yet: its events are added to `current` as they come.

    hs (n_out,) f4: the smoothed membranes at the tick after the last one closed. current (n_out,) f4: the input of the open
    tick, or 0. clock (5,): last tick begun, or closed; whether it is open; whether one fires in silence; first tick not to
    close; next event. All edited. rho (n_out,) f8, or (1,) where all neurons have this one. gain: 1 - alpha. value (n,), or
    (0,) for spikes. out_t_us, out_unit: at least n_out long; it stops before a tick that might not fit.
    """
    last, open_, unsettled, stop, at = clock[LAST], clock[OPEN], clock[UNSETTLED], clock[STOP], clock[CURSOR]
    n, n_out, room = t_us.shape[0], hs.shape[0], out_t_us.shape[0]
    written = 0
    while written + n_out <= room:
        tick = last + 1 if unsettled else t_us[at] // tick_us if at < n else stop
        if open_:
            tick = open_ + last
        if not open_ and tick >= stop and not (at < n and t_us[at] < (tick + 1) * tick_us):
            break
        open_ = tick - last
        at = add_rows(current, weight, t_us, unit, value, at, (tick + 1) * tick_us)
        if tick >= stop:
            break
        written = close(open_, hs, current, threshold, k, rho, gain, tick * tick_us, out_t_us, out_unit, written)
        last, open_, unsettled = tick, 0, fires_in_silence(hs, threshold, k)
    clock[LAST], clock[OPEN], clock[UNSETTLED], clock[CURSOR] = last, open_, unsettled, at
    return written
