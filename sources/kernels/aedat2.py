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
EVENT, TRIGGER, IMU_WORD, FRAME_WORD, SPECIAL_WORD = 0, 1, 2, 3, 4


@njit(types.int64(types.int64, types.boolean), cache=True)
def _kind(address, davis):
    """What an address stands for: for DAVIS see jAER's DavisChip, for DVS128 its DVS128."""
    if not davis:
        return SPECIAL_WORD if address >> 31 else TRIGGER if (address >> 15) & 1 else EVENT
    low = (address >> 10) & 3
    if address >> 31:
        return IMU_WORD if low == 3 else FRAME_WORD
    return TRIGGER if low == 1 else EVENT


@njit(types.int64(types.boolean, types.boolean, WORDS, *ARGUMENTS), cache=True)
def _decode(davis, triggers, words, width, height, position, t_us, unit):
    """triggers: give out those instead of the events, as rising edges of channel 0."""
    before, loops_us = position[HIGH], position[LOOPS_US]
    newest_us, backwards = position[NEWEST_US], position[BACKWARDS]
    n, at, end, room, fault_x, fault_y = 0, 0, words.shape[0] // 2, t_us.shape[0], -1, -1
    wanted = TRIGGER if triggers else EVENT
    while at < end and n < room:
        address, raw = np.int64(words[2 * at]), np.int64(words[2 * at + 1])
        at += 1
        if before - raw > 2**31:
            loops_us += 2**32
        before = raw
        kind = _kind(address, davis)
        if kind == wanted:
            place = width  # of the trigger: the first in the row of rising edges
            if not triggers:
                if davis:
                    x, y, on = (address >> 12) & 0x3FF, (address >> 22) & 0x1FF, (address >> 11) & 1
                else:
                    x, y, on = (address >> 1) & 0x7F, (address >> 8) & 0x7F, 1 - (address & 1)
                if x >= width or y >= height:
                    fault_x, fault_y = x, y
                    break
                place = (on * height + height - 1 - y) * width + width - 1 - x
            time_us = loops_us + raw
            t_us[n], unit[n] = time_us, place
            n += 1
            if time_us < newest_us:
                backwards += 1
            else:
                newest_us = time_us
        elif kind == TRIGGER:
            position[TRIGGERS] += 1
        elif kind == IMU_WORD:
            position[IMU] += 1
        elif kind == FRAME_WORD:
            position[FRAMES] += 1
        elif kind == SPECIAL_WORD:
            position[SPECIAL] += 1
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
    return _decode(True, False, words, width, height, position, t_us, unit)


@njit(types.int64(WORDS, *ARGUMENTS), cache=True)
def decode_dvs128(words, width, height, position, t_us, unit):
    """The same; the address is 31 special, 15 trigger, 14-8 y, 7-1 x, 0 polarity."""
    return _decode(False, False, words, width, height, position, t_us, unit)


@njit(types.int64(WORDS, *ARGUMENTS), cache=True)
def decode_davis_triggers(words, width, height, position, t_us, unit):
    """The same, of external triggers; width is the number of channels."""
    return _decode(True, True, words, width, height, position, t_us, unit)


@njit(types.int64(WORDS, *ARGUMENTS), cache=True)
def decode_dvs128_triggers(words, width, height, position, t_us, unit):
    """The same, of external triggers; width is the number of channels."""
    return _decode(False, True, words, width, height, position, t_us, unit)
