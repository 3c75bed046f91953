"""The kernel of background_activity: an event passes if enough neighbouring pixels fired within the window."""

from __future__ import annotations

from numba import njit

from operators.kernels.columns import EVENTS, INT64, OUT, UINT32
from operators.kernels.newest import FARTHEST_US, move_origin
from operators.kernels.order import order_runs
from operators.kernels.places import STRIDE, find_places, place_of
from operators.neighbours import recent_neighbours

LIE = f"{INT64}, float64, float64"
SIGNATURE = f"int64({EVENTS}, {LIE}, int64, int64, int32[::1], int64[::1], {OUT})"


@njit(f"int64({INT64}, {UINT32}, int64, {LIE}, int64, int64, int64, int32[::1], int64, {OUT})", cache=True)
def support_earlier(
    t_us, unit, i, lie, inverse_width, inverse_height, here, oldest, min_neighbours, newest, kept, out_t_us, out_unit, out_value
):  # fmt: skip
    """Lets those pass that event i, of the pixel `here`, decides: failed so far, in its microsecond, one neighbour short."""
    if newest[here] >= oldest:
        return kept  # the pixel counted for them before
    stride = lie[STRIDE]
    earlier = i - 1
    while earlier >= 0 and t_us[earlier] == t_us[i]:
        there = place_of(unit[earlier], lie, inverse_width, inverse_height)
        apart = abs(there - here)
        beside = apart == 1 or stride - 1 <= apart <= stride + 1
        if beside and recent_neighbours(newest, there, stride, oldest) + 1 == min_neighbours:
            out_t_us[kept] = t_us[i]
            out_unit[kept] = unit[earlier]
            kept += 1
        earlier -= 1
    return kept


@njit(SIGNATURE, cache=True)
def background_activity(
    t_us, unit, value, lie, inverse_width, inverse_height, window_us, min_neighbours, newest, origin_us,
    out_t_us, out_unit, out_value,
):  # fmt: skip
    """An event passes if min_neighbours pixels around fired in [t - window_us, t], those later in its microsecond too.

    Where a neighbour fired in the same microsecond, which is seldom, those that came before and failed are looked at again;
    in what order events of a microsecond are found means nothing, as they are put in order.

    lie: how units lie in `newest`, and the inverse width and height of the sensor: as find_places takes them. newest, origin_us:
    each pixel's newest event, as kernels/newest.py has it. out_t_us first serves to hold the events' places. value, out_value:
    (0,). Returns how many pass.
    """
    stride = lie[STRIDE]
    place = out_t_us
    find_places(unit, lie, inverse_width, inverse_height, place)
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
        neighbours = recent_neighbours(newest, here, stride, oldest)
        if recent_neighbours(newest, here, stride, since) > 0:
            kept = support_earlier(
                t_us, unit, i, lie, inverse_width, inverse_height, here, oldest, min_neighbours, newest,
                kept, out_t_us, out_unit, out_value,
            )  # fmt: skip
        newest[here] = since  # after the rows were read: a processor waits with loads of more than was just stored
        out_t_us[kept] = t  # written in any case and overwritten if it fails: no branch to mispredict
        out_unit[kept] = unit[i]
        kept += neighbours >= min_neighbours
    order_runs(out_t_us, out_unit, out_value, kept)
    return kept
