"""Painting shapes onto a texture that closes on itself at its edges."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

_f8 = types.Array(types.float64, 2, "C", readonly=True)


@njit(types.void(_f8, types.float64[:, ::1]), cache=True)
def paint(shapes: np.ndarray, texture: np.ndarray) -> None:
    """Lay opaque discs and boxes over a texture (m, m), the later above the earlier, in place.

    shapes (n, 7): x, y of the middle, half length, half width (all in texels), cosine and sine of its turn, log intensity;
    a half width of 0 makes a disc of radius half length. m must be a power of two.
    """
    mask = texture.shape[0] - 1
    for i in range(shapes.shape[0]):
        x, y, long, wide, cosine, sine, value = shapes[i]
        reach = long if wide == 0.0 else math.sqrt(long * long + wide * wide)
        for row in range(math.ceil(y - reach), math.floor(y + reach) + 1):
            for column in range(math.ceil(x - reach), math.floor(x + reach) + 1):
                right, below = column - x, row - y
                if wide == 0.0:
                    inside = right * right + below * below <= long * long
                else:
                    inside = abs(cosine * right + sine * below) <= long and abs(cosine * below - sine * right) <= wide
                if inside:
                    texture[row & mask, column & mask] = value
