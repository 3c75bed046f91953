"""The kernel of hot_pixels: counts each pixel's events window by window and silences those that fire too much."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.order import order_runs

FREE, HOT, FIXED = 0, 1, 2  # the mode of a pixel: passes, silenced by its rate, silenced by the mask


@njit("boolean(int64, int64, int64, int64, int64, int64, float64, int64[::1], int64[::1], int64[::1])", cache=True)
def stands_out(here, row, column, rows, width, window, over_neighbours, window_of, now, before):
    """Whether over_neighbours times the events of most neighbours were fewer than its own in the window before `window`."""
    stride = width + 1
    quieter = 0
    for offset in (-stride - 1, -stride, -stride + 1, -1, 1, stride - 1, stride, stride + 1):
        place = here + offset
        count = np.int64(0)
        if window_of[place] == window:
            count = before[place]
        elif window_of[place] == window - 1:
            count = now[place]
        quieter += count * over_neighbours < before[here]
    existing = (1 + (row > 0) + (row < rows - 1)) * (1 + (column > 0) + (column < width - 1)) - 1
    beyond = 8 - existing  # places on the border: always quieter, but no neighbours
    return existing == 0 or 2 * (quieter - beyond) > existing


SIGNATURE = (
    "int64(Array(int64, 1, 'C', readonly=True), Array(uint32, 1, 'C', readonly=True), uint32, "
    "Array(int64, 1, 'C', readonly=True), int64, int64, int64, int64, float64, "
    "int64[::1], int64[::1], int64[::1], uint8[::1], int64[::1], int64[::1], uint32[::1], float32[::1])"
)


@njit(SIGNATURE, cache=True)
def hot_pixels(
    t_us, unit, width, row_start, rows, window_us, most, release, over_neighbours,
    window_of, now, before, mode, found, out_t_us, out_unit, no_values,
):  # fmt: skip
    """Passes the events of pixels that are not silenced. Returns how many.

    Window k holds [k * window_us, (k+1) * window_us). At a pixel's first event in window k, c being its count in window k-1:
    HOT becomes FREE if c <= release; FREE becomes HOT if c > most and it stands out of its neighbours. FIXED ones do not count.

    window_of: window of the pixel's last event, or NEVER; now: its events in that window; before: those in the window before
    that one; mode: FREE, HOT or FIXED. All four are maps with a border that no event reaches, places as in row_start.
    found: (1,), how often a pixel turned hot. out_t_us, out_unit: (n,), filled. no_values: (0,).
    """
    kept = 0
    window = np.int64(0)
    window_end = t_us[0] if t_us.shape[0] > 0 else np.int64(0)
    for i in range(t_us.shape[0]):
        t = t_us[i]
        if t >= window_end:
            window = t // window_us
            window_end = (window + 1) * window_us
        row = unit[i] // width
        column = np.int64(unit[i] - row * width)
        here = row_start[row] + column
        if mode[here] == FIXED:
            continue
        if window_of[here] != window:
            count = now[here] if window_of[here] == window - 1 else np.int64(0)
            window_of[here] = window
            before[here] = count
            now[here] = 0
            if mode[here] == HOT and count <= release:
                mode[here] = FREE
            elif mode[here] == FREE and count > most and stands_out(
                here, np.int64(row) % rows, column, rows, np.int64(width), window, over_neighbours, window_of, now, before
            ):  # fmt: skip
                mode[here] = HOT
                found[0] += 1
        now[here] += 1
        out_t_us[kept] = t
        out_unit[kept] = unit[i]
        kept += mode[here] == FREE
    order_runs(out_t_us, out_unit, no_values, kept)
    return kept
