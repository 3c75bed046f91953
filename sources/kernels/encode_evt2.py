"""EVT 2.0, written: the reverse of sources.kernels.evt2."""

from numba import njit, types

AT, HIGH = range(2)  # of the state: the next event, and the time's upper bits last written (in full; -1: none)
STATE_LENGTH = 4
MOST_WORDS = 2  # written for one event or one step of time
HIGH_STEP = 1 << 26  # the most that the upper bits rise at once: a reader takes a fall of more than 2**27 for a wrap

TIMES = types.Array(types.int64, 1, "C", readonly=True)
UNITS = types.Array(types.uint32, 1, "C", readonly=True)


@njit(types.int64(TIMES, UNITS, types.int64, types.int64, types.int64[::1], types.uint32[::1]), cache=True)
def encode(t_us, unit, width, height, state, words):
    """Write words until the events end or the room for words does. Returns the number of words; moves `state` on in place.

    t_us (n,) int64, non-decreasing; unit (n,) uint32; words: output, at least 2.
    """
    at, high = state[AT], state[HIGH]
    area, n, end, room = width * height, 0, t_us.shape[0], words.shape[0] - MOST_WORDS
    while at < end and n <= room:
        t = t_us[at]
        if t >> 6 != high:
            high = high + HIGH_STEP if high >= 0 and (t >> 6) - high > HIGH_STEP else t >> 6
            words[n] = 0x80000000 | high & 0xFFFFFFF
            n += 1
            continue
        address = unit[at]
        polarity = 1 if address >= area else 0
        y = (address - polarity * area) // width
        x = address - polarity * area - y * width
        words[n] = polarity << 28 | (t & 0x3F) << 22 | x << 11 | y
        n += 1
        at += 1
    state[AT], state[HIGH] = at, high
    return n
