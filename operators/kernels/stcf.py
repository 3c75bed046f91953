"""The kernel of stcf: an event passes if enough pixels of its neighbourhood fired within the correlation time before it."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.columns import EVENTS, INT64, OUT
from operators.kernels.order import order_runs
from operators.kernels.places import BORDER, STRIDE, find_places

SHIFT_US = 2**62
SIGNATURE = f"int64({EVENTS}, {INT64}, float64, float64, int64, int64, uint64[::1], {OUT})"


@njit(SIGNATURE, cache=True)
def stcf(
    t_us, unit, value, lie, inverse_width, inverse_height, window_us, support, newest, out_t_us, out_unit, out_value
):  # fmt: skip
    """An event passes if `support` pixels of its square of side 2 radius + 1, itself not counted, have newest >= t - window.

    lie: (4,) int64, how units lie in the map, as find_places has it; its border is the radius. inverse_width, inverse_height:
    1 / those of the sensor. newest: each pixel's newest event, a time t as t + SHIFT_US without a sign, 0 for never: such
    numbers are compared and counted in two instructions. out_t_us first serves to hold the events' places. value, out_value:
    (0,). Returns how many pass.
    """
    place = out_t_us
    find_places(unit, lie, inverse_width, inverse_height, place)
    stride, radius = lie[STRIDE], lie[BORDER]
    most_old = (2 * radius + 1) ** 2 - 1 - support
    kept = 0
    for i in range(t_us.shape[0]):
        t = t_us[i]
        here = place[i]
        newest[here] = np.uint64(t + SHIFT_US)
        oldest = np.uint64(t + SHIFT_US - window_us)
        if radius == 1:
            above = here - stride
            below = here + stride
            old = np.uint64(newest[above - 1] < oldest)
            old += np.uint64(newest[above] < oldest)
            old += np.uint64(newest[above + 1] < oldest)
            old += np.uint64(newest[here - 1] < oldest)
            old += np.uint64(newest[here + 1] < oldest)
            old += np.uint64(newest[below - 1] < oldest)
            old += np.uint64(newest[below] < oldest)
            old += np.uint64(newest[below + 1] < oldest)
        else:
            old = np.uint64(0)
            corner = here - radius * stride - radius
            for down in range(2 * radius + 1):
                for right in range(2 * radius + 1):
                    old += np.uint64(newest[corner + down * stride + right] < oldest)
        out_t_us[kept] = t  # written in any case and overwritten if it fails: no branch to mispredict
        out_unit[kept] = unit[i]
        kept += np.int64(old) <= most_old
    order_runs(out_t_us, out_unit, out_value, kept)
    return kept
