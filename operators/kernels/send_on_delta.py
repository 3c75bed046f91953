"""The kernel of send_on_delta: a channel fires when its value has moved far enough from the one that it last sent."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.columns import EVENTS, OUT
from operators.kernels.order import order_runs

UNKNOWN, SILENT, DOWN, UP = 0, 1, 2, 3  # no value yet; no spike yet; the direction of the last spike


@njit(f"int64({EVENTS}, int64, float32, float32, int64, float32[::1], uint8[::1], int64[::1], {OUT})", cache=True)
def send_on_delta(
    t_us, unit, value, units, delta, hysteresis, refractory_us, sent, mode, last_us, out_t_us, out_unit, no_values
):  # fmt: skip
    """Fires UP (unit + units) or DOWN (unit) when |value - sent| reaches delta, plus hysteresis to turn round; then sent = value.

    sent: (units,) float32, the value last sent; mode: (units,) uint8; last_us: (units,) int64, time of the last spike, or NEVER.
    no_values: (0,). All arithmetic is float32. Returns how many spikes there are.
    """
    n = 0
    for i in range(t_us.shape[0]):
        t = t_us[i]
        v = value[i]
        u = unit[i]
        if v != v or last_us[u] > t - refractory_us:  # not a number, or too soon
            continue
        if mode[u] == UNKNOWN:
            sent[u] = v
            mode[u] = SILENT
            continue
        change = v - sent[u]
        up = change >= (delta + hysteresis if mode[u] == DOWN else delta)
        down = -change >= (delta + hysteresis if mode[u] == UP else delta)
        if up or down:
            sent[u] = v
            mode[u] = UP if up else DOWN
            last_us[u] = t
            out_t_us[n] = t
            out_unit[n] = np.uint32(np.int64(u) + (units if up else 0))
            n += 1
    order_runs(out_t_us, out_unit, no_values, n)
    return n
