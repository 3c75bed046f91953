"""The kernels of background_activity: an event passes if enough neighbouring pixels fired within the window.

All events of a microsecond count as support before the first of them is judged, so their order means nothing.
Both kernels take and give the same:

t_us, unit: (n,), the events. width: of a row of units; inverse_width: 1 / width. row_start and the places of map_us:
those of addressing.padded_rows. out_t_us, out_unit: (n,), filled with what passes; out_t_us first serves to hold the
events' places. no_values: (0,). They return how many events passed.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.order import order_runs

TIMES, UNITS = "Array(int64, 1, 'C', readonly=True)", "Array(uint32, 1, 'C', readonly=True)"
SIGNATURE = f"int64({TIMES}, {UNITS}, int64, float64, {TIMES}, int64, int64, int64[::1], int64[::1], uint32[::1], float32[::1])"


@njit(f"void({UNITS}, int64, float64, {TIMES}, int64[::1])", cache=True)
def find_places(unit, width, inverse_width, row_start, place):
    """Writes the place of each unit's pixel in the map into place.

    (u + 0.5) / width is at least 0.5 / width from a whole number, far more than a float64 product is off: the row is exact.
    """
    for i in range(unit.shape[0]):
        row = np.int64((unit[i] + 0.5) * inverse_width)
        place[i] = row_start[row] + np.int64(unit[i]) - row * width


@njit("void(int64[::1], int64, int64, int64)", cache=True)
def support_around(map_us, here, stride, t):
    """Notes t in the 8 places around."""
    above = here - stride
    below = here + stride
    map_us[above - 1] = t
    map_us[above] = t
    map_us[above + 1] = t
    map_us[here - 1] = t
    map_us[here + 1] = t
    map_us[below - 1] = t
    map_us[below] = t
    map_us[below + 1] = t


@njit(SIGNATURE, cache=True)
def one_neighbour(
    t_us, unit, width, inverse_width, row_start, window_us, min_neighbours, map_us, out_t_us, out_unit, no_values
):  # fmt: skip
    """An event passes if a neighbour fired in [t - window_us, t]: map_us holds, for each pixel, the newest event around it.

    Eight writes and one read are twice as fast as one write and eight reads. min_neighbours is 1.
    """
    n = t_us.shape[0]
    stride = width + 1
    place = out_t_us
    find_places(unit, width, inverse_width, row_start, place)
    kept = 0
    noted = 0  # the events before this one have left their support
    for i in range(n):
        t = t_us[i]
        here = place[i]
        support_around(map_us, here, stride, t)
        following = min(i + 1, n - 1)
        apart = abs(place[following] - here)
        beside = (apart == 1) | ((apart >= stride - 1) & (apart <= stride + 1))
        passes = (map_us[here] >= t - window_us) | (beside & (t_us[following] == t))
        further = min(i + 2, n - 1)
        if (not passes) & (t_us[further] == t):  # seldom: the others of this microsecond decide
            noted = max(noted, further)
            while noted < n and t_us[noted] == t:
                support_around(map_us, place[noted], stride, t)
                noted += 1
            passes = map_us[here] >= t - window_us
        out_t_us[kept] = t  # written in any case and overwritten if it fails: no branch to mispredict
        out_unit[kept] = unit[i]
        kept += passes
    order_runs(out_t_us, out_unit, no_values, kept)
    return kept


@njit(SIGNATURE, cache=True)
def several_neighbours(
    t_us, unit, width, inverse_width, row_start, window_us, min_neighbours, map_us, out_t_us, out_unit, no_values
):  # fmt: skip
    """An event passes if min_neighbours pixels around fired in [t - window_us, t]: map_us holds each pixel's newest event."""
    n = t_us.shape[0]
    stride = width + 1
    place = out_t_us
    find_places(unit, width, inverse_width, row_start, place)
    kept = 0
    noted = 0
    for i in range(n):
        t = t_us[i]
        while noted < n and t_us[noted] == t:
            map_us[place[noted]] = t
            noted += 1
        here = place[i]
        above = here - stride
        below = here + stride
        oldest = t - window_us
        neighbours = (
            0  # an int in front, for without the compiler a sum of truths is a truth
            + (map_us[above - 1] >= oldest) + (map_us[above] >= oldest) + (map_us[above + 1] >= oldest)
            + (map_us[here - 1] >= oldest) + (map_us[here + 1] >= oldest)
            + (map_us[below - 1] >= oldest) + (map_us[below] >= oldest) + (map_us[below + 1] >= oldest)
        )  # fmt: skip
        out_t_us[kept] = t
        out_unit[kept] = unit[i]
        kept += neighbours >= min_neighbours
    order_runs(out_t_us, out_unit, no_values, kept)
    return kept
