"""The kernels of cuba_lif: run the ticks that have input, or that must be run, and the crossings between events in event mode."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import math

import numpy as np
from numba import njit

from operators.kernels.clock import CURSOR, LAST, MATRIX, OPEN, READ_F4, READ_I8, READ_U4, STOP, UNSETTLED
from operators.kernels.ticks import SIGNATURE, count_unsettled, open_tick, pass_silence, take_in, write_spikes

READ_F8_MATRIX = "Array(float64, 2, 'C', readonly=True)"
SYNAPTIC, MEMBRANE = 0, 1  # the rows of `rates`, 1/tau in 1/ms


@njit(f"void(float32[::1], {READ_F4}, int64, uint32[::1], int64, int64)", cache=True)
def reset(v, threshold, to_zero, out_unit, begin, end):
    """Resets the neurons whose spikes are those from `begin` to `end`."""
    for k in range(begin, end):
        j = out_unit[k]
        v[j] = np.float32(0) if to_zero else v[j] - threshold[j]


@njit(SIGNATURE, cache=True)
def run_ticks(i, v, current, clock, weight, bias, law, powers, bound, tick_us, to_zero,
              t_us, unit, value, out_t_us, out_unit):  # fmt: skip
    """Takes in all events, runs the ticks before clock[STOP] and writes their spikes, sorted by (t, unit); returns how many.

    A tick: i <- a i + b + sum of weight[k] value_k over its events, in their order; v <- d v + i; where v >= threshold a spike
    and the reset. Ticks without input are run while a neuron is unsettled, and passed in one step otherwise.

    i, v (n_out,) f4: the currents and membranes, edited. current (n_out,) f4: b and the open tick's input, edited. clock (5,) i8:
    see operators.tick_layer.Law, edited. weight (n_in, n_out). bias (n_out,): b. law (3, n_out): a, d, threshold. powers,
    bound: see operators/silence.py. t_us, unit, value (n,): the events; value (0,) for spikes. out_t_us, out_unit: room, at
    least n_out long; it stops before a tick that might not fit: call again.
    """
    n_out, room, written = v.shape[0], out_t_us.shape[0], 0
    while written + n_out <= room:
        m = open_tick(clock, tick_us, t_us)
        if m < 0:
            break
        if m > 1:
            pass_silence(m - 1, powers, i, v)
        take_in(current, clock, weight, tick_us, t_us, unit, value)
        if clock[LAST] >= clock[STOP]:
            break
        for j in range(n_out):
            i[j] = law[0, j] * i[j] + current[j]
            v[j] = law[1, j] * v[j] + i[j]
            current[j] = bias[j]
        before = written
        written = write_spikes(v, law[2], clock[LAST] * tick_us, out_t_us, out_unit, written)
        reset(v, law[2], to_zero, out_unit, before, written)
        clock[OPEN], clock[UNSETTLED] = 0, count_unsettled(i, v, bound, np.float32(0)) > 0
    return written


@njit("float64(float64, float64, float64)", cache=True)
def charge(t, synaptic, membrane):
    """What a unit of current makes of v in t ms: (exp(-t membrane) - exp(-t synaptic)) / (synaptic - membrane)."""
    slow = min(synaptic, membrane)
    apart = abs(synaptic - membrane)
    grown = t if apart == 0 else -math.expm1(-t * apart) / apart
    return math.exp(-t * slow) * grown


@njit("float32(float32, float32, int64, float64, float64)", cache=True)
def membrane_after(i, v, m, synaptic, membrane):
    """v after m us in which nothing comes in."""
    t = np.float64(m) / 1000
    return np.float32(np.float64(v) * math.exp(-t * membrane) + np.float64(i) * charge(t, synaptic, membrane))


@njit("int64(float32, float32, float32, int64, float64, float64)", cache=True)
def first_crossing(i, v, threshold, most, synaptic, membrane):
    """The least m in 1..most at which v after m us reaches the threshold; most + 1 if there is none.

    After its first microsecond v cannot reach the threshold from below unless it rises. It is a difference of two exponentials:
    from where it rises it has one maximum, at exp(t (synaptic - membrane)) = i synaptic / (membrane (i + v (synaptic -
    membrane))), and rises up to there, so its first crossing before that is found by halving.
    """
    if most < 1 or membrane_after(i, v, 1, synaptic, membrane) >= threshold:
        return 1
    if i <= 0 or v * membrane >= i:
        return most + 1
    apart = synaptic - membrane
    peak = np.float64(most)
    if apart == 0:
        peak = 1000 * (1 / membrane - np.float64(v) / i) if membrane > 0 else peak
    else:
        over, under = np.float64(i) * synaptic, membrane * (np.float64(i) + np.float64(v) * apart)
        if under > 0 and over > 0:
            peak = 1000 * math.log(over / under) / apart
    low, high = 1, max(1, min(most, int(min(peak, 9e18)) + 1)) if peak > 0 else 1
    if membrane_after(i, v, high, synaptic, membrane) < threshold:
        if high == 1 or membrane_after(i, v, high - 1, synaptic, membrane) < threshold:
            return most + 1
        high -= 1
    while high - low > 1:
        middle = (low + high) // 2
        if membrane_after(i, v, middle, synaptic, membrane) >= threshold:
            high = middle
        else:
            low = middle
    return high


@njit(f"int64(float32[::1], float32[::1], {MATRIX}, float32)", cache=True)
def count_suspects(i, v, law, longest):
    """How many neurons the bound max(0, v) + max(0, i) p allows to reach their thresholds, less a margin, within `longest` ms.

    p, what a unit of current adds to v at most, is the greatest charge of all times, and never more than the time that passes.
    """
    found = 0
    for j in range(v.shape[0]):
        found += not max(v[j], law[3, j]) + max(i[j], law[3, j]) * min(law[1, j], longest) < law[2, j]
    return found


@njit(f"int64(int64, float32[::1], float32[::1], {MATRIX}, {READ_F8_MATRIX})", cache=True)
def next_crossing(most, i, v, law, rates):
    """The least m in 1..most after which some neuron is at its threshold without input; most + 1 if there is none."""
    found, longest = most + 1, np.float32(np.float64(most) * 0.001001)  # ms, and a thousandth for its rounding
    if count_suspects(i, v, law, longest) == 0:
        return found
    for j in range(v.shape[0]):
        if found > 1 and not max(v[j], law[3, j]) + max(i[j], law[3, j]) * min(law[1, j], longest) < law[2, j]:
            k = min(j, rates.shape[1] - 1)
            found = first_crossing(i[j], v[j], law[0, j], found - 1, rates[SYNAPTIC, k], rates[MEMBRANE, k])
    return found


@njit(f"void(int64, float32[::1], float32[::1], {READ_F8_MATRIX})", cache=True)
def let_pass(m, i, v, rates):
    """i and v after m us in which nothing comes in."""
    t = np.float64(m) / 1000
    synaptic, membrane = rates[SYNAPTIC, 0], rates[MEMBRANE, 0]
    es, em, c = math.exp(-t * synaptic), math.exp(-t * membrane), charge(t, synaptic, membrane)
    if rates.shape[1] == 1:
        for j in range(v.shape[0]):
            v[j] = np.float32(np.float64(v[j]) * em + np.float64(i[j]) * c)
            i[j] = np.float32(np.float64(i[j]) * es)
        return
    for j in range(v.shape[0]):
        synaptic, membrane = rates[SYNAPTIC, j], rates[MEMBRANE, j]
        es, em, c = math.exp(-t * synaptic), math.exp(-t * membrane), charge(t, synaptic, membrane)
        v[j] = np.float32(np.float64(v[j]) * em + np.float64(i[j]) * c)
        i[j] = np.float32(np.float64(i[j]) * es)


@njit(
    f"int64(float32[::1], float32[::1], int64[::1], {MATRIX}, {MATRIX}, {READ_F8_MATRIX}, int64, "
    f"{READ_I8}, {READ_U4}, {READ_F4}, int64[::1], uint32[::1])",
    cache=True,
)
def run_events(i, v, clock, weight, law, rates, to_zero, t_us, unit, value, out_t_us, out_unit):
    """run_ticks in continuous time: runs the microseconds that have events or in which some v reaches its threshold.

    Over m us i and v go by let_pass; then i <- i + sum of weight[k] value_k over the events of this microsecond, in their order;
    where v >= threshold a spike and the reset.

    i, v, clock, weight and the events as in run_ticks. law (4, n_out): threshold, greatest charge, room of the bound, 0.
    rates (2, n_out) or (2, 1) float64: 1/tau_syn and 1/tau in 1/ms.
    """
    n, n_out, room, written, endless = t_us.shape[0], v.shape[0], out_t_us.shape[0], 0, np.float32(np.inf)
    while written + n_out <= room:
        at = clock[CURSOR]
        ahead = (t_us[at] if at < n else clock[STOP]) - clock[LAST]
        if clock[UNSETTLED] and ahead > 1:
            ahead = next_crossing(ahead - 1, i, v, law, rates)
        now = clock[LAST] + ahead
        if now >= clock[STOP]:
            break
        let_pass(ahead, i, v, rates)
        clock[LAST] = now
        while at < n and t_us[at] == now:
            for j in range(n_out):
                i[j] += weight[unit[at], j] * value[at] if value.shape[0] else weight[unit[at], j]
            at += 1
        clock[CURSOR] = at
        before = written
        written = write_spikes(v, law[0], now, out_t_us, out_unit, written)
        reset(v, law[0], to_zero, out_unit, before, written)
        clock[UNSETTLED] = count_suspects(i, v, law, endless) > 0
    return written
