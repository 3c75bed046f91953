"""EVT 2.0: 32-bit words; the upper four bits are the word's type, each event has the lower six bits of its time."""

import numpy as np
from numba import njit, types

from sources.kernels.position import (
    BACKWARDS,
    EVENTS,
    FAULT_X,
    FAULT_Y,
    HIGH,
    INCOMPLETE,
    LOOPS_US,
    NEWEST_US,
    TRIGGERS,
    UNKNOWN,
    WORD,
)

CD_OFF, CD_ON, TIME_HIGH, EXT_TRIGGER, OTHERS, CONTINUED = 0, 1, 8, 10, 14, 15

WORDS = types.Array(types.uint32, 1, "C", readonly=True)
SIGNATURE = types.int64(WORDS, types.int64, types.int64, types.int64[::1], types.int64[::1], types.uint32[::1])


@njit(SIGNATURE, cache=True)
def decode(words, width, height, position, t_us, unit):
    """Decode words until they end, the room for events does, or an event lies outside of the geometry.

    words (n,) uint32; position: see sources.kernels.position, moved on in place; t_us, unit: outputs of one length.
    Returns the number of events. time = loops + high * 64 + low; the 34-bit counter wraps every 17,179.869184 s.
    """
    high, loops_us = position[HIGH], position[LOOPS_US]
    newest_us, backwards = position[NEWEST_US], position[BACKWARDS]
    n, at, end, room, fault_x, fault_y = 0, 0, words.shape[0], t_us.shape[0], -1, -1
    while at < end and n < room:
        word = np.int64(words[at])
        kind = word >> 28
        at += 1
        if kind == CD_OFF or kind == CD_ON:  # noqa: SIM109 (twice as fast)
            x, y = (word >> 11) & 0x7FF, word & 0x7FF
            if high < 0:
                position[INCOMPLETE] += 1
                continue
            if x >= width or y >= height:
                fault_x, fault_y = x, y
                break
            time_us = loops_us + high * 64 + ((word >> 22) & 0x3F)
            t_us[n], unit[n] = time_us, (kind * height + y) * width + x
            n += 1
            if time_us < newest_us:
                backwards += 1
            else:
                newest_us = time_us
        elif kind == TIME_HIGH:
            if high - (word & 0xFFFFFFF) > 2**27:
                loops_us += 2**34
            high = word & 0xFFFFFFF
        elif kind == EXT_TRIGGER:
            position[TRIGGERS] += 1
        elif kind != OTHERS and kind != CONTINUED:
            position[UNKNOWN] += 1
    position[WORD] += at
    position[EVENTS] += n
    position[HIGH], position[LOOPS_US] = high, loops_us
    position[NEWEST_US], position[BACKWARDS] = newest_us, backwards
    position[FAULT_X], position[FAULT_Y] = fault_x, fault_y
    return n
