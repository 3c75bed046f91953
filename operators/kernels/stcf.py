"""The kernel of stcf: an event passes if enough pixels of its neighbourhood fired within the correlation time before it."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.columns import EVENTS, INT64, OUT, UINT32
from operators.kernels.order import order_runs

SHIFT_US = 2**62
START, STRIDE, BORDER, CHANNEL, RADIUS = 0, 1, 2, 3, 4  # the places of lie
SIGNATURE = f"int64({EVENTS}, {INT64}, float64, float64, int64, int64, uint64[::1], {OUT})"


@njit(f"void({UINT32}, {INT64}, float64, float64, int64[::1])", cache=True)
def find_places(unit, lie, inverse_width, inverse_height, place):
    """Writes the place of each unit's pixel in the map: start + unit + row * border + channel * (what a channel adds).

    (u + 0.5) / width is at least 0.5 / width from a whole number, far more than a float64 product is off: the row is exact, and
    so is the channel.
    """
    start, border, a_channel = lie[START], lie[BORDER], lie[CHANNEL]
    for i in range(unit.shape[0]):
        row = np.int64((unit[i] + 0.5) * inverse_width)
        channel = np.int64((row + 0.5) * inverse_height)
        place[i] = start + np.int64(unit[i]) + row * border + channel * a_channel


@njit(SIGNATURE, cache=True)
def stcf(
    t_us, unit, value, lie, inverse_width, inverse_height, window_us, support, newest, out_t_us, out_unit, out_value
):  # fmt: skip
    """An event passes if `support` pixels of its square of side 2 radius + 1, itself not counted, have newest >= t - window.

    lie: (5,) int64, how units lie in the map, as find_places has it. inverse_width, inverse_height: 1 / those of the sensor.
    newest: each pixel's newest event, a time t as t + SHIFT_US without a sign, 0 for never: such numbers are compared and
    counted in two instructions. out_t_us first serves to hold the events' places. value, out_value: (0,). Returns how many pass.
    """
    place = out_t_us
    find_places(unit, lie, inverse_width, inverse_height, place)
    stride, radius = lie[STRIDE], lie[RADIUS]
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
