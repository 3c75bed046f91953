"""The kernel of lif: runs the ticks that have input, or that must be run, of a layer of leaky integrate-and-fire neurons.

Loads bound it, so a pass over v does as much as it can: up to eight rows of weights are added in one, in the order of
their events, and the pass that adds the first four also does the reset of the tick before and the decay. A group that is not full
is filled up with the last row of `weight`, -0.0, which changes no bit. Who fires is one comparison of vectors, kept as masks;
those of up to `fired.shape[0]` ticks become spikes together (kernels/spike_masks.py).

v (lanes,) float32: the membranes, edited; lanes is n_out rounded up to 64. clock (5,) int64, edited: the last tick begun, whether
it is open, whether some v >= ceiling after the one before, the first tick not to close, the next event.
weight (n_in + 1, columns) float32: columns is n_out rounded up to 32, the last row -0.0. threshold, ceiling (lanes,) float32: inf
behind n_out. bias (lanes,) float32, or (0,) for none. rate, kept: see decay_by. zero: 0.
t_us, unit, value (n,): the events; value (0,) for spikes. fired (ticks, lanes / 64) uint64, fired_us (ticks,) int64: working
memory. out_t_us, out_unit: what comes out, with SLACK entries behind that may be written to.
"""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import math

import numpy as np
from numba import njit

from operators.kernels.clock import CURSOR, LAST, MATRIX, OPEN, READ_F4, READ_F8, READ_I8, READ_U4, STOP, UNSETTLED
from operators.kernels.spike_masks import SLACK, write_spikes
from operators.lanes import fired_mask

__all__ = ["SLACK", "fill_kept", "run_ticks"]

SIGNATURE = (
    f"int64(float32[::1], int64[::1], {MATRIX}, {READ_F4}, {READ_F4}, {READ_F4}, {READ_F8}, {MATRIX}, int64, int64, int64, "
    f"float32, {READ_I8}, {READ_U4}, {READ_F4}, uint64[:, ::1], int64[::1], int64[::1], uint32[::1])"
)


@njit("float64(int64, float64, int64)", cache=True)
def keep_over(m, rate, event_mode):
    """What a state keeps over m ticks: rate^m, in event mode exp(-m / rate) with the time constant `rate` in us."""
    if not event_mode:
        return math.pow(rate, np.float64(m))
    if rate == 0:
        return np.float64(m == 0)
    return math.exp(-np.float64(m) / rate)


