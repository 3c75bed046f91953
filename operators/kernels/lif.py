"""The kernel of lif: runs the ticks that have input, or that must be run, of a layer of leaky integrate-and-fire neurons."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import math

import numpy as np
from numba import njit

LAST, OPEN, UNSETTLED, STOP, CURSOR = 0, 1, 2, 3, 4  # the entries of `clock`

READ_I8, READ_U4 = "Array(int64, 1, 'C', readonly=True)", "Array(uint32, 1, 'C', readonly=True)"
READ_F4, READ_F8 = "Array(float32, 1, 'C', readonly=True)", "Array(float64, 1, 'C', readonly=True)"
MATRIX = "Array(float32, 2, 'C', readonly=True)"
SIGNATURE = (
    f"int64(float32[::1], int64[::1], {MATRIX}, {READ_F4}, {READ_F4}, {READ_F4}, {READ_F8}, {MATRIX}, int64, int64, int64, "
    f"{READ_I8}, {READ_U4}, {READ_F4}, int64[::1], uint32[::1])"
)


@njit("float64(int64, float64, int64)", cache=True)
def keep_over(m, rate, event_mode):
    """What a state keeps over m ticks: rate^m, in event mode exp(-m / rate) with the time constant `rate` in us."""
    if not event_mode:
        return math.pow(rate, np.float64(m))
    if rate == 0:
        return np.float64(m == 0)
    return math.exp(-np.float64(m) / rate)


@njit(f"void({READ_F8}, int64, float32[:, ::1])", cache=True)
def fill_kept(rate, event_mode, kept):
    """kept[m, j] = what neuron j keeps over m ticks."""
    for m in range(kept.shape[0]):
        for j in range(kept.shape[1]):
            kept[m, j] = np.float32(keep_over(m, rate[j], event_mode))


@njit(f"void(int64, float32[::1], {READ_F4}, {READ_F8})", cache=True)
def add_drive(m, v, bias, rate):
    """decay_by for neurons with a bias, the constant input of every tick; there is none in event mode."""
    for j in range(v.shape[0]):
        d = rate[min(j, rate.shape[0] - 1)]
        keep = d
        grown = np.float64(1)
        if m > 1:
            keep = math.pow(d, np.float64(m))
            grown = np.float64(m) if d == 1 else (1 - keep) / (1 - d)
        v[j] = v[j] * np.float32(keep) + np.float32(np.float64(bias[j]) * grown)


@njit(f"void(int64, float32[::1], {READ_F4}, {READ_F8}, {MATRIX}, int64)", cache=True)
def decay_by(m, v, bias, rate, kept, event_mode):
    """v after m ticks without input events: v <- v d^m + b (1 - d^m) / (1 - d), a float32 product and a float32 sum.

    d^m is float32(pow(float64 d, m)), in event mode float32(exp(-m / tau_us)). rate (n_out,) f8: d, in event mode tau_us;
    (1,): all neurons have this one. kept (ticks, n_out) f4: d^m in row m, as far as it goes.
    """
    n_out = v.shape[0]
    if bias.shape[0] > 0:
        add_drive(m, v, bias, rate)
    elif rate.shape[0] == 1:
        keep = np.float32(keep_over(m, rate[0], event_mode))
        for j in range(n_out):
            v[j] *= keep
    elif m < kept.shape[0]:
        for j in range(n_out):
            v[j] *= kept[m, j]
    else:
        for j in range(n_out):
            v[j] *= np.float32(keep_over(m, rate[j], event_mode))


@njit(f"int64(float32[::1], {READ_F4}, int64, int64, int64[::1], uint32[::1], int64)", cache=True)
def fire(v, threshold, to_zero, t_us, out_t_us, out_unit, written):
    """Writes a spike of every neuron with v >= threshold behind the `written` ones, and resets it; returns the new number."""
    for j in range(v.shape[0]):
        if v[j] >= threshold[j]:
            out_t_us[written] = t_us
            out_unit[written] = j
            written += 1
            if to_zero:
                v[j] = 0
            else:
                v[j] -= threshold[j]
    return written


@njit(SIGNATURE, cache=True)
def run_ticks(v, clock, weight, threshold, ceiling, bias, rate, kept, tick_us, event_mode, to_zero,
              t_us, unit, value, out_t_us, out_unit):  # fmt: skip
    """Takes in all events, runs the ticks before clock[STOP] and writes their spikes, sorted by (t, unit); returns how many.

    At tick k, m ticks after the last one run: v <- v kept(m) + b grown(m) + sum of weight[i] value_i over this tick's events
    in their order; where v >= threshold a spike at k tick_us, and v <- v - threshold, or 0. A tick is run if it has input, or
    if a neuron had v >= ceiling after the tick before it: only then could one cross in silence. Tick clock[STOP] is not closed
    yet: its events are added as they come, it is compared by the call that closes it.

    v (n_out,) f4: the membranes, edited. clock (5,) i8: last tick begun, whether it is open, whether some v >= ceiling after
    the one before, first tick not to close, next event; edited. weight (n_in, n_out). threshold, ceiling (n_out,). bias
    (n_out,), or (0,) for none. rate, kept: see decay_by. t_us, unit, value (n,): the events; value (0,) for spikes.
    out_t_us, out_unit: room, at least n_out long; it stops before a tick that might not fit: call again.
    """
    last, open_, unsettled, stop, at = clock[LAST], clock[OPEN], clock[UNSETTLED], clock[STOP], clock[CURSOR]
    n, n_out, room = t_us.shape[0], v.shape[0], out_t_us.shape[0]
    graded = value.shape[0] > 0
    written = 0
    while written + n_out <= room:
        if not open_:
            tick = last + 1 if unsettled else t_us[at] // tick_us if at < n else stop
            if tick >= stop and not (at < n and t_us[at] < (tick + 1) * tick_us):
                break
            decay_by(tick - last, v, bias, rate, kept, event_mode)
            last, open_ = tick, 1
        end_us = (last + 1) * tick_us
        while at < n and t_us[at] < end_us:
            i = unit[at]
            if graded:
                for j in range(n_out):
                    v[j] += weight[i, j] * value[at]
            else:
                for j in range(n_out):
                    v[j] += weight[i, j]
            at += 1
        if last >= stop:
            break
        open_, unsettled = 0, 0
        for j in range(n_out):
            unsettled += v[j] >= ceiling[j]
        if unsettled:
            written = fire(v, threshold, to_zero, last * tick_us, out_t_us, out_unit, written)
            unsettled = 0
            for j in range(n_out):
                unsettled += v[j] >= ceiling[j]
    clock[LAST], clock[OPEN], clock[UNSETTLED], clock[CURSOR] = last, open_, unsettled > 0, at
    return written
