"""The kernel of time_surface: how recently each unit fired, looked at once a tick."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from operators.kernels.columns import EVENTS, OUT

EVENT, TICK, UNIT, NEWEST = 0, 1, 2, 3  # the places of marks


@njit(f"int64({EVENTS}, int64[::1], int64, int64, float64, int64, int64[::1], {OUT})", cache=True)
def time_surface(
    t_us, unit, no_values, marks, tick_us, until, tau_us, horizon_us, last_us, out_t_us, out_unit, out_value
):  # fmt: skip
    """Closes the ticks before `until`: gives exp(-(end of tick - last) / tau) of every unit with last >= end of tick - horizon.

    A full output stops it between two units; it goes on from marks when called again, and is done when marks[TICK] is `until`.

    marks: (4,) int64, the next event, tick and unit, and the time of the newest event. last_us: (units,) int64, the newest event
    of each unit, or NEVER. Returns how many values there are.
    """
    i, tick, u, newest = int(marks[EVENT]), int(marks[TICK]), int(marks[UNIT]), int(marks[NEWEST])
    room = out_t_us.shape[0]
    n = 0
    while True:
        end_us = (tick + 1) * tick_us
        while i < t_us.shape[0] and t_us[i] < end_us:
            newest = t_us[i]
            last_us[unit[i]] = newest
            i += 1
        if newest < end_us - horizon_us and tick < until:  # all is dark until the next event
            tick = min(until, int(t_us[i]) // tick_us) if i < t_us.shape[0] else until
            if i < t_us.shape[0]:
                continue
        if tick == until:
            break
        while u < last_us.shape[0] and n < room:
            if last_us[u] >= end_us - horizon_us:
                out_t_us[n] = tick * tick_us
                out_unit[n] = u
                out_value[n] = np.float32(math.exp(-(end_us - last_us[u]) / tau_us))
                n += 1
            u += 1
        if u < last_us.shape[0]:
            break
        u = 0
        tick += 1
    marks[EVENT], marks[TICK], marks[UNIT], marks[NEWEST] = i, tick, u, newest
    return n
