"""The kernels of readout: class scores from counted spikes, or from integrated ticks, and the decisions taken on them."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import math

import numpy as np
from numba import njit

CURSOR, NEXT, BIN, DECIDED, SILENT, TICK = 0, 1, 2, 3, 4, 5  # the entries of `marks`
SPIKE_COUNT, MEMBRANE, SOFTMAX_SUM, MAX_MEMBRANE = 0, 1, 2, 3

READ_I8, READ_U4, READ_F4 = (f"Array({kind}, 1, 'C', readonly=True)" for kind in ("int64", "uint32", "float32"))
MATRIX = "Array(float32, 2, 'C', readonly=True)"
EVENTS = f"{READ_I8}, {READ_U4}, {READ_F4}, int64, int64"
OUT = "float32[::1], int64[::1], float32[::1]"


@njit("void(float32[::1], float32[::1])", cache=True)
def softmax(x, share):
    """share = exp(x - max x) / sum of them: exp in float64, everything else in float32, classes in order. (classes,) each."""
    greatest = x[0]
    for c in range(1, x.shape[0]):
        if x[c] > greatest:
            greatest = x[c]
    total = np.float32(0)
    for c in range(x.shape[0]):
        share[c] = np.float32(math.exp(np.float64(x[c] - greatest)))
        total += share[c]
    for c in range(x.shape[0]):
        share[c] /= total


@njit(f"float32(float32[::1], float32, int64, {OUT}, int64)", cache=True)
def decide(score, temperature, at_us, scaled, out_t_us, out_value, written):
    """Writes softmax(score / temperature), the decision over data up to at_us, behind `written` others; returns the greatest."""
    classes = score.shape[0]
    begin = written * classes
    for c in range(classes):
        scaled[c] = score[c] / temperature
    softmax(scaled, out_value[begin : begin + classes])
    confidence = out_value[begin]
    for c in range(classes):
        out_t_us[begin + c] = at_us - 1
        confidence = max(confidence, out_value[begin + c])
    return confidence


@njit(f"int64(float64[:, ::1], int64[::1], {MATRIX}, {EVENTS}, int64)", cache=True)
def count(sums, evidence, weight, t_us, unit, value, at, before_us, bin):
    """Adds the events from `at` on that lie before before_us to the counts of their units in `bin`; returns the next event."""
    n, graded = t_us.shape[0], value.shape[0] > 0
    while at < n and t_us[at] < before_us:
        sums[bin, unit[at]] += value[at] if graded else np.float32(1)
        evidence[bin] += 1
        at += 1
    return at


@njit(f"int64(int64, float32[::1], {READ_F4}, float64[:, ::1], int64[::1], int64[::1], {MATRIX}, {READ_F4}, {EVENTS}, int64, "
      "float32[::1])", cache=True)  # fmt: skip
def integrate(kind, v, decay, sums, evidence, ticks, weight, bias, t_us, unit, value, at, before_us, bin, share):
    """One tick, which ends at before_us: v <- d v + b + weight[i] value_i; v, or softmax(v), is added to the sums of `bin`.

    For MAX_MEMBRANE the sums hold the greatest v instead.
    """
    classes, n, graded = v.shape[0], t_us.shape[0], value.shape[0] > 0
    for c in range(classes):
        v[c] = v[c] * decay[c] + bias[c]
    while at < n and t_us[at] < before_us:
        i = unit[at]
        x = value[at] if graded else np.float32(1)
        if weight.shape[0] > 0:
            for c in range(classes):
                v[c] += weight[i, c] * x
        else:
            v[i] += x
        evidence[bin] += 1
        at += 1
    if kind == SOFTMAX_SUM:
        softmax(v, share)
    for c in range(classes):
        if kind == MAX_MEMBRANE:
            sums[bin, c] = v[c] if ticks[bin] == 0 else max(sums[bin, c], np.float64(v[c]))
        else:
            sums[bin, c] += share[c] if kind == SOFTMAX_SUM else v[c]
    ticks[bin] += 1
    return at


@njit(f"void(int64, float32[::1], float64[:, ::1], int64[::1], {MATRIX}, {READ_F4}, int64, int64, float32[::1])", cache=True)
def weigh(kind, v, sums, ticks, weight, bias, bin, windowed, score):
    """score = weight^T counts + bias; v, in a window its mean; the greatest v; or the sum of softmax(v).

    Bins are added from the oldest on.
    """
    bins, classes = sums.shape[0], score.shape[0]
    if kind == MEMBRANE and not windowed:
        score[:] = v
        return
    for c in range(classes):
        score[c] = bias[c] if kind == SPIKE_COUNT else np.float32(-np.inf if kind == MAX_MEMBRANE else 0)
    if kind == MAX_MEMBRANE:
        for k in range(bins):
            for c in range(classes):
                if ticks[k] > 0:
                    score[c] = max(score[c], np.float32(sums[k, c]))
        return
    for i in range(sums.shape[1]):
        total = np.float64(0)
        for k in range(1, bins + 1):
            total += sums[(bin + k) % bins, i]
        if kind == MEMBRANE:
            score[i] = np.float32(total / ticks.sum())
        elif kind == SOFTMAX_SUM or weight.shape[0] == 0:
            score[i] += np.float32(total)
        elif total != 0:
            for c in range(classes):
                score[c] += np.float32(total) * weight[i, c]


@njit(f"int64(int64, float32[::1], {READ_F4}, float64[:, ::1], int64[::1], int64[::1], {MATRIX}, {READ_F4}, int64[::1], "
      f"{READ_I8}, {READ_U4}, {READ_F4}, int64, int64, int64, int64, int64, int64, float32, float32, float32[:, ::1], "
      "int64[::1], float32[::1])", cache=True)  # fmt: skip
def readout(kind, v, decay, sums, evidence, ticks, weight, bias, marks, t_us, unit, value, tick_us, end_us, every_us, closing,
            windowed, rearm, temperature, exit_at, scratch, out_t_us, out_value):  # fmt: skip
    """Takes in the events before end_us and writes the decisions due up to end_us; returns how many.

    A decision is due at marks[NEXT], every every_us after it, and if `closing` at end_us, where the open tick counts as closed.
    It is given if there is evidence: an event since the start, or inside the window.

    kind: SPIKE_COUNT, MEMBRANE, SOFTMAX_SUM or MAX_MEMBRANE. v, decay, bias (classes,) f4. sums (bins, n_in or classes) f8,
    evidence, ticks (bins,) i8: partial results, events and ticks of each every_us; one bin for all time without a window.
    weight (n_in, classes), or (0, 0) for the identity. marks (6,): next event, next decision, open bin, time of the last
    decision, whether it was final, next tick. t_us, unit, value (n,): the events; value (0,) for spikes. exit_at: a decision
    this sure is final. scratch (2, classes). out_t_us, out_value (decisions * classes,): it stops when they are full; call
    again.
    """
    classes, bins = v.shape[0], sums.shape[0]
    written = 0
    while (written + 1) * classes <= out_t_us.shape[0] and not marks[SILENT]:
        at_us, bin = min(marks[NEXT], end_us), marks[BIN]
        regular = marks[NEXT] <= end_us
        if kind == SPIKE_COUNT:
            marks[CURSOR] = count(sums, evidence, weight, t_us, unit, value, marks[CURSOR], at_us, bin)
        else:
            stop = -(-at_us // tick_us) if closing and not regular else at_us // tick_us
            for tick in range(marks[TICK], stop):
                marks[CURSOR] = integrate(kind, v, decay, sums, evidence, ticks, weight, bias, t_us, unit, value,
                                          marks[CURSOR], (tick + 1) * tick_us, bin, scratch[0])  # fmt: skip
            marks[TICK] = max(marks[TICK], stop)
        if not regular and (not closing or marks[DECIDED] == end_us):
            break
        if evidence.sum() > 0:
            weigh(kind, v, sums, ticks, weight, bias, bin, windowed, scratch[1])
            confidence = decide(scratch[1], temperature, at_us, scratch[0], out_t_us, out_value, written)
            written += 1
            marks[DECIDED] = at_us
            if confidence >= exit_at:
                v[:] = 0
                sums[:] = 0
                evidence[:] = 0
                ticks[:] = 0
                marks[SILENT] = not rearm
        if not regular:
            break
        marks[NEXT] += every_us
        if windowed:
            marks[BIN] = bin = (bin + 1) % bins
            sums[bin] = 0
            evidence[bin] = 0
            ticks[bin] = 0
    return written
