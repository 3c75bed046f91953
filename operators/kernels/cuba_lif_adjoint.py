"""The kernel that differentiates cuba_lif in continuous time: gradients of spike times in, those of weights and inputs out."""

# numba stores the kernels that these call together with them: after an edit there, remove the __pycache__ folders.

from __future__ import annotations

import math

import numpy as np
from numba import njit

from operators.kernels.cuba_lif import MEMBRANE, SYNAPTIC, charge

F8, MATRIX, READ_I8 = "float64[::1]", "float64[:, ::1]", "Array(int64, 1, 'C', readonly=True)"
READ_F8, READ_MATRIX = "Array(float64, 1, 'C', readonly=True)", "Array(float64, 2, 'C', readonly=True)"
TRAINS = f"{READ_I8}, {READ_F8}, {READ_I8}"  # first, t, unit


@njit(f"void(float64, {F8}, {F8}, {READ_MATRIX})", cache=True)
def back_in_time(t, a, b, rates):
    """The sensitivities t ms earlier, nothing happening in between: a' = -a / tau, b' = a - b / tau_syn, in reversed time."""
    es, em, c = 0.0, 0.0, 0.0
    for j in range(a.shape[0]):
        if j < rates.shape[1]:
            synaptic, membrane = rates[SYNAPTIC, j], rates[MEMBRANE, j]
            es, em, c = math.exp(-t * synaptic), math.exp(-t * membrane), charge(t, synaptic, membrane)
        b[j] = b[j] * es + a[j] * c
        a[j] = a[j] * em


@njit(f"void({TRAINS}, {TRAINS}, int64, {READ_MATRIX}, {READ_MATRIX}, {F8}, {F8})", cache=True)
def currents(first_in, t_in, unit_in, first, t, unit, sample, weight, rates, i, found):
    """found[p]: the current of neuron unit[p] at t[p], for the spikes p of one sample; input of that very moment comes after it.
    i (n_out,): room."""
    i[:] = 0.0
    at, last, uniform = first[sample], 0.0, rates.shape[1] - 1
    for k in range(first_in[sample], first_in[sample + 1] + 1):
        more = k < first_in[sample + 1]
        while at < first[sample + 1] and (not more or t[at] <= t_in[k]):
            j = unit[at]
            found[at] = i[j] * math.exp((last - t[at]) * rates[SYNAPTIC, min(j, uniform)])
            at += 1
        if more:
            es = math.exp((last - t_in[k]) * rates[SYNAPTIC, 0])
            for j in range(i.shape[0]):
                if 0 < j <= uniform:
                    es = math.exp((last - t_in[k]) * rates[SYNAPTIC, j])
                i[j] = i[j] * es + weight[unit_in[k], j]
            last = t_in[k]


@njit(f"void({TRAINS}, {TRAINS}, {READ_F8}, {READ_MATRIX}, {READ_F8}, {READ_MATRIX}, float64, {F8}, {F8}, {MATRIX}, {F8})",
      cache=True)  # fmt: skip
def adjoint(first_in, t_in, unit_in, first, t, unit, slope, weight, threshold, rates, least, found, grad_in, grad_weight, room):
    """EventProp: what the loss owes to weights and input times, given what it owes to each spike's time.

    Back in time with a = dL/dv and b = dL/di, 0 at the end: at a spike of neuron j, whose v rises by u = i - threshold / tau just
    before it and by i just after it, a <- (a i - dL/dt) / u; at an input spike of unit k, dL/dw[k] += b and its
    dL/dt = sum over j of w[k, j] (b / tau_syn - a); in between as in back_in_time. v has no jumps, so it is reset from the
    threshold itself, and both resets are one. A u below `least` thresholds a tau_syn counts as that.

    first_in, first (samples + 1,): where each sample's spikes begin. t_in, t (n,) f8: ms, rising within a sample; unit_in, unit
    (n,). slope (spikes,): dL/dt of each output spike. weight (n_in, n_out), threshold (n_out,), rates (2, n_out or 1): 1/tau_syn,
    1/tau in 1/ms. found (spikes,), room (3 n_out,): room. grad_in (inputs,), grad_weight (n_in, n_out): written, added to.

    Source: Wunderlich and Pehl 2021, "Event-based backpropagation can compute exact gradients for spiking neural networks",
    eq. 2 and table 1; with delays Meszaros, Knight, Nowotny 2025, "Efficient event-based delay learning in spiking neural
    networks", section on the adjoint: a delay's gradient is that of the arrival times.
    """
    n_out, uniform = weight.shape[1], rates.shape[1] - 1
    a, b = room[:n_out], room[n_out : 2 * n_out]
    for sample in range(first.shape[0] - 1):
        currents(first_in, t_in, unit_in, first, t, unit, sample, weight, rates, room[2 * n_out :], found)
        a[:] = 0.0
        b[:] = 0.0
        k, p, last = first_in[sample + 1] - 1, first[sample + 1] - 1, np.inf
        while k >= first_in[sample] or p >= first[sample]:
            arrives = k >= first_in[sample] and (p < first[sample] or t_in[k] >= t[p])
            now = t_in[k] if arrives else t[p]
            if last < np.inf:
                back_in_time(last - now, a, b, rates)
            last = now
            if arrives:
                total = 0.0
                for j in range(n_out):
                    grad_weight[unit_in[k], j] += b[j]
                    total += weight[unit_in[k], j] * (b[j] * rates[SYNAPTIC, min(j, uniform)] - a[j])
                grad_in[k] = total
                k -= 1
            else:
                j = unit[p]
                leak = threshold[j] * rates[MEMBRANE, min(j, uniform)]
                rise = max(found[p] - leak, least * threshold[j] * rates[SYNAPTIC, min(j, uniform)])
                a[j] = (a[j] * (rise + leak) - slope[p]) / rise
                p -= 1
