"""DAT: records of two 32-bit words, the time and the address; version 1 has narrower addresses than version 2."""

import numpy as np
from numba import njit, types

from sources.kernels.position import BACKWARDS, EVENTS, FAULT_X, FAULT_Y, HIGH, LOOPS_US, NEWEST_US, WORD

WORDS = types.Array(types.uint32, 1, "C", readonly=True)
ARGUMENTS = types.int64, types.int64, types.int64[::1], types.int64[::1], types.uint32[::1]
SIGNATURE = types.int64(WORDS, *ARGUMENTS)


BLOCK = 1024  # records


@njit(types.boolean(WORDS, types.int64, types.int64, types.int64, types.int64, types.int64, types.int64, types.int64,
                    types.int64[::1], types.uint32[::1]), cache=True)
def _plain(words, x_bits, y_bits, width, height, before, loops_us, newest_us, t_us, unit):
    """Decode all records (at least one) as if nothing were wrong with them, and tell whether that is so: a loop without jumps.

    Wrong: a record outside of the geometry, or a time that is earlier than the one before (also where the counter wraps).
    """
    x_mask, y_mask, wrong = (1 << x_bits) - 1, (1 << y_bits) - 1, loops_us + np.int64(words[0]) < newest_us
    for n in range(t_us.shape[0]):
        raw, address = np.int64(words[2 * n]), np.int64(words[2 * n + 1])
        x, y, polarity = address & x_mask, (address >> x_bits) & y_mask, (address >> (x_bits + y_bits)) & 1
        wrong |= (x >= width) | (y >= height) | (raw < before)
        before = raw
        t_us[n], unit[n] = loops_us + raw, (polarity * height + y) * width + x
    return not wrong


@njit(types.int64(WORDS, types.int64, types.int64, *ARGUMENTS), cache=True)
def _decode(words, x_bits, y_bits, width, height, position, t_us, unit):
    """The address is polarity, y and x, from the upper bits to the lower. The 32-bit time wraps every 4294.967296 s."""
    before, loops_us = position[HIGH], position[LOOPS_US]
    newest_us, backwards = position[NEWEST_US], position[BACKWARDS]
    n, end, fault_x, fault_y = 0, min(words.shape[0] // 2, t_us.shape[0]), -1, -1
    x_mask, y_mask, careful = (1 << x_bits) - 1, (1 << y_bits) - 1, 0  # careful: up to which record to look at each by itself
    while n < end:
        if n >= careful:
            careful = min(n + BLOCK, end)
            block, times_us, units = words[2 * n : 2 * careful], t_us[n:careful], unit[n:careful]
            if _plain(block, x_bits, y_bits, width, height, before, loops_us, newest_us, times_us, units):
                before, newest_us, n = np.int64(words[2 * careful - 2]), t_us[careful - 1], careful
                continue
        raw, address = np.int64(words[2 * n]), np.int64(words[2 * n + 1])
        x, y, polarity = address & x_mask, (address >> x_bits) & y_mask, (address >> (x_bits + y_bits)) & 1
        if x >= width or y >= height:
            fault_x, fault_y = x, y
            break
        if before - raw > 2**31:
            loops_us += 2**32
        before = raw
        time_us = loops_us + raw
        t_us[n], unit[n] = time_us, (polarity * height + y) * width + x
        n += 1
        if time_us < newest_us:
            backwards += 1
        else:
            newest_us = time_us
    position[WORD] += n + (fault_x >= 0)
    position[EVENTS] += n
    position[HIGH], position[LOOPS_US] = before, loops_us
    position[NEWEST_US], position[BACKWARDS] = newest_us, backwards
    position[FAULT_X], position[FAULT_Y] = fault_x, fault_y
    return n


@njit(SIGNATURE, cache=True)
def decode_v1(words, width, height, position, t_us, unit):
    """Decode records of version 1: 9 bits of x, 8 of y, one of polarity. Arguments and result as in sources.kernels.evt2."""
    return _decode(words, 9, 8, width, height, position, t_us, unit)


@njit(SIGNATURE, cache=True)
def decode_v2(words, width, height, position, t_us, unit):
    """Decode records of version 2: 14 bits of x, 14 of y, one of polarity. Arguments and result as in sources.kernels.evt2."""
    return _decode(words, 14, 14, width, height, position, t_us, unit)
