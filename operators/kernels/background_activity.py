"""The kernel of background_activity: an event passes if enough neighbouring pixels fired within the window."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.order import order_runs

SIGNATURE = (
    "int64(Array(int64, 1, 'C', readonly=True), Array(uint32, 1, 'C', readonly=True), uint32, "
    "Array(int64, 1, 'C', readonly=True), int64, int64, int64[::1], int64[::1], uint32[::1], float32[::1])"
)


@njit(SIGNATURE, cache=True)
def background_activity(t_us, unit, width, row_start, window_us, min_neighbours, last_us, out_t_us, out_unit, no_values):
    """Passes event (t, pixel) if at least min_neighbours of the 8 pixels around have last_us >= t - window_us. Returns how many.

    All events of a microsecond are written into last_us before the first of them is judged, so their order means nothing.
    last_us: a map with a border that holds NEVER; its places are those of addressing.padded_rows, row_start.
    out_t_us, out_unit: (n,), filled. no_values: (0,).
    """
    n = t_us.shape[0]
    stride = np.int64(width) + 1
    kept = 0
    written = 0
    for i in range(n):
        t = t_us[i]
        while written < n and t_us[written] == t:
            row = unit[written] // width
            last_us[row_start[row] + np.int64(unit[written] - row * width)] = t
            written += 1
        row = unit[i] // width
        here = row_start[row] + np.int64(unit[i] - row * width)
        above = here - stride
        below = here + stride
        oldest = t - window_us
        neighbours = (
            0  # an int in front, for without the compiler a sum of truths is a truth
            + (last_us[above - 1] >= oldest) + (last_us[above] >= oldest) + (last_us[above + 1] >= oldest)
            + (last_us[here - 1] >= oldest) + (last_us[here + 1] >= oldest)
            + (last_us[below - 1] >= oldest) + (last_us[below] >= oldest) + (last_us[below + 1] >= oldest)
        )  # fmt: skip
        out_t_us[kept] = t  # written in any case and overwritten if it fails: no branch to mispredict
        out_unit[kept] = unit[i]
        kept += neighbours >= min_neighbours
    order_runs(out_t_us, out_unit, no_values, kept)
    return kept
