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
BLOCK = 2048  # words
MASK = 0xFFF

# Runs of the usual words are taken in two steps. First each word changes one number that holds all that is known, twelve bits
# each: high, row, low, base (of a vector: polarity and column), address (polarity and column); the number as it is after
# a word with an event is noted. Then times and addresses are taken from the numbers noted, in a loop that has no jumps.
HIGH_AT, Y_AT, LOW_AT, BASE_AT = 48, 36, 24, 12
USUAL = 1 << ADDR_Y | 1 << ADDR_X | 1 << TIME_LOW | 1 << TIME_HIGH | 1 << 7 | 1 << 14 | 1 << 15
VECTORS = 1 << VECT_BASE_X | 1 << VECT_12 | 1 << VECT_8
EFFECTS = [(-1, 0)] * 16  # of a word's type: which bits of the number stay, and times what the word's lower bits are added
EFFECTS[TIME_HIGH] = ~(MASK << HIGH_AT), 1 << HIGH_AT
EFFECTS[ADDR_Y] = ~(MASK << Y_AT), 1 << Y_AT
EFFECTS[TIME_LOW] = ~(MASK << LOW_AT), 1 << LOW_AT
EFFECTS[VECT_BASE_X] = ~(MASK << BASE_AT), 1 << BASE_AT
EFFECTS[ADDR_X] = ~MASK, 1
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


@njit(types.UniTuple(types.int64, 4)(WORDS, types.int64, types.int64, types.int64, types.int64, types.int64, types.int64,
                                     types.int64[::1]), cache=True)
def _note(words, at, stop, usual, state, n, room, noted):
    """The first step, up to a word of another type than those in `usual`, or one that needs care.

    Returns where it stands, the state, how many are noted, and a negative number if the time's upper bits fell.
    """
    fell = np.int64(0)
    while at < stop:  # a processor cannot guess which word comes next: no jump but the rare ones here depends on that
        word = np.int64(words[np.uint64(at)])  # (an index that has a sign is tested for it)
        kind = word >> 12
        if not (usual >> kind) & 1:
            break
        if kind == VECT_12 or kind == VECT_8:  # noqa: SIM109 (faster)
            count = 12 if kind == VECT_12 else 8
            if n > room or (state >> BASE_AT) & 0x7FF > 0x7FF - count:
                break
            event, bits = state & ~MASK | (state >> BASE_AT) & MASK, word & ((1 << count) - 1)
            for _ in range(count):
                noted[np.uint64(n)] = event
                n += bits & 1
                event += 1
                bits >>= 1
            state += count << BASE_AT
            stop = min(stop, at + room - n + 2)
        else:
            before = state >> HIGH_AT
            state = state & EFFECT[np.uint64(2 * kind)] | (word & MASK) * EFFECT[np.uint64(2 * kind + 1)]
            fell |= (state >> HIGH_AT) - before
            noted[np.uint64(n)] = state
            n += np.int64(kind == ADDR_X)
        at += 1
    return at, state, n, fell


@njit(types.boolean(types.int64, types.int64, types.int64, types.int64[::1], types.uint32[::1]), cache=True)
def _place(loops_us, width, height, t_us, unit):
    """The second step: t_us holds the numbers noted. Returns whether all events lie inside of the geometry."""
    outside = False
    for n in range(t_us.shape[0]):
        state = t_us[n]
        x, y, polarity = state & 0x7FF, (state >> Y_AT) & 0x7FF, (state >> 11) & 1
        outside |= (x >= width) | (y >= height)
        t_us[n] = loops_us + ((state >> HIGH_AT) << 12 | (state >> LOW_AT) & MASK)
        unit[n] = (polarity * height + y) * width + x
    return not outside


@njit(SIGNATURE, cache=True)
def decode(words, width, height, position, t_us, unit):
    """Decode words until they end, the room for events does, or an event lies outside of the geometry.

    words (n,) uint16; position: see sources.kernels.position, moved on in place; t_us, unit: outputs of one length, at least 12.
    Returns the number of events. time = loops + high * 4096 + low; the 24-bit counter wraps every 16.777216 s.
    """
    high, low, loops_us, y, base_x = position[HIGH], position[LOW], position[LOOPS_US], position[Y], position[BASE_X]
    area, plane = width * height, position[POLARITY] * width * height
    n, at, end, room, fault_x, careful = 0, 0, words.shape[0], t_us.shape[0] - MOST_EVENTS, -1, 0
    while at < end and n <= room and fault_x < 0:
        if at >= careful and (high | low | y) >= 0:
            usual, base = USUAL, np.int64(0)
            if 0 <= base_x <= 0x7FF:
                usual, base = USUAL | VECTORS, base_x | np.int64(plane > 0) << 11
            state = high << HIGH_AT | y << Y_AT | low << LOW_AT | base << BASE_AT
            stop = min(end, at + min(BLOCK, room - n + 1))
            careful, state, past, fell = _note(words, at, stop, usual, state, n, room, t_us)
            if careful > at and fell >= 0 and _place(loops_us, width, height, t_us[n:past], unit[n:past]):
                at, n, high, low, y = careful, past, state >> HIGH_AT, (state >> LOW_AT) & MASK, (state >> Y_AT) & 0x7FF
                if usual != USUAL:
                    base_x, plane = (state >> BASE_AT) & 0x7FF, ((state >> (BASE_AT + 11)) & 1) * area
                continue
        word = np.int64(words[at])  # one by one, up to `careful`
        kind, payload = word >> 12, word & MASK
        at += 1
        if kind == ADDR_Y:
            y = payload & 0x7FF
        elif kind == TIME_LOW:
            low = payload
        elif kind == TIME_HIGH:
            loops_us += (high - payload > 2048) << 24
            high = payload
        elif kind == ADDR_X:
            x = payload & 0x7FF
            if (high | low | y) < 0:
                position[INCOMPLETE] += 1
                continue
            if x >= width or y >= height:
                fault_x = x
                break
            t_us[n], unit[n] = loops_us + high * 4096 + low, (payload >> 11) * area + y * width + x
            n += 1
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
