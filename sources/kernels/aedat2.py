"""AEDAT 1.0 and 2.0: an address and a 32-bit time, the upper byte first; what an address means is up to the camera.

jAER, which writes these files, counts y from the bottom row and x from the right column of what the lens shows; here both are
turned, so that the picture stands upright. A DVS128 marks ON with 0, a DAVIS with 1.
"""

import numpy as np
from numba import njit, types

from sources.kernels.position import (
    BACKWARDS,
    EVENTS,
    FAULT_X,
    FAULT_Y,
    FRAMES,
    HIGH,
    IMU,
    LOOPS_US,
    NEWEST_US,
    SPECIAL,
    TRIGGERS,
    WORD,
)

WORDS = types.Array(types.uint32, 1, "C", readonly=True)
ARGUMENTS = types.int64, types.int64, types.int64[::1], types.int64[::1], types.uint32[::1]


@njit(types.int64(types.int64[::1], types.int64, types.int64, types.int64, types.int64, types.int64, types.int64, types.int64,
                  types.int64), cache=True)
def _leave(position, at, n, before, loops_us, newest_us, backwards, fault_x, fault_y):
    position[WORD] += at
    position[EVENTS] += n
    position[HIGH], position[LOOPS_US] = before, loops_us
    position[NEWEST_US], position[BACKWARDS] = newest_us, backwards
    position[FAULT_X], position[FAULT_Y] = fault_x, fault_y
    return n


@njit(types.int64(WORDS, *ARGUMENTS), cache=True)
def decode_davis(words, width, height, position, t_us, unit):
    """Decode records until they end, the room for events does, or an event lies outside of the geometry.

    words (2 n,) uint32 in the machine's order of bytes: address (31 frame or inertial data, 30-22 y, 21-12 x, 11 polarity,
    10 special), time; position: see sources.kernels.position, moved on in place; t_us, unit: outputs of one length.
    Returns the number of events. The time wraps every 4294.967296 s.
    """
    before, loops_us = position[HIGH], position[LOOPS_US]
    newest_us, backwards = position[NEWEST_US], position[BACKWARDS]
    n, at, end, room, fault_x, fault_y = 0, 0, words.shape[0] // 2, t_us.shape[0], -1, -1
    while at < end and n < room:
        address, raw = np.int64(words[2 * at]), np.int64(words[2 * at + 1])
        at += 1
        if before - raw > 2**31:
            loops_us += 2**32
        before = raw
        if address < 2**31 and (address & 0xC00) != 0x400:
            x, y = (address >> 12) & 0x3FF, address >> 22
            if x >= width or y >= height:
                fault_x, fault_y = x, y
                break
            time_us = loops_us + raw
            t_us[n], unit[n] = time_us, (((address >> 11) & 1) * height + height - 1 - y) * width + width - 1 - x
            n += 1
            if time_us < newest_us:
                backwards += 1
            else:
                newest_us = time_us
        elif address < 2**31:
            position[TRIGGERS] += 1
        else:
            position[IMU if (address & 0xC00) == 0xC00 else FRAMES] += 1
    return _leave(position, at, n, before, loops_us, newest_us, backwards, fault_x, fault_y)


@njit(types.int64(WORDS, *ARGUMENTS), cache=True)
def decode_dvs128(words, width, height, position, t_us, unit):
    """The same; the address is 31 special, 15 trigger, 14-8 y, 7-1 x, 0 polarity."""
    before, loops_us = position[HIGH], position[LOOPS_US]
    newest_us, backwards = position[NEWEST_US], position[BACKWARDS]
    n, at, end, room, fault_x, fault_y = 0, 0, words.shape[0] // 2, t_us.shape[0], -1, -1
    while at < end and n < room:
        address, raw = np.int64(words[2 * at]), np.int64(words[2 * at + 1])
        at += 1
        if before - raw > 2**31:
            loops_us += 2**32
        before = raw
        if address & 0x80008000 == 0:
            x, y = (address >> 1) & 0x7F, (address >> 8) & 0x7F
            if x >= width or y >= height:
                fault_x, fault_y = x, y
                break
            time_us = loops_us + raw
            t_us[n], unit[n] = time_us, ((1 - (address & 1)) * height + height - 1 - y) * width + width - 1 - x
            n += 1
            if time_us < newest_us:
                backwards += 1
            else:
                newest_us = time_us
        else:
            position[SPECIAL if address >> 31 else TRIGGERS] += 1
    return _leave(position, at, n, before, loops_us, newest_us, backwards, fault_x, fault_y)


@njit(types.int64(types.int64, types.int64, WORDS, *ARGUMENTS), cache=True)
def _triggers(mask, wanted, words, width, height, position, t_us, unit):
    """External triggers, as rising edges of channel 0: records whose address has `wanted` under `mask`."""
    before, loops_us = position[HIGH], position[LOOPS_US]
    newest_us, backwards = position[NEWEST_US], position[BACKWARDS]
    n, at, end, room = 0, 0, words.shape[0] // 2, t_us.shape[0]
    while at < end and n < room:
        address, raw = np.int64(words[2 * at]), np.int64(words[2 * at + 1])
        at += 1
        if before - raw > 2**31:
            loops_us += 2**32
        before = raw
        if address & mask == wanted:
            time_us = loops_us + raw
            t_us[n], unit[n] = time_us, width
            n += 1
            if time_us < newest_us:
                backwards += 1
            else:
                newest_us = time_us
    return _leave(position, at, n, before, loops_us, newest_us, backwards, -1, -1)


@njit(types.int64(WORDS, *ARGUMENTS), cache=True)
def decode_davis_triggers(words, width, height, position, t_us, unit):
    """The external triggers of a DAVIS; width is the number of channels."""
    return _triggers(0x80000C00, 0x400, words, width, height, position, t_us, unit)


@njit(types.int64(WORDS, *ARGUMENTS), cache=True)
def decode_dvs128_triggers(words, width, height, position, t_us, unit):
    """Those of a DVS128."""
    return _triggers(0x80008000, 0x8000, words, width, height, position, t_us, unit)
