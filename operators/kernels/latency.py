"""The kernel of latency: when a value's spike is due."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from operators.kernels.columns import EVENTS

LINEAR, LOGARITHMIC = 0, 1


@njit(f"int64({EVENTS}, int64, float64, float64, float64, int64, int64[::1], uint32[::1])", cache=True)
def latency(t_us, unit, value, law, scale, threshold, tau_us, window_us, due_us, due_unit):
    """Writes when each value x = min(1, scale * value) above the threshold fires; returns how many do.

    LINEAR: window * (1 - x). LOGARITHMIC: tau * ln(x / (x - threshold)), and not at all unless before the window ends.
    due_us, due_unit: (n,), filled in the order of the values.
    """
    n = 0
    for i in range(t_us.shape[0]):
        x = scale * np.float64(value[i])
        if not x > threshold:  # so it is for what is not a number
            continue
        x = min(1.0, x)
        if law == LINEAR:
            after_us = min(float(window_us - 1), window_us * (1.0 - x))
        else:
            after_us = tau_us * math.log(x / (x - threshold))
        if after_us < window_us:
            due_us[n] = t_us[i] + int(after_us)
            due_unit[n] = unit[i]
            n += 1
    return n
