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

BLOCK = 1024  # words
CD_OFF, CD_ON, TIME_HIGH, EXT_TRIGGER, OTHERS, CONTINUED = 0, 1, 8, 10, 14, 15

WORDS = types.Array(types.uint32, 1, "C", readonly=True)
SIGNATURE = types.int64(WORDS, types.int64, types.int64, types.int64[::1], types.int64[::1], types.uint32[::1])


@njit(types.int64(WORDS, types.int64, types.int64), cache=True)
def _run(words, at, end):
    """How many words from `at` on are events: their type's upper three bits are 0."""
    stop = at
    while stop + 8 <= end:
        together = words[stop] | words[stop + 1] | words[stop + 2] | words[stop + 3]
        together |= words[stop + 4] | words[stop + 5] | words[stop + 6] | words[stop + 7]
        if together >> 29:
            break
        stop += 8
    while stop < end and not words[stop] >> 29:
        stop += 1
    return stop - at


@njit(types.boolean(WORDS, types.int64, types.int64, types.int64, types.int64, types.int64[::1], types.uint32[::1]), cache=True)
def _plain(words, base_us, width, height, newest_us, t_us, unit):
    """Decode words, all events, as if nothing were wrong with them, and tell whether that is so: a loop without jumps."""
    wrong, before_us = False, newest_us
    for n in range(t_us.shape[0]):
        word = np.int64(words[n])
        x, y, time_us = (word >> 11) & 0x7FF, word & 0x7FF, base_us + ((word >> 22) & 0x3F)
        wrong |= (x >= width) | (y >= height) | (time_us < before_us)
        before_us = time_us
        t_us[n], unit[n] = time_us, ((word >> 28) * height + y) * width + x
    return not wrong


@njit(SIGNATURE, cache=True)
def decode(words, width, height, position, t_us, unit):
    """Decode words until they end, the room for events does, or an event lies outside of the geometry.

    words (n,) uint32; position: see sources.kernels.position, moved on in place; t_us, unit: outputs of one length.
    Returns the number of events. time = loops + high * 64 + low; the 34-bit counter wraps every 17,179.869184 s.
    """
    high, loops_us = position[HIGH], position[LOOPS_US]
    newest_us, backwards = position[NEWEST_US], position[BACKWARDS]
    n, at, end, room, fault_x, fault_y = 0, 0, words.shape[0], t_us.shape[0], -1, -1
    careful = 0  # up to which word to look at each by itself
    while at < end and n < room:
        if at >= careful and high >= 0:
            run = _run(words, at, min(end, at + min(room - n, BLOCK)))
            base_us, past = loops_us + high * 64, n + run
            if run and _plain(words[at : at + run], base_us, width, height, newest_us, t_us[n:past], unit[n:past]):
                at, n, newest_us = at + run, past, t_us[past - 1]
                continue
            careful = at + run
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