@njit(f"float32(int64, {READ_F8}, {MATRIX}, int64)", cache=True)
def keep_of_all(m, rate, kept, event_mode):
    """What all neurons keep over m ticks, where they have one rate."""
    return kept[m, 0] if m < kept.shape[0] else np.float32(keep_over(m, rate[0], event_mode))


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
    (1,): all neurons have this one. kept (ticks, n_out), or (ticks, 1), f4: d^m in row m, as far as it goes.
    """
    n_out = v.shape[0]
    if bias.shape[0] > 0:
        add_drive(m, v, bias, rate)
    elif rate.shape[0] == 1:
        keep = keep_of_all(m, rate, kept, event_mode)
        for j in range(n_out):
            v[j] *= keep
    elif m < kept.shape[0]:
        for j in range(n_out):
            v[j] *= kept[m, j]
    else:
        for j in range(n_out):
            v[j] *= np.float32(keep_over(m, rate[j], event_mode))


@njit(f"void(float32[::1], {READ_F4}, int64)", cache=True)
def reset(v, threshold, to_zero):
    """Where v >= threshold, v <- v - threshold, or 0."""
    for j in range(v.shape[0]):
        v[j] = v[j] if v[j] < threshold[j] else v[j] - (v[j] if to_zero else threshold[j])


@njit(f"int64(float32[::1], {READ_F4}, {READ_F4}, int64)", cache=True)
def settle(v, threshold, ceiling, to_zero):
    """Resets, and returns whether some v >= ceiling is left."""
    reset(v, threshold, to_zero)
    found = False
    for j in range(v.shape[0]):
        found |= v[j] >= ceiling[j]
    return found


@njit(SIGNATURE, cache=True)
def run_ticks(v, clock, weight, threshold, ceiling, bias, rate, kept, tick_us, event_mode, to_zero, zero,
              t_us, unit, value, fired, fired_us, out_t_us, out_unit):  # fmt: skip
    """Takes in all events, runs the ticks before clock[STOP] and writes their spikes, sorted by (t, unit); returns how many.

    At tick k, m ticks after the last one run: v <- v kept(m) + b grown(m) + sum of weight[i] value_i over this tick's events
    in their order; where v >= threshold a spike at k tick_us, and v <- v - threshold, or 0. A tick is run if it has input, or
    if a neuron had v >= ceiling after the tick before it: only then could one cross in silence. Tick clock[STOP] is not closed
    yet: its events are added as they come, it is compared by the call that closes it.

    The head of this file says what the arrays are. There may be more to do if fewer than v.shape[0] + SLACK entries of
    out_t_us and out_unit are left: call again.
    """
    last, open_, unsettled, stop, at = clock[LAST], clock[OPEN], clock[UNSETTLED], clock[STOP], clock[CURSOR]
    n, lanes, columns, none = t_us.shape[0], v.shape[0], weight.shape[1], np.uint32(weight.shape[0] - 1)
    graded, in_one_pass = value.shape[0] > 0, rate.shape[0] == 1 and bias.shape[0] == 0 and value.shape[0] == 0
    room, written, ticks, to_reset = out_t_us.shape[0] - SLACK, 0, 0, False
    most = min(fired.shape[0], room // lanes)
    while most > 0 and at >= 0:  # it always is: asking tells the compiler that it indexes from the front
        m = 0
        if not open_:
            tick = last + 1
            if at == n or t_us[at] >= (tick + 1) * tick_us:
                if to_reset:
                    unsettled, to_reset = settle(v, threshold, ceiling, to_zero), False
                tick = tick if unsettled else t_us[at] // tick_us if at < n else stop
                if tick >= stop and (at == n or t_us[at] >= (tick + 1) * tick_us):
                    break
            m, last, open_, unsettled = tick - last, tick, 1, 0
        end_us, to = (last + 1) * tick_us, at
        while to < n and t_us[to] < end_us:
            to += 1
        if m > 0 and (at == to or not in_one_pass):
            if to_reset:
                reset(v, threshold, to_zero)
            decay_by(m, v, bias, rate, kept, event_mode)
            m = 0
        while graded and at < to:
            i, x = unit[at], value[at]
            for j in range(columns):
                v[j] += weight[i, j] * x
            at += 1
        while at < to:
            a = unit[at]
            b = unit[at + 1] if at + 1 < to else none
            c = unit[at + 2] if at + 2 < to else none
            d = unit[at + 3] if at + 3 < to else none
            if m > 0:
                keep = keep_of_all(m, rate, kept, event_mode)
                for j in range(columns):
                    after = (zero if to_zero else v[j] - threshold[j]) if to_reset and v[j] >= threshold[j] else v[j]
                    v[j] = after * keep + weight[a, j] + weight[b, j] + weight[c, j] + weight[d, j]
                at, m = at + 4, 0
            elif at + 4 >= to:
                for j in range(columns):
                    v[j] = v[j] + weight[a, j] + weight[b, j] + weight[c, j] + weight[d, j]
                at += 4
            else:
                e = unit[at + 4]
                f = unit[at + 5] if at + 5 < to else none
                g = unit[at + 6] if at + 6 < to else none
                h = unit[at + 7] if at + 7 < to else none
                for j in range(columns):
                    four = v[j] + weight[a, j] + weight[b, j] + weight[c, j] + weight[d, j]
                    v[j] = four + weight[e, j] + weight[f, j] + weight[g, j] + weight[h, j]
                at += 8
        at, to_reset = to, False
        if last >= stop:
            break
        for w in range(fired.shape[1]):
            fired[ticks, w] = fired_mask(v, threshold, w)
        fired_us[ticks] = last * tick_us
        ticks, open_, to_reset = ticks + 1, 0, True
        if ticks == most:
            written, ticks = write_spikes(fired, fired_us, ticks, out_t_us, out_unit, written), 0
            most = min(fired.shape[0], (room - written) // lanes)
    if to_reset:
        unsettled = settle(v, threshold, ceiling, to_zero)
    clock[LAST], clock[OPEN], clock[UNSETTLED], clock[CURSOR] = last, open_, unsettled, at
    return write_spikes(fired, fired_us, ticks, out_t_us, out_unit, written)
