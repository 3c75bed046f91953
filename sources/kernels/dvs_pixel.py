"""The pixels of an event camera: a moving texture comes in, address events go out as sortable keys.

All arithmetic is float64, so that compiled and plain Python give the same bits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

_f4_levels = types.Array(types.float32, 3, "C", readonly=True)
_f8 = types.Array(types.float64, 1, "C", readonly=True)
_f8_rows = types.Array(types.float64, 2, "C", readonly=True)
_i8 = types.Array(types.int64, 1, "C", readonly=True)
_u1 = types.Array(types.uint8, 1, "C", readonly=True)
_f8_out = types.float64[::1]
_i8_out = types.int64[::1]

NEVER = 2**62


@njit(types.void(_f4_levels, _f8, types.int64, _f8_out), cache=True)
def view(levels: np.ndarray, warp: np.ndarray, width: int, out: np.ndarray) -> None:
    """The log intensity that every pixel sees: out[y * width + x] = texture(a x + b y + c, d x + e y + f), bilinear, on a torus.

    levels (n, m, m) f4: one texture at n strengths of blur, m a power of two; warp (7,) f8: a, b, c, d, e, f in texels and the
    strength of blur, a level number that may lie between two; out (pixels,) f8 is filled.
    """
    a, b, c, d, e, f = warp[0], warp[1], warp[2], warp[3], warp[4], warp[5]
    lower = int(warp[6])
    part = warp[6] - lower
    mask = levels.shape[1] - 1
    for y in range(out.shape[0] // width):
        for x in range(width):
            across = a * x + b * y + c
            down = d * x + e * y + f
            column = math.floor(across)
            row = math.floor(down)
            right = across - column
            below = down - row
            left, top = column & mask, row & mask
            next_column, next_row = (left + 1) & mask, (top + 1) & mask
            seen = 0.0
            for level in range(lower, lower + 2):
                share = 1.0 - part if level == lower else part
                if share > 0.0:
                    upper = (1.0 - right) * levels[level, top, left] + right * levels[level, top, next_column]
                    under = (1.0 - right) * levels[level, next_row, left] + right * levels[level, next_row, next_column]
                    seen += share * ((1.0 - below) * upper + below * under)
            out[y * width + x] = seen


@njit(types.int64(types.int64, types.int64, _f8, _f8, _f8, _f8, types.int64, _i8, _u1, _i8_out,
                  _f8_out, _i8_out, _i8_out, types.int64), cache=True)
def fire(begin_us: int, end_us: int, before: np.ndarray, after: np.ndarray, threshold_on: np.ndarray, threshold_off: np.ndarray,
         refractory_us: int, noise_us: np.ndarray, noise_on: np.ndarray, noise_next: np.ndarray,
         reference: np.ndarray, blind_until_us: np.ndarray, keys: np.ndarray, n: int) -> int:
    """The events of one step in which each pixel's log intensity L goes straight from `before` to `after`.

    A pixel fires ON when L - reference reaches threshold_on, OFF when reference - L reaches threshold_off, stamped with the
    microsecond of the crossing, and takes that L as its reference. Then it is held in reset: blind for refractory_us, after which
    its reference is the L of that moment. A noise event fires the same way wherever L stands, unless the pixel is blind.

    noise_us (k,) and noise_on (k,): all noise events, pixel after pixel, each pixel's in order and closed by one at NEVER;
    noise_next (pixels,): each pixel's next one. The pixels' state: reference (pixels,) f8, blind_until_us (pixels,) i8, -1 while
    a pixel sees.
    keys: events are appended from n on as t_us * 2 * pixels + unit; the new n is returned. Its room is the caller's care.
    """
    pixels = reference.shape[0]
    length_us = end_us - begin_us
    for pixel in range(pixels):
        was, now = before[pixel], after[pixel]
        slope = (now - was) / length_us
        at_us = begin_us
        if blind_until_us[pixel] >= 0:
            if blind_until_us[pixel] >= end_us:
                continue
            at_us = blind_until_us[pixel]
            blind_until_us[pixel] = -1
            reference[pixel] = was + slope * (at_us - begin_us)
        while True:
            while noise_us[noise_next[pixel]] < at_us:
                noise_next[pixel] += 1
            on = 1 if now >= reference[pixel] + threshold_on[pixel] else 0
            level = reference[pixel] + threshold_on[pixel] if on else reference[pixel] - threshold_off[pixel]
            t_us = NEVER
            if on or now <= level:
                t_us = begin_us if slope == 0.0 else begin_us + math.floor((level - was) / slope)
                t_us = min(max(t_us, at_us), end_us - 1)
            if noise_us[noise_next[pixel]] < min(t_us, end_us):
                t_us = noise_us[noise_next[pixel]]
                on = noise_on[noise_next[pixel]]
                level = was + slope * (t_us - begin_us)
                noise_next[pixel] += 1
            if t_us == NEVER:
                break
            keys[n] = t_us * (2 * pixels) + on * pixels + pixel
            n += 1
            reference[pixel] = level
            at_us = t_us
            if refractory_us > 0:
                at_us = t_us + refractory_us
                if at_us >= end_us:
                    blind_until_us[pixel] = at_us
                    break
                reference[pixel] = was + slope * (at_us - begin_us)
    return n


@njit(types.UniTuple(types.int64, 2)(types.int64, types.int64, _i8, _f8_rows, _f4_levels, types.int64, _f8, _f8, types.int64,
                                     _i8, _u1, _i8_out, _f8_out, _f8_out, _f8_out, _i8_out, _i8_out), cache=True)
def simulate(first: int, stop: int, step_us: np.ndarray, warps: np.ndarray, levels: np.ndarray, width: int,
             threshold_on: np.ndarray, threshold_off: np.ndarray, refractory_us: int,
             noise_us: np.ndarray, noise_on: np.ndarray, noise_next: np.ndarray, before: np.ndarray, after: np.ndarray,
             reference: np.ndarray, blind_until_us: np.ndarray, keys: np.ndarray) -> tuple[int, int]:
    """The events of steps [first, stop), step k running from step_us[k] to step_us[k + 1].

    warps (steps + 1, 7): the view at each of those times (see `view`); `before` holds that at step_us[first] and is moved on;
    the other arguments are those of `fire`. Returns the number of events and the step that was reached: less than `stop`
    when `keys` may be too short for it, in which case nothing of that step has happened.
    """
    n = 0
    most_noise = noise_us.shape[0]
    for k in range(first, stop):
        view(levels, warps[k + 1], width, after)
        most = 0.0
        for pixel in range(after.shape[0]):
            most += 2.0 + abs(after[pixel] - before[pixel]) / min(threshold_on[pixel], threshold_off[pixel])
        if n + most + most_noise > keys.shape[0]:
            return n, k
        n = fire(step_us[k], step_us[k + 1], before, after, threshold_on, threshold_off, refractory_us,
                 noise_us, noise_on, noise_next, reference, blind_until_us, keys, n)
        before[:] = after
    return n, stop
