"""EVT 2.1: 64-bit words; the upper four bits are the word's type, each word of events has 32 neighbours of one row."""

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

OFF, ON, TIME_HIGH, EXT_TRIGGER, OTHERS, CONTINUED = 0, 1, 8, 10, 14, 15
MOST_EVENTS = 32  # of one word

HALVES = types.Array(types.uint32, 1, "C", readonly=True)
ARGUMENTS = types.int64, types.int64, types.int64[::1], types.int64[::1], types.uint32[::1]
SIGNATURE = types.int64(HALVES, *ARGUMENTS)


@njit(types.int64(types.int64, HALVES, *ARGUMENTS), cache=True)
def _decode(upper, halves, width, height, position, t_us, unit):
    """upper: which of a word's two halves holds its type, 1 by the format's description, 0 in that of older cameras."""
    high, loops_us = position[HIGH], position[LOOPS_US]
    newest_us, backwards = position[NEWEST_US], position[BACKWARDS]
    n, at, end, room, fault_x, fault_y = 0, 0, halves.shape[0] // 2, t_us.shape[0] - MOST_EVENTS, -1, -1
    while at < end and n <= room:
        word = np.int64(halves[2 * at + upper])
        bits = np.int64(halves[2 * at + 1 - upper])
        kind = word >> 28
        at += 1
        if kind == OFF or kind == ON:  # noqa: SIM109 (twice as fast)
            x, y = (word >> 11) & 0x7FF, word & 0x7FF
            if high < 0:
                while bits:
                    position[INCOMPLETE] += bits & 1
                    bits >>= 1
                continue
            if bits and (y >= height or bits >> max(min(width - x, 32), 0)):
                fault_x, fault_y = x, y
                while not bits & 1 or (y < height and fault_x < width):
                    bits >>= 1
                    fault_x += 1
                break
            time_us, address = loops_us + high * 64 + ((word >> 22) & 0x3F), (kind * height + y) * width + x
            before = n
            while bits:
                t_us[n], unit[n] = time_us, address
                n += bits & 1
                bits >>= 1
                address += 1
            backwards += (n - before) * (time_us < newest_us)
            newest_us = max(newest_us, time_us) if n > before else newest_us
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


@njit(SIGNATURE, cache=True)
def decode(halves, width, height, position, t_us, unit):
    """Decode words until they end, the room for events does, or an event lies outside of the geometry.

    halves (2 n,) uint32, the lower half of each word first; position: see sources.kernels.position, moved on in place;
    t_us, unit: outputs of one length, at least 32. Returns the number of events.
    time = loops + high * 64 + low; the 34-bit counter wraps every 17,179.869184 s.
    """
    return _decode(1, halves, width, height, position, t_us, unit)


@njit(SIGNATURE, cache=True)
def decode_legacy(halves, width, height, position, t_us, unit):
    """The same, of words whose upper half comes first."""
    return _decode(0, halves, width, height, position, t_us, unit)
