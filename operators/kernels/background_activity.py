"""The kernels of background_activity: an event passes if enough neighbouring pixels fired within the window.

All events of a microsecond count as support before the first of them is judged, so their order means nothing.
Both kernels take and give the same:

t_us, unit: (n,), the events. lie: how units lie in map_us, and the inverse width and height of the sensor: as find_places takes
them. out_t_us, out_unit: (n,), filled with what passes; out_t_us first serves to hold the events' places. no_values: (0,).
They return how many events passed.
"""

from __future__ import annotations

from numba import njit

from operators.kernels.order import order_runs
from operators.kernels.places import STRIDE, find_places

TIMES, UNITS = "Array(int64, 1, 'C', readonly=True)", "Array(uint32, 1, 'C', readonly=True)"
SIGNATURE = (
    f"int64({TIMES}, {UNITS}, {TIMES}, float64, float64, int64, int64, int64[::1], int64[::1], uint32[::1], float32[::1])"
)


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
    t_us, unit, lie, inverse_width, inverse_height, window_us, min_neighbours, map_us, out_t_us, out_unit, no_values
):  # fmt: skip
    """An event passes if a neighbour fired in [t - window_us, t]: map_us holds, for each pixel, the newest event around it.

    Eight writes and one read are twice as fast as one write and eight reads. min_neighbours is 1.
    """
    n = t_us.shape[0]
    stride = lie[STRIDE]
    place = out_t_us
    find_places(unit, lie, inverse_width, inverse_height, place)
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
    t_us, unit, lie, inverse_width, inverse_height, window_us, min_neighbours, map_us, out_t_us, out_unit, no_values
):  # fmt: skip
    """An event passes if min_neighbours pixels around fired in [t - window_us, t]: map_us holds each pixel's newest event."""
    n = t_us.shape[0]
    stride = lie[STRIDE]
    place = out_t_us
    find_places(unit, lie, inverse_width, inverse_height, place)
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
