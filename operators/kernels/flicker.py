"""The kernel of flicker: follows how regularly each area's polarity rises, and silences what rises like a lamp."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.addressing import NEVER
from operators.kernels.columns import EVENTS, INT64, OUT
from operators.kernels.order import order_runs

UNKNOWN, OFF, ON = 0, 1, 2  # the polarity of an area's last event


@njit(f"int64({EVENTS}, {INT64}, int64, int64, int64, int64, int64[::1], int64[::1], uint8[::1], int64[::1], {OUT})", cache=True)
def flicker(
    t_us, unit, value, area_of, shortest_us, longest_us, bounce_us, cycles,
    rise_us, periods, polarity, dropped, out_t_us, out_unit, out_value,
):  # fmt: skip
    """Passes the events of areas that do not flicker. Returns how many passed; adds the others to dropped.

    An ON event after an OFF event of its area is a rise, unless one came less than bounce_us before. A rise that comes between
    shortest_us and longest_us after the one before makes one more period, any other none; longest_us without a rise ends them.
    An area with `cycles` periods in a row flickers.

    area_of: (pixels,) int64. rise_us, periods: (areas,) int64; polarity: (areas,) uint8. value, out_value: (0,).
    """
    pixels = area_of.shape[0]
    kept = 0
    for i in range(t_us.shape[0]):
        t = t_us[i]
        is_on = unit[i] >= pixels
        area = area_of[np.int64(unit[i]) - (pixels if is_on else 0)]
        since_us = t - rise_us[area] if rise_us[area] != NEVER else longest_us + 1
        if since_us > longest_us:
            periods[area] = 0
        if is_on and polarity[area] == OFF and since_us >= bounce_us:
            fits = (since_us >= shortest_us) and (since_us <= longest_us)
            periods[area] = min(periods[area] + 1, cycles) if fits else 0
            rise_us[area] = t
        polarity[area] = ON if is_on else OFF
        out_t_us[kept] = t
        out_unit[kept] = unit[i]
        kept += periods[area] < cycles
    dropped[0] += t_us.shape[0] - kept
    order_runs(out_t_us, out_unit, out_value, kept)
    return kept
