"""The kernel of arbiter_lines: counts how much of each row and column fired around an event's time."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.columns import INT64, OUT, UINT32
from operators.kernels.order import order_runs

OLDEST, NEWEST, NEXT = 0, 1, 2  # the places of marks: the events [OLDEST, NEWEST) are counted, NEXT is judged next


@njit("void(int64, int64, int64, int64[::1], int64[::1], int64[::1])", cache=True)
def count(pixel, width, by, events_of, in_row, in_column):
    """Adds `by`, 1 or -1, to the pixel's events, and to its lines where the pixel begins or ceases to have any."""
    before = events_of[pixel]
    events_of[pixel] = before + by
    if before == 0 or before + by == 0:
        in_row[pixel // width] += by
        in_column[pixel % width] += by


@njit(
    f"int64({INT64}, {UINT32}, int64[::1], int64, int64, int64, int64, int64, int64, "
    f"int64[::1], int64[::1], int64[::1], int64[::1], {OUT})",
    cache=True,
)
def arbiter_lines(
    t_us, unit, marks, until_us, width, pixels, window_us, most_in_row, most_in_column,
    events_of, in_row, in_column, dropped, out_t_us, out_unit, no_values,
):  # fmt: skip
    """Judges the events before until_us: one passes if fewer than most_in_row (most_in_column) pixels of its row (column) have an
    event in [t - window, t + window]. Returns how many passed; adds the others to dropped.

    marks: (3,) int64. events_of: (pixels,) int64, the events counted of each pixel; in_row, in_column: how many pixels of a line
    have any. no_values: (0,).
    """
    oldest, newest, i = marks[OLDEST], marks[NEWEST], marks[NEXT]
    n = t_us.shape[0]
    begin = i
    kept = 0
    while i < n and t_us[i] < until_us:
        t = t_us[i]
        while newest < n and t_us[newest] <= t + window_us:
            count(np.int64(unit[newest]) % pixels, width, 1, events_of, in_row, in_column)
            newest += 1
        while t_us[oldest] < t - window_us:
            count(np.int64(unit[oldest]) % pixels, width, -1, events_of, in_row, in_column)
            oldest += 1
        pixel = np.int64(unit[i]) % pixels
        out_t_us[kept] = t
        out_unit[kept] = unit[i]
        kept += in_row[pixel // width] < most_in_row and in_column[pixel % width] < most_in_column
        i += 1
    marks[OLDEST], marks[NEWEST], marks[NEXT] = oldest, newest, i
    dropped[0] += i - begin - kept
    order_runs(out_t_us, out_unit, no_values, kept)
    return kept
