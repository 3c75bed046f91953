"""The kernel of crop_pool: gives events new addresses and drops those that have none."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.order import order_runs

SIGNATURE = (
    "int64(Array(int64, 1, 'C', readonly=True), Array(uint32, 1, 'C', readonly=True), Array(float32, 1, 'C', readonly=True), "
    "uint32, Array(int64, 1, 'C', readonly=True), Array(int64, 1, 'C', readonly=True), int64[::1], uint32[::1], float32[::1])"
)


@njit(SIGNATURE, cache=True)
def crop_pool(t_us, unit, value, width, row_to, column_to, out_t_us, out_unit, out_value):
    """Moves unit u to row_to[u // width] + column_to[u % width] and drops it if that is negative. Returns how many are left.

    row_to: (channels * height,) int64, column_to: (width,) int64, OUTSIDE for what is cropped away.
    value, out_value: (n,) float32 on graded streams, (0,) on spikes. out_t_us, out_unit: (n,), filled.
    """
    kept = 0
    graded = value.shape[0] > 0
    for i in range(t_us.shape[0]):
        row = unit[i] // width
        target = row_to[row] + column_to[unit[i] - row * width]
        out_t_us[kept] = t_us[i]
        out_unit[kept] = np.uint32(target & 0xFFFFFFFF)
        if graded:
            out_value[kept] = value[i]
        kept += target >= 0
    order_runs(out_t_us, out_unit, out_value, kept)
    return kept
