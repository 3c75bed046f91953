"""The kernel of polarity: keeps a range of units and folds what is kept."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.order import order_runs

SIGNATURE = (
    "int64(Array(int64, 1, 'C', readonly=True), Array(uint32, 1, 'C', readonly=True), Array(float32, 1, 'C', readonly=True), "
    "int64, int64, int64, int64[::1], uint32[::1], float32[::1])"
)


@njit(SIGNATURE, cache=True)
def polarity(t_us, unit, value, first, end, pixels, out_t_us, out_unit, out_value):
    """Keeps units first <= u < end, as u - pixels if u >= pixels and else as u. Returns how many.

    first, end: the range of units to keep. pixels: where the ON units begin; more than any unit leaves all addresses as they are.
    value, out_value: (n,) float32 on graded streams, (0,) on spikes. out_t_us, out_unit: (n,), filled.
    """
    kept = 0
    graded = value.shape[0] > 0
    for i in range(t_us.shape[0]):
        u = np.int64(unit[i])
        out_t_us[kept] = t_us[i]
        out_unit[kept] = np.uint32(u - pixels if u >= pixels else u)
        if graded:
            out_value[kept] = value[i]
        kept += (u >= first) & (u < end)
    order_runs(out_t_us, out_unit, out_value, kept)
    return kept
