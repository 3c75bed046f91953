"""ECF, the Event Compression Format: one block holds the times, then the addresses and polarities, run-length coded or packed.

A block begins with 4 bytes: 2 flags and the number of events (30 bits), and 8 bytes: the first time; all little-endian.
Every function takes the block and where it stands in it, fills its outputs and returns where the next part begins, or -1
where the block ends too soon or holds more events than it said.
"""

import numpy as np
from numba import njit, types

BYTES = types.Array(types.uint8, 1, "C", readonly=True)
OUT = types.int64[::1]
ONE = types.int64(BYTES, types.int64, OUT)
TWO = types.int64(BYTES, types.int64, OUT, OUT)
THREE = types.int64(BYTES, types.int64, OUT, OUT, OUT)


@njit(types.int64(BYTES, types.int64, types.int64), cache=True)
def number(block, at, count):
    """The little-endian number of `count` bytes at `at`."""
    value = np.int64(0)
    for place in range(count):
        value |= np.int64(block[at + place]) << (8 * place)
    return value


@njit(ONE, cache=True)
def times(block, at, t_us):
    """Bytes of 4 bits step in us and 4 bits count (15: 16 bits follow); a step of 15 means 4 more bits of a larger step."""
    if at + 8 > block.shape[0]:
        return -1
    now, n, step, shift = number(block, at, 8), 0, np.int64(0), 0
    at += 8
    while n < t_us.shape[0]:
        if at >= block.shape[0]:
            return -1
        high, low = np.int64(block[at] >> 4), np.int64(block[at] & 15)
        at += 1
        if high == 15:
            if shift > 59:
                return -1
            step |= low << shift
            shift += 4
            continue
        now, step, shift = now + step + high, np.int64(0), 0
        if low == 15:
            if at + 2 > block.shape[0]:
                return -1
            low = number(block, at, 2)
            at += 2
        if n + low > t_us.shape[0]:
            return -1
        for i in range(n, n + low):
            t_us[i] = now
        n += low
    return at


@njit(ONE, cache=True)
def rows(block, at, y):
    """Words of 11 bits row and 5 bits count (31: another word holds it)."""
    n = 0
    while n < y.shape[0]:
        if at + 2 > block.shape[0]:
            return -1
        word = number(block, at, 2)
        at += 2
        count = word & 31
        if count == 31:
            if at + 2 > block.shape[0]:
                return -1
            count = number(block, at, 2)
            at += 2
        if n + count > y.shape[0]:
            return -1
        for i in range(n, n + count):
            y[i] = word >> 5
        n += count
    return at


@njit(ONE, cache=True)
def columns(block, at, x):
    """Words of 11 bits column and 5 bits that say which of the five columns after it have an event too."""
    n = 0
    while n < x.shape[0]:
        if at + 2 > block.shape[0]:
            return -1
        word = number(block, at, 2)
        at += 2
        x[n] = word >> 5
        n += 1
        for after in range(1, 6):
            if (word >> (5 - after)) & 1 and n < x.shape[0]:  # the last word may mark columns beyond the last event
                x[n] = (word >> 5) + after
                n += 1
    return at


@njit(ONE, cache=True)
def polarities(block, at, p):
    """Bytes of 1 bit polarity and 7 bits count (127: 16 bits follow)."""
    n = 0
    while n < p.shape[0]:
        if at >= block.shape[0]:
            return -1
        sign, count = np.int64(block[at] >> 7), np.int64(block[at] & 127)
        at += 1
        if count == 127:
            if at + 2 > block.shape[0]:
                return -1
            count = number(block, at, 2)
            at += 2
        if n + count > p.shape[0]:
            return -1
        for i in range(n, n + count):
            p[i] = sign
        n += count
    return at


@njit(TWO, cache=True)
def packed_columns(block, at, x, p):
    """Four events in three words of 16 bits: 12 bits each, the upper 11 the column."""
    for n in range(0, x.shape[0], 4):
        if at + 6 > block.shape[0]:
            return -1
        a, b, c = number(block, at, 2), number(block, at + 2, 2), number(block, at + 4, 2)
        at += 6
        first, second = a >> 4, (a & 15) | ((b >> 8) << 4)
        third, fourth = (b & 255) | ((c >> 12) << 8), c & 4095
        for i in range(min(4, x.shape[0] - n)):
            value = first if i == 0 else second if i == 1 else third if i == 2 else fourth
            x[n + i], p[n + i] = (value >> 1) & 2047, value & 1
    return at


@njit(THREE, cache=True)
def packed(block, at, x, y, p):
    """Four events in three words of 32 bits: 24 bits each, from above row (12), column (11), polarity."""
    for n in range(0, x.shape[0], 4):
        if at + 12 > block.shape[0]:
            return -1
        a, b, c = number(block, at, 4), number(block, at + 4, 4), number(block, at + 8, 4)
        at += 12
        first, second = a >> 8, (a & 255) | ((b >> 16) << 8)
        third, fourth = (b & 65535) | ((c >> 24) << 16), c & 0xFFFFFF
        for i in range(min(4, x.shape[0] - n)):
            value = first if i == 0 else second if i == 1 else third if i == 2 else fourth
            y[n + i], x[n + i], p[n + i] = (value >> 12) & 2047, (value >> 1) & 2047, value & 1
    return at


@njit(types.int64(BYTES, OUT, OUT, OUT, OUT), cache=True)
def decode(block, t_us, x, y, p):
    """Decode one block. block (bytes,) uint8; outputs (room,) int64. Returns the number of events, or -1: damaged."""
    if block.shape[0] < 12:
        return -1
    head = number(block, 0, 4)
    n, all_packed, columns_packed = head >> 2, (head >> 1) & 1, head & 1
    if n > t_us.shape[0]:
        return -1
    at = times(block, 4, t_us[:n])
    if at < 0:
        return -1
    if all_packed:
        at = packed(block, at, x[:n], y[:n], p[:n])
        return n if at >= 0 else -1
    at = rows(block, at, y[:n])
    if at >= 0 and columns_packed:
        at = packed_columns(block, at, x[:n], p[:n])
    elif at >= 0:
        at = columns(block, at, x[:n])
        if at >= 0:
            at = polarities(block, at, p[:n])
    return n if at >= 0 else -1
