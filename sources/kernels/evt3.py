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
PLAIN = 1 << ADDR_Y | 1 << ADDR_X | 1 << TIME_LOW | 1 << TIME_HIGH | 1 << 7 | 1 << 14 | 1 << 15  # the most frequent, and data

# What a plain word does to the state, row << 24 | high << 12 | low: which bits of that stay; which bits of the word are added,
# times what; and 0 for an event, else -1. It is looked up by the word's type, since comparisons would become jumps.
EFFECTS = [(-1, 0, 0, -1)] * 16
EFFECTS[ADDR_Y] = 0xFFFFFF, 0x7FF, 1 << 24, -1
EFFECTS[TIME_HIGH] = ~0xFFF000, 0xFFF, 1 << 12, -1
EFFECTS[TIME_LOW] = ~0xFFF, 0xFFF, 1, -1
EFFECTS[ADDR_X] = -1, 0, 0, 0
EFFECT = np.array(EFFECTS, np.int64).ravel()
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


@njit(types.void(types.int64[::1], types.int64, types.int64[::1]), cache=True)
def _count_backwards(t_us, n, position):
    """Note the newest time, and how many of the n events are earlier than one before them: hardly ever any."""
    newest_us, fell = position[NEWEST_US], 0
    for at in range(1, n):
        fell |= t_us[at] < t_us[at - 1]
    if n and not fell and t_us[0] >= newest_us:
        position[NEWEST_US] = t_us[n - 1]
        return
    for at in range(n):
        position[BACKWARDS] += t_us[at] < newest_us
        newest_us = max(newest_us, t_us[at])
    position[NEWEST_US] = newest_us


@njit(SIGNATURE, cache=True)
def decode(words, width, height, position, t_us, unit):
    """Decode words until they end, the room for events does, or an event lies outside of the geometry.

    words (n,) uint16; position: see sources.kernels.position, moved on in place; t_us, unit: outputs of one length, at least 12.
    Returns the number of events. time = loops + high * 4096 + low; the 24-bit counter wraps every 16.777216 s.
    """
    high, low, loops_us, y, base_x = position[HIGH], position[LOW], position[LOOPS_US], position[Y], position[BASE_X]
    area, beyond = width * height, height << 24
    plane = position[POLARITY] * area
    n, at, end, room, fault_x = 0, 0, words.shape[0], t_us.shape[0] - MOST_EVENTS, -1
    while at < end and n <= room and fault_x < 0:  # runs of plain words, and between them one word of any type
        if (PLAIN >> (words[at] >> 12)) & 1 and (high | low | y) >= 0:
            state = y << 24 | high << 12 | low
            after_us = high << 12 | low
            stop = min(end, at + room - n + 1)
            while at < stop:  # a processor cannot guess which word comes next: no jump here depends on that
                word = np.int64(words[np.uint64(at)])  # (an index that has a sign is tested for it)
                kind, x = word >> 12, word & 0x7FF
                if not (PLAIN >> kind) & 1:
                    break
                at += 1
                before_us = after_us
                state = state & EFFECT[4 * kind] | (word & EFFECT[4 * kind + 1]) * EFFECT[4 * kind + 2]
                after_us, y = state & 0xFFFFFF, state >> 24
                loops_us += np.int64(before_us - after_us > 2048 << 12) << 24
                if EFFECT[4 * kind + 3] | ((x - width) & (state - beyond)) >= 0:
                    fault_x = x
                    break
                to = np.uint64(n)
                t_us[to], unit[to] = loops_us + after_us, ((word >> 11) & 1) * area + y * width + x
                n += 1 + EFFECT[4 * kind + 3]
            high, low, y = (state >> 12) & 0xFFF, state & 0xFFF, state >> 24
            continue
        word = np.int64(words[at])
        kind, payload = word >> 12, word & 0xFFF
        at += 1
        if kind == ADDR_Y:
            y = payload & 0x7FF
        elif kind == TIME_LOW:
            low = payload
        elif kind == TIME_HIGH:
            loops_us += (high - payload > 2048) << 24
            high = payload
        elif kind == ADDR_X:
            position[INCOMPLETE] += 1
        elif kind == VECT_12 or kind == VECT_8:  # noqa: SIM109 (faster)
            x, bits = base_x, payload if kind == VECT_12 else payload & 0xFF
            past = x + (12 if kind == VECT_12 else 8)
            base_x = past if x >= 0 else -1
            if (high | low | y | x) < 0:
                position[INCOMPLETE] += _ones(bits)
                continue
            bound = width if y < height else 0
            if past > bound and bits >> max(bound - x, 0):  # some lie outside
                fault_x = max(bound, x) + _first_one(bits >> max(bound - x, 0))
                break
            time_us, first = loops_us + high * 4096 + low, plane + y * width
            for column in range(x, past):
                t_us[n], unit[n] = time_us, first + column
                n += bits & 1
                bits >>= 1
        elif kind == VECT_BASE_X:
            base_x, plane = payload & 0x7FF, (payload >> 11) * area
        else:
            position[TRIGGERS] += kind == EXT_TRIGGER
            position[UNKNOWN] += kind in RESERVED
    position[HIGH], position[LOW], position[LOOPS_US], position[Y], position[BASE_X] = high, low, loops_us, y, base_x
    position[POLARITY], position[FAULT_X], position[FAULT_Y] = 1 if plane else 0, fault_x, y
    position[WORD] += at
    position[EVENTS] += n
    _count_backwards(t_us, n, position)
    return n
