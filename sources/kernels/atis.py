"""ATIS records of five bytes: x, y, and in 24 bits, the upper byte first, the polarity and 23 bits of time in us."""

import numpy as np
from numba import njit, types

from sources.kernels.position import BACKWARDS, EVENTS, FAULT_X, FAULT_Y, HIGH, LOOPS_US, NEWEST_US, WORD

RECORDS = types.Array(types.uint8, 1, "C", readonly=True)
SIGNATURE = types.int64(RECORDS, types.int64, types.int64, types.int64[::1], types.int64[::1], types.uint32[::1])


@njit(SIGNATURE, cache=True)
def decode(records, width, height, position, t_us, unit):
    """Decode records until they end, the room for events does, or an event lies outside of the geometry.

    records (5 n,) uint8; position: see sources.kernels.position, moved on in place; t_us, unit: outputs of one length.
    Returns the number of events. The time wraps every 8.388608 s.
    """
    before, loops_us = position[HIGH], position[LOOPS_US]
    newest_us, backwards = position[NEWEST_US], position[BACKWARDS]
    n, end, fault_x, fault_y = 0, min(records.shape[0] // 5, t_us.shape[0]), -1, -1
    while n < end:
        at = 5 * n
        x, y, high = np.int64(records[at]), np.int64(records[at + 1]), np.int64(records[at + 2])
        raw = ((high & 0x7F) << 16) | (np.int64(records[at + 3]) << 8) | np.int64(records[at + 4])
        if x >= width or y >= height:
            fault_x, fault_y = x, y
            break
        if before - raw > 2**22:
            loops_us += 2**23
        before = raw
        time_us = loops_us + raw
        t_us[n], unit[n] = time_us, ((high >> 7) * height + y) * width + x
        n += 1
        if time_us < newest_us:
            backwards += 1
        else:
            newest_us = time_us
    position[WORD] += n + (fault_x >= 0)
    position[EVENTS] += n
    position[HIGH], position[LOOPS_US] = before, loops_us
    position[NEWEST_US], position[BACKWARDS] = newest_us, backwards
    position[FAULT_X], position[FAULT_Y] = fault_x, fault_y
    return n
