"""The kernel of voxel: the first event of each voxel counts, the others say nothing new."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.columns import EVENTS, OUT


@njit(f"int64({EVENTS}, int64, int64, int64, int64[::1], {OUT})", cache=True)
def first_of_voxels(t_us, unit, value, window_us, bins, units, window_of, out_t_us, out_unit, no_values):
    """Gives voxel bin * units + unit, stamped with the begin of its window, unless the window has it already.

    bin = floor((t - begin) * bins / window). window_of: (bins * units,) int64, the last window that had the voxel, or NEVER.
    value, no_values: (0,). In the order of arrival; returns how many there are.
    """
    n = 0
    for i in range(t_us.shape[0]):
        window = t_us[i] // window_us
        begin_us = window * window_us
        voxel = (t_us[i] - begin_us) * bins // window_us * units + np.int64(unit[i])
        out_t_us[n] = begin_us
        out_unit[n] = np.uint32(voxel)
        n += window_of[voxel] != window
        window_of[voxel] = window
    return n
