"""Where units lie in a map with a border: what the filters that look at neighbouring pixels share."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.columns import INT64, UINT32

FIRST, STRIDE, BORDER, CHANNEL = 0, 1, 2, 3  # the places of lie, which addressing.padded_map makes


@njit(f"int64(uint32, {INT64}, float64, float64)", cache=True)
def place_of(unit, lie, inverse_width, inverse_height):
    """The place of a unit's pixel in the map: first + unit + row * border + channel * (what one adds).

    inverse_width, inverse_height: 1 / those of the sensor. (u + 0.5) / width is at least 0.5 / width from a whole number,
    far more than a float64 product is off: the row is exact, and so is the channel.
    """
    row = np.int64((unit + 0.5) * inverse_width)
    channel = np.int64((row + 0.5) * inverse_height)
    return lie[FIRST] + np.int64(unit) + row * lie[BORDER] + channel * lie[CHANNEL]


@njit(f"void({UINT32}, {INT64}, float64, float64, int64[::1])", cache=True)
def find_places(unit, lie, inverse_width, inverse_height, place):
    """Writes the place_of each unit into place."""
    for i in range(unit.shape[0]):
        place[i] = place_of(unit[i], lie, inverse_width, inverse_height)
