"""The kernel of stcf: an event passes if enough pixels of its neighbourhood fired within the correlation time before it."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.columns import EVENTS, INT64, OUT
from operators.kernels.newest import FARTHEST_US, move_origin
from operators.kernels.order import order_runs
from operators.kernels.places import BORDER, STRIDE, find_places
from operators.neighbours import recent_neighbours

SIGNATURE = f"int64({EVENTS}, {INT64}, float64, float64, int64, int64, int32[::1], int64[::1], {OUT})"


@njit(SIGNATURE, cache=True)
def stcf(
    t_us, unit, value, lie, inverse_width, inverse_height, window_us, support, newest, origin_us,
    out_t_us, out_unit, out_value,
):  # fmt: skip
    """An event passes if `support` pixels of its square of side 2 radius + 1, itself not counted, have newest >= t - window.

    lie: (4,) int64, how units lie in the map, as find_places has it; its border is the radius. inverse_width, inverse_height:
    1 / those of the sensor. newest, origin_us: each pixel's newest event, as kernels/newest.py has it. out_t_us first serves to
    hold the events' places. value, out_value: (0,). Returns how many pass.
    """
    place = out_t_us
    find_places(unit, lie, inverse_width, inverse_height, place)
    stride, radius = lie[STRIDE], lie[BORDER]
    origin = origin_us[0]
    kept = 0
    for i in range(t_us.shape[0]):
        t = t_us[i]
        here = place[i]
        since = t - origin
        if since < 0 or since > FARTHEST_US:
            move_origin(newest, origin_us, t)
            origin, since = t, 0
        oldest = since - window_us
        if radius == 1:
            recent = recent_neighbours(newest, here, stride, oldest)
        else:
            recent = -np.int64(newest[here] >= oldest)
            corner = here - radius * stride - radius
            for down in range(2 * radius + 1):
                for right in range(2 * radius + 1):
                    recent += newest[corner + down * stride + right] >= oldest
        newest[here] = since  # after the rows were read: a processor waits with loads of more than was just stored
        out_t_us[kept] = t  # written in any case and overwritten if it fails: no branch to mispredict
        out_unit[kept] = unit[i]
        kept += recent >= support
    order_runs(out_t_us, out_unit, out_value, kept)
    return kept
