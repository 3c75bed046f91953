"""Maps of each pixel's newest event: times of 4 bytes that count from an origin, which moves along before they overflow."""

# numba stores the kernels that call this together with it: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

from numba import njit

NEVER = -(2**31)  # of a pixel that has had no event, or none that could still count
FARTHEST_US = 2**30  # how far a time may be from the origin: so long may a window be, too


@njit("void(int32[::1], int64[::1], int64)", cache=True)
def move_origin(newest, origin_us, t):
    """Makes t the origin; times of the map that are more than 2 FARTHEST_US ago become NEVER.

    newest: (n,) int32, the times of a map, less the origin. origin_us: (1,). t: no less than any time of the map.
    """
    by = t - origin_us[0]
    origin_us[0] = t
    for place in range(newest.shape[0]):
        newest[place] = max(newest[place] - by, NEVER) if 0 <= by <= 2 * FARTHEST_US else NEVER
