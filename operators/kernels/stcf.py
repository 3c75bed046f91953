"""The kernel of stcf: an event passes if enough pixels of its neighbourhood fired within the correlation time."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.columns import EVENTS, INT64, OUT
from operators.kernels.order import order_runs


@njit(f"int64({EVENTS}, int64, float64, {INT64}, int64, int64, int64, int64[::1], {OUT})", cache=True)
def stcf(
    t_us, unit, value, width, inverse_width, row_start, radius, window_us, support, map_us, out_t_us, out_unit, out_value
):  # fmt: skip
    """An event passes if `support` pixels of its square of side 2 radius + 1, itself not counted, fired in [t - window, t].

    All events of a microsecond are written into map_us before the first of them is judged, so their order means nothing.

    map_us: the newest event of each pixel, or NEVER; places as in row_start, with a border of `radius`. out_t_us first serves
    to hold the events' places. value, out_value: (0,). Returns how many events passed.
    """
    n = t_us.shape[0]
    stride = width + radius
    place = out_t_us
    for i in range(n):
        # (u + 0.5) / width is at least 0.5 / width from a whole number, far more than the product is off: the row is exact.
        row = np.int64((unit[i] + 0.5) * inverse_width)
        place[i] = row_start[row] + np.int64(unit[i]) - row * width
    kept = 0
    noted = 0
    for i in range(n):
        t = t_us[i]
        while noted < n and t_us[noted] == t:
            map_us[place[noted]] = t
            noted += 1
        oldest = t - window_us
        corner = place[i] - radius * stride - radius
        fired = -1  # the pixel itself is among them
        if radius == 1:
            for row_at in (corner, corner + stride, corner + 2 * stride):
                fired += 0 + (map_us[row_at] >= oldest) + (map_us[row_at + 1] >= oldest) + (map_us[row_at + 2] >= oldest)
        else:
            for down in range(2 * radius + 1):
                for right in range(2 * radius + 1):
                    fired += map_us[corner + down * stride + right] >= oldest
        out_t_us[kept] = t  # written in any case and overwritten if it fails: no branch to mispredict
        out_unit[kept] = unit[i]
        kept += fired >= support
    order_runs(out_t_us, out_unit, out_value, kept)
    return kept
