"""EVT 3.0: 16-bit words that tell only what changes; the upper four bits are the word's type."""

import numpy as np
from numba import njit, types

from sources.kernels.position import (
    BACKWARDS,
    BASE_X,
    EVENTS,
    FAULT_X,
    FAULT_Y,
    HIGH,
    INCOMPLETE,
    LOOPS_US,
    LOW,
    NEWEST_US,
    POLARITY,
    TRIGGERS,
    UNKNOWN,
    WORD,
    Y,
)

ADDR_Y, ADDR_X, VECT_BASE_X, VECT_12, VECT_8, TIME_LOW, TIME_HIGH, EXT_TRIGGER = 0, 2, 3, 4, 5, 6, 8, 10
RESERVED = (1, 9, 11, 12, 13)  # what else there is (7, 14, 15) carries data of other kinds
MOST_EVENTS = 12  # of one word

WORDS = types.Array(types.uint16, 1, "C", readonly=True)
SIGNATURE = types.int64(WORDS, types.int64, types.int64, types.int64[::1], types.int64[::1], types.uint32[::1])


@njit(types.int64(types.int64), cache=True)
def _ones(bits):
    count = 0
    while bits:
        count += bits & 1
        bits >>= 1
    return count


@njit(types.int64(types.int64), cache=True)
def _first_one(bits):
    at = 0
    while not (bits >> at) & 1:
        at += 1
    return at


@njit(SIGNATURE, cache=True)
def decode(words, width, height, position, t_us, unit):
    """Decode words until they end, the room for events does, or an event lies outside of the geometry.

    words (n,) uint16; position: see sources.kernels.position, moved on in place; t_us, unit: outputs of one length, at least 12.
    Returns the number of events. time = loops + high * 4096 + low; the 24-bit counter wraps every 16.777216 s.
    """
    high, low, loops_us, y, base_x = position[HIGH], position[LOW], position[LOOPS_US], position[Y], position[BASE_X]
    plane, newest_us, backwards = position[POLARITY] * width * height, position[NEWEST_US], position[BACKWARDS]
    time_us, row = loops_us + high * 4096 + low, y * width
    bound = width if (high | low | y) >= 0 and y < height else 0  # columns that an event may have now
    n, at, end, room, fault_x = 0, 0, words.shape[0], t_us.shape[0] - MOST_EVENTS, -1
    while at < end and n <= room:
        word = np.int64(words[at])
        kind, payload = word >> 12, word & 0xFFF
        at += 1
        if kind == TIME_LOW:  # most events come as low time, row, column: each is tested for in turn, which is what is fastest
            low = payload
            time_us = loops_us + high * 4096 + low
            bound = width if (high | low | y) >= 0 and y < height else 0
            if at == end:
                break
            word = np.int64(words[at])
            kind, payload = word >> 12, word & 0xFFF
            at += 1
        if kind == ADDR_Y:
            y, row = payload & 0x7FF, (payload & 0x7FF) * width
            bound = width if (high | low | y) >= 0 and y < height else 0
            if at == end:
                break
            word = np.int64(words[at])
            kind, payload = word >> 12, word & 0xFFF
            at += 1
        if kind == ADDR_X:
            x = payload & 0x7FF
            if x < bound:
                t_us[n], unit[n] = time_us, (payload >> 11) * width * height + row + x
                n += 1
                if time_us < newest_us:
                    backwards += 1
                else:
                    newest_us = time_us
            elif (high | low | y) < 0:
                position[INCOMPLETE] += 1
            else:
                fault_x = x
                break
        elif kind == TIME_HIGH:
            if high - payload > 2048:
                loops_us += 4096 * 4096
            high = payload
            time_us = loops_us + high * 4096 + low
            bound = width if (high | low | y) >= 0 and y < height else 0
        elif kind in (VECT_12, VECT_8):
            x, bits = base_x, payload if kind == VECT_12 else payload & 0xFF
            past = x + (12 if kind == VECT_12 else 8)
            base_x = past if x >= 0 else -1
            if (high | low | y | x) < 0:
                position[INCOMPLETE] += _ones(bits)
                continue
            if past > bound and bits >> max(bound - x, 0):  # some lie outside
                fault_x = max(bound, x) + _first_one(bits >> max(bound - x, 0))
                break
            before = n
            for column in range(x, past):
                t_us[n], unit[n] = time_us, plane + row + column
                n += bits & 1
                bits >>= 1
            backwards += (n - before) * (time_us < newest_us)
            newest_us = max(newest_us, time_us) if n > before else newest_us
        elif kind in (TIME_LOW, ADDR_Y):
            at -= 1  # out of turn
        elif kind == VECT_BASE_X:
            base_x, plane = payload & 0x7FF, (payload >> 11) * width * height
        else:
            position[TRIGGERS] += kind == EXT_TRIGGER
            position[UNKNOWN] += kind in RESERVED
    position[HIGH], position[LOW], position[LOOPS_US], position[Y], position[BASE_X] = high, low, loops_us, y, base_x
    position[POLARITY], position[FAULT_X], position[FAULT_Y] = 1 if plane else 0, fault_x, y
    position[NEWEST_US], position[BACKWARDS], position[WORD] = newest_us, backwards, position[WORD] + at
    position[EVENTS] += n
    return n
