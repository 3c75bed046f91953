"""Edges of external triggers in the words of EVT 2.0, 2.1 and 3.0: unit = edge * channels + channel, a rising edge being 1.

Arguments and results as in the kernels of the events; width is the number of channels. All other words are passed over,
but for those that tell the time.
"""

import numpy as np
from numba import njit, types

from sources.kernels.position import BACKWARDS, EVENTS, FAULT_X, FAULT_Y, HIGH, INCOMPLETE, LOOPS_US, LOW, NEWEST_US, WORD

WORDS16 = types.Array(types.uint16, 1, "C", readonly=True)
WORDS32 = types.Array(types.uint32, 1, "C", readonly=True)
ARGUMENTS = types.int64, types.int64, types.int64[::1], types.int64[::1], types.uint32[::1]
TIME_HIGH, EXT_TRIGGER, TIME_LOW_3 = 8, 10, 6


@njit(types.int64(types.int64, types.int64, WORDS32, *ARGUMENTS), cache=True)
def _decode(step, upper, words, width, height, position, t_us, unit):
    """step: 32-bit words of one word; upper: which of them holds its type."""
    high, loops_us = position[HIGH], position[LOOPS_US]
    newest_us, backwards = position[NEWEST_US], position[BACKWARDS]
    n, at, end, room, fault_x, fault_y = 0, 0, words.shape[0] // step, t_us.shape[0], -1, -1
    while at < end and n < room:
        word = np.int64(words[step * at + upper])
        kind = word >> 28
        at += 1
        if kind == TIME_HIGH:
            if high - (word & 0xFFFFFFF) > 2**27:
                loops_us += 2**34
            high = word & 0xFFFFFFF
        elif kind == EXT_TRIGGER:
            channel, edge = (word >> 8) & 0x1F, word & 1
            if high < 0:
                position[INCOMPLETE] += 1
                continue
            if channel >= width:
                fault_x, fault_y = channel, edge
                break
            time_us = loops_us + high * 64 + ((word >> 22) & 0x3F)
            t_us[n], unit[n] = time_us, edge * width + channel
            n += 1
            if time_us < newest_us:
                backwards += 1
            else:
                newest_us = time_us
    position[WORD] += at
    position[EVENTS] += n
    position[HIGH], position[LOOPS_US] = high, loops_us
    position[NEWEST_US], position[BACKWARDS] = newest_us, backwards
    position[FAULT_X], position[FAULT_Y] = fault_x, fault_y
    return n


@njit(types.int64(WORDS32, *ARGUMENTS), cache=True)
def decode_evt2(words, width, height, position, t_us, unit):
    """EVT 2.0: the word holds the lower six bits of the time, channel and edge."""
    return _decode(1, 0, words, width, height, position, t_us, unit)


@njit(types.int64(WORDS32, *ARGUMENTS), cache=True)
def decode_evt21(halves, width, height, position, t_us, unit):
    """EVT 2.1: the upper half of a word is as in EVT 2.0."""
    return _decode(2, 1, halves, width, height, position, t_us, unit)


@njit(types.int64(WORDS32, *ARGUMENTS), cache=True)
def decode_evt21_legacy(halves, width, height, position, t_us, unit):
    """EVT 2.1 of older cameras, the upper half of a word first."""
    return _decode(2, 0, halves, width, height, position, t_us, unit)


@njit(types.int64(WORDS16, *ARGUMENTS), cache=True)
def decode_evt3(words, width, height, position, t_us, unit):
    """EVT 3.0: the time is the one last told."""
    high, low, loops_us = position[HIGH], position[LOW], position[LOOPS_US]
    newest_us, backwards = position[NEWEST_US], position[BACKWARDS]
    n, at, end, room, fault_x, fault_y = 0, 0, words.shape[0], t_us.shape[0], -1, -1
    while at < end and n < room:
        word = np.int64(words[at])
        kind, payload = word >> 12, word & 0xFFF
        at += 1
        if kind == TIME_LOW_3:
            low = payload
        elif kind == TIME_HIGH:
            if high - payload > 2048:
                loops_us += 4096 * 4096
            high = payload
        elif kind == EXT_TRIGGER:
            channel, edge = (payload >> 8) & 0xF, payload & 1
            if (high | low) < 0:
                position[INCOMPLETE] += 1
                continue
            if channel >= width:
                fault_x, fault_y = channel, edge
                break
            time_us = loops_us + high * 4096 + low
            t_us[n], unit[n] = time_us, edge * width + channel
            n += 1
            if time_us < newest_us:
                backwards += 1
            else:
                newest_us = time_us
    position[WORD] += at
    position[EVENTS] += n
    position[HIGH], position[LOW], position[LOOPS_US] = high, low, loops_us
    position[NEWEST_US], position[BACKWARDS] = newest_us, backwards
    position[FAULT_X], position[FAULT_Y] = fault_x, fault_y
    return n
