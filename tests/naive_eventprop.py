"""cuba_lif in continuous time and in float64, crossings found to the last bit: the truth beside which exact gradients stand."""

import math

import numpy as np


def spike_times(weight, tau_ms, tau_syn_ms, threshold, inputs, until_ms):
    """[(ms, neuron)] of the spikes, in order; inputs: [(ms, unit)] in order."""
    spikes = []
    for j in range(weight.shape[1]):
        i, v, last = 0.0, 0.0, 0.0
        for ms, unit in [*inputs, (until_ms, None)]:
            while (found := crossing(i, v, tau_ms, tau_syn_ms, threshold, ms - last)) is not None:
                spikes.append((last + found, j))
                i, v, last = i * math.exp(-found / tau_syn_ms), 0.0, last + found
            v = membrane(i, v, tau_ms, tau_syn_ms, ms - last)
            i, last = i * math.exp(-(ms - last) / tau_syn_ms), ms
            i += 0.0 if unit is None else weight[unit, j]
    return sorted(spikes)


def membrane(i, v, tau_ms, tau_syn_ms, ms):
    slow, fast = math.exp(-ms / tau_ms), math.exp(-ms / tau_syn_ms)
    return v * slow + i * (slow - fast) / (1 / tau_syn_ms - 1 / tau_ms)


def crossing(i, v, tau_ms, tau_syn_ms, threshold, most_ms):
    """The first time within most_ms at which v reaches the threshold from below, or None: a fine grid, then halving."""
    steps = max(2, math.ceil(most_ms / 0.05))
    low = 0.0
    for high in np.linspace(0, most_ms, steps)[1:].tolist():
        if membrane(i, v, tau_ms, tau_syn_ms, high) >= threshold:
            for _ in range(70):
                middle = (low + high) / 2
                low, high = (low, middle) if membrane(i, v, tau_ms, tau_syn_ms, middle) >= threshold else (middle, high)
            return high
        low = high
    return None
