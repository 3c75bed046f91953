"""Who fired in a tick as masks of 64 units, and the spikes that they stand for: what the kernels of lif and quantised_lif share.

The masks of several ticks become spikes together, four at a time whether there are as many or not: a jump that the processor
guesses wrong costs as much as adding a row of weights, and would hold up the next tick's loads.
"""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.clock import READ_F4, READ_U4

SLACK = 8  # entries behind the room for spikes that may be written to
BITS = (np.uint64(1) << np.arange(32, dtype=np.uint64)).astype(np.uint32)
ONE, FOUR = np.uint64(1), np.uint64(4)


@njit(f"void(float32[::1], {READ_F4}, {READ_U4}, uint64[:, ::1], int64)", cache=True)
def set_masks(v, threshold, bits, fired, tick):
    """Bit c of fired[tick, w] <- whether unit 64 w + c has v >= threshold.

    Sixteen units at a time, a length that is known and so becomes one vector, into four sums that do not wait for each other.
    bits: BITS.
    """
    for w in range(fired.shape[1]):
        j, p, q, r, s = 64 * w, np.uint32(0), np.uint32(0), np.uint32(0), np.uint32(0)
        for c in range(16):
            p = np.uint32(p | (bits[c] if v[j + c] >= threshold[j + c] else np.uint32(0)))
            q = np.uint32(q | (bits[c + 16] if v[j + c + 16] >= threshold[j + c + 16] else np.uint32(0)))
            r = np.uint32(r | (bits[c] if v[j + c + 32] >= threshold[j + c + 32] else np.uint32(0)))
            s = np.uint32(s | (bits[c + 16] if v[j + c + 48] >= threshold[j + c + 48] else np.uint32(0)))
        fired[tick, w] = np.uint64(p | q) | np.uint64(r | s) << np.uint64(32)


@njit("uint64(uint64)", cache=True)
def ones(mask):
    """How many bits are set, in a form that the compiler makes one instruction of."""
    count = np.uint64(0)
    while mask:
        count += ONE
        mask &= mask - ONE
    return count


@njit("int64(uint64[:, ::1], int64[::1], int64, int64[::1], uint32[::1], int64)", cache=True)
def write_spikes(fired, fired_us, ticks, out_t_us, out_unit, written):
    """Turns the first `ticks` rows of masks into spikes behind the `written` ones, in order of (t, unit); returns the new number.

    Bit c of fired[k, w]: unit 64 w + c fired at fired_us[k]. The place of the lowest bit is the number of bits below it. What is
    written behind the last spike is overwritten or ignored.
    """
    to = np.uint64(written)
    for k in range(ticks):
        begin = to
        for w in range(fired.shape[1]):
            mask, first = fired[k, w], np.uint32(64 * w)
            end = to + ones(mask)
            while to < end:
                for c in range(4):
                    less = mask - np.uint64(mask != 0)
                    out_unit[to + np.uint64(c)] = first + np.uint32(ones(less & ~mask))
                    mask = mask & less
                to += FOUR
            to = end
        while begin < to:
            for c in range(8):
                out_t_us[begin + np.uint64(c)] = fired_us[k]
            begin += np.uint64(8)
    return np.int64(to)
