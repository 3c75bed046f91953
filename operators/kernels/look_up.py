"""The kernel of undistort: gives each event the address that a table has for its pixel."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.columns import EVENTS, OUT, UINT32
from operators.kernels.order import order_runs

NOWHERE = np.uint32(0xFFFFFFFF)  # the entry of a pixel whose events are dropped


@njit(f"int64({EVENTS}, {UINT32}, int64[::1], {OUT})", cache=True)
def look_up(t_us, unit, value, unit_to, dropped, out_t_us, out_unit, out_value):
    """Moves unit u to unit_to[u], and drops it if that is NOWHERE. Returns how many are left; adds the others to dropped.

    unit_to: (units,) uint32. dropped: (1,) int64. value, out_value: (n,) float32 on graded streams, (0,) on spikes.
    """
    kept = 0
    graded = value.shape[0] > 0
    for i in range(t_us.shape[0]):
        target = unit_to[unit[i]]
        out_t_us[kept] = t_us[i]
        out_unit[kept] = target
        if graded:
            out_value[kept] = value[i]
        kept += target != NOWHERE
    dropped[0] += t_us.shape[0] - kept
    order_runs(out_t_us, out_unit, out_value, kept)
    return kept
