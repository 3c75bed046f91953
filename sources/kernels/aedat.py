"""The events of one packet of AEDAT 3.1 or AEDAT 4, and the special events of one of AEDAT 3.1.

Arguments as in the other kernels (see sources.kernels.position), but that a packet is decoded whole: t_us and unit are as long as
it has events. They return the number of events given out, having moved on EVENTS, NEWEST_US and BACKWARDS; at an event outside of
the geometry they stop, its place in FAULT_X and FAULT_Y; FAULT_Y is -1 where its time is none that a clock could have told.
"""

import numpy as np
from numba import njit, types

from sources.kernels.position import BACKWARDS, EVENTS, FAULT_X, FAULT_Y, INVALID, NEWEST_US, RESETS, SPECIAL

WORDS = types.Array(types.uint32, 1, "C", readonly=True)
TIMES = types.Array(types.int64, 1, "C", readonly=True)
GREATEST_US = 2**60
BLOCK = 1024  # records
ARGUMENTS = types.int64, types.int64, types.int64[::1], types.int64[::1], types.uint32[::1]


@njit(types.int64(types.int64[::1], types.int64, types.int64, types.int64, types.int64, types.int64), cache=True)
def _leave(position, n, newest_us, backwards, fault_x, fault_y):
    position[EVENTS] += n
    position[NEWEST_US], position[BACKWARDS] = newest_us, backwards
    position[FAULT_X], position[FAULT_Y] = fault_x, fault_y
    return n


@njit(types.boolean(TIMES, types.int64, types.int64, types.int64, types.int64[::1], types.uint32[::1]), cache=True)
def _plain_aedat4(records, width, height, newest_us, t_us, unit):
    """Decode all records as if nothing were wrong with them, and tell whether that is so: a loop without jumps."""
    wrong, before_us = False, max(newest_us, -GREATEST_US + 1)
    for n in range(t_us.shape[0]):
        time_us, address = records[2 * n], records[2 * n + 1]
        x, y, on = address & 0xFFFF, (address >> 16) & 0xFFFF, np.int64((address >> 32) & 0xFF != 0)
        wrong |= (x >= width) | (y >= height) | (time_us < before_us)
        before_us = time_us
        t_us[n], unit[n] = time_us, ((on * height + y) * width + x) & 0xFFFFFFFF
    return not wrong and before_us < GREATEST_US


@njit(types.int64(TIMES, *ARGUMENTS), cache=True)
def decode_aedat4(records, width, height, position, t_us, unit):
    """records (2 n,) int64: the time; x, y and polarity in 16, 16 and 8 bits, from the lowest up."""
    newest_us, backwards, fault_x, fault_y = position[NEWEST_US], position[BACKWARDS], -1, -1
    n, end, careful = 0, records.shape[0] // 2, 0  # careful: up to which record to look at each by itself
    while n < end:
        if n >= careful:
            careful = min(n + BLOCK, end)
            if _plain_aedat4(records[2 * n : 2 * careful], width, height, newest_us, t_us[n:careful], unit[n:careful]):
                newest_us, n = t_us[careful - 1], careful
                continue
        time_us, address = records[2 * n], records[2 * n + 1]
        x, y, on = address & 0xFFFF, (address >> 16) & 0xFFFF, np.int64((address >> 32) & 0xFF != 0)
        if x >= width or y >= height:
            fault_x, fault_y = x, y
            break
        if not -GREATEST_US < time_us < GREATEST_US:
            fault_x = x
            break
        t_us[n], unit[n] = time_us, (on * height + y) * width + x
        n += 1
        if time_us < newest_us:
            backwards += 1
        else:
            newest_us = time_us
    return _leave(position, n, newest_us, backwards, fault_x, fault_y)


@njit(types.int64(WORDS, types.int64, *ARGUMENTS), cache=True)
def decode_aedat3(records, base_us, width, height, position, t_us, unit):
    """records (2 n,) uint32: 31-17 x, 16-2 y, 1 polarity, 0 valid; 31 bits of the time, to which base_us is added."""
    newest_us, backwards, fault_x, fault_y = position[NEWEST_US], position[BACKWARDS], -1, -1
    n = 0
    for at in range(records.shape[0] // 2):
        data = np.int64(records[2 * at])
        if not data & 1:
            position[INVALID] += 1
            continue
        x, y = data >> 17, (data >> 2) & 0x7FFF
        if x >= width or y >= height:
            fault_x, fault_y = x, y
            break
        time_us = base_us + (np.int64(records[2 * at + 1]) & 0x7FFFFFFF)
        t_us[n], unit[n] = time_us, (((data >> 1) & 1) * height + y) * width + x
        n += 1
        if time_us < newest_us:
            backwards += 1
        else:
            newest_us = time_us
    return _leave(position, n, newest_us, backwards, fault_x, fault_y)


@njit(types.int64(WORDS, types.int64, TIMES, *ARGUMENTS), cache=True)
def decode_aedat3_triggers(records, base_us, units, width, height, position, t_us, unit):
    """records (2 n,) uint32: 7-1 kind, 0 valid; the time. units: the unit of each kind that is a trigger, -1 of others."""
    newest_us, backwards = position[NEWEST_US], position[BACKWARDS]
    n = 0
    for at in range(records.shape[0] // 2):
        data = np.int64(records[2 * at])
        kind = (data >> 1) & 0x7F
        if not data & 1:
            position[INVALID] += 1
        elif kind >= units.shape[0] or units[kind] < 0:
            position[RESETS] += 1 if kind == 1 else 0
            position[SPECIAL] += 0 if kind == 1 else 1
        else:
            time_us = base_us + (np.int64(records[2 * at + 1]) & 0x7FFFFFFF)
            t_us[n], unit[n] = time_us, units[kind]
            n += 1
            if time_us < newest_us:
                backwards += 1
            else:
                newest_us = time_us
    return _leave(position, n, newest_us, backwards, -1, -1)
