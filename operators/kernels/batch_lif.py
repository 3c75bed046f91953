"""The kernels of batch_lif: many whole episodes at once through one layer, and pictures through the law of `bernoulli`.

Episodes are columns of all events, one episode behind the other: those of episode e lie at first[e] : first[e + 1], by tick.
"""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import math

import numpy as np
from numba import njit

from operators.kernels.held_values import GOLDEN, mix, tick_key

READ_I8, READ_I4, READ_U4 = (f"Array({kind}, 1, 'C', readonly=True)" for kind in ("int64", "int32", "uint32"))
READ_F4 = "Array(float32, 1, 'C', readonly=True)"
MATRIX = "Array(float32, 2, 'C', readonly=True)"
EPISODES = f"{READ_I8}, {READ_I4}, {READ_U4}, {READ_F4}, {READ_I8}"


@njit(f"void(float32[::1], {MATRIX}, {READ_U4}, {READ_F4}, int64, int64)", cache=True, nogil=True)
def add_rows(v, weight, unit, value, begin, end):
    """v[j] += weight[unit[k], j] * value[k] for the events begin <= k < end, in their order; four rows a pass over v."""
    n_out = v.shape[0]
    k = begin
    if value.shape[0] == 0:
        while k + 4 <= end:
            a, b, c, d = unit[k], unit[k + 1], unit[k + 2], unit[k + 3]
            for j in range(n_out):
                v[j] = (((v[j] + weight[a, j]) + weight[b, j]) + weight[c, j]) + weight[d, j]
            k += 4
    while k < end:
        i = unit[k]
        if value.shape[0] == 0:
            for j in range(n_out):
                v[j] += weight[i, j]
        else:
            for j in range(n_out):
                v[j] += weight[i, j] * value[k]
        k += 1


@njit(f"void(float32[::1], {READ_F4}, {READ_I8}, {READ_I4}, {READ_I4}, {READ_I8}, {READ_U4}, {READ_F4}, int64, int64)",
      cache=True, nogil=True)  # fmt: skip
def add_spans(v, weights, span_first, span_begin, span_end, span_place, unit, value, begin, end):
    """add_rows for a sparse matrix: row i is zero but for the spans span_first[i] : span_first[i + 1], columns
    span_begin : span_end each, whose weights lie from span_place on."""
    for k in range(begin, end):
        i = unit[k]
        for s in range(span_first[i], span_first[i + 1]):
            low, place = np.uint64(span_begin[s]), np.uint64(span_place[s])  # unsigned: never looked at for being negative
            length = np.uint64(span_end[s] - span_begin[s])
            if value.shape[0] == 0:
                for j in range(length):
                    v[low + j] += weights[place + j]
            else:
                for j in range(length):
                    v[low + j] += weights[place + j] * value[k]


@njit(f"void(int64, float32[::1], {READ_F4}, float64)", cache=True, nogil=True)
def decay_by(m, v, bias, d):
    """v after m ticks without input: v <- v d^m + b (1 - d^m) / (1 - d), as `lif` rounds it. bias (n_out,), or (0,) for none."""
    keep = d if m == 1 and bias.shape[0] else math.pow(d, np.float64(m))
    kept = np.float32(keep)
    if bias.shape[0] == 0:
        for j in range(v.shape[0]):
            v[j] *= kept
        return
    grown = np.float64(1) if m == 1 else np.float64(m) if d == 1 else (1 - keep) / (1 - d)
    for j in range(v.shape[0]):
        v[j] = v[j] * kept + np.float32(np.float64(bias[j]) * grown)


@njit(f"int64({EPISODES}, float32[::1], {MATRIX}, {READ_F4}, {READ_I8}, {READ_I4}, {READ_I4}, {READ_I8}, "
      f"{READ_F4}, {READ_F4}, {READ_F4}, float64, int64, {READ_U4}, int64[::1], int32[::1], uint32[::1])",
      cache=True, nogil=True)  # fmt: skip
def layer_spikes(first, tick, unit, value, ticks, v, weight, weights, span_first, span_begin, span_end, span_place,
                 threshold, ceiling, bias, d, to_zero, name, out_first, out_tick, out_unit):  # fmt: skip
    """The spikes of all episodes, each from rest, as `run_ticks` of the layer gives them; returns how many.

    weight (n_in, n_out), or (0, 0) where spans hold it: see add_spans. threshold, ceiling (n_out,). d: what v keeps over a tick,
    of all neurons. name (n_out,): the number of the neuron in column j. out_first (episodes + 1,): where each begins.
    out_tick, out_unit: room for all neurons in all ticks.
    """
    n_out, written = v.shape[0], 0
    for e in range(ticks.shape[0]):
        out_first[e] = written
        at, after, last, stop = first[e], first[e + 1], -1, ticks[e]
        v[:] = 0
        unsettled = 0
        for j in range(n_out):
            unsettled += v[j] >= ceiling[j]
        while True:
            now = last + 1 if unsettled else int(tick[at]) if at < after else stop
            if now >= stop:
                break
            decay_by(now - last, v, bias, d)
            last, here = now, at
            while at < after and tick[at] == now:
                at += 1
            if weight.shape[0] > 0:
                add_rows(v, weight, unit, value, here, at)
            else:
                add_spans(v, weights, span_first, span_begin, span_end, span_place, unit, value, here, at)
            unsettled = 0
            for j in range(n_out):
                if v[j] >= ceiling[j]:
                    if v[j] >= threshold[j]:
                        out_tick[written] = now
                        out_unit[written] = name[j]
                        written += 1
                        v[j] = np.float32(0) if to_zero else v[j] - threshold[j]
                    unsettled += v[j] >= ceiling[j]
    out_first[ticks.shape[0]] = written
    return written


@njit(f"void({READ_I8}, {READ_U4}, uint8[:, ::1])", cache=True, nogil=True)
def count_units(first, unit, counts):
    """counts[e, i]: the events of unit i in episode e. counts (episodes, n), zero at first."""
    for e in range(counts.shape[0]):
        for k in range(first[e], first[e + 1]):
            counts[e, unit[k]] += 1


@njit(f"int64({READ_I8}, {READ_U4}, {READ_F4}, {READ_I8}, {READ_I8}, float64, int64[::1], int32[::1], "
      "uint32[::1])", cache=True, nogil=True)  # fmt: skip
def picture_spikes(first, unit, value, seeds, ticks, scale, out_first, out_tick, out_unit):
    """Pictures as `bernoulli` shows them: every event of an episode holds from tick 0, where all episodes begin, to the last.

    seeds (episodes,): of the random numbers of each.
    """
    written = 0
    for e in range(ticks.shape[0]):
        out_first[e] = written
        for tick in range(ticks[e]):
            one, other = tick_key(seeds[e], tick), tick_key(seeds[e] ^ GOLDEN, tick)
            for k in range(first[e], first[e + 1]):
                if value[k] > 0:
                    draw = (mix(mix(np.int64(unit[k]) ^ one) ^ other) + 0.5) / 4294967296.0
                    if draw < min(1.0, scale * np.float64(value[k])):
                        out_tick[written] = tick
                        out_unit[written] = unit[k]
                        written += 1
    out_first[ticks.shape[0]] = written
    return written
