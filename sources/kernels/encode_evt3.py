"""EVT 3.0, written: the reverse of sources.kernels.evt3."""

from numba import njit, types

AT, HIGH, LOW, ROW = range(4)  # of the state: the next event; the time's upper bits (in full), lower bits and row last written
STATE_LENGTH = 4
MOST_WORDS = 8  # written for one event or one step of time
HIGH_STEP = 1024  # the most that the upper bits rise at once: a reader takes a fall of more than 2048 for a wrap
SPAN = 32  # columns of a group of vectors: 12, 12 and 8
WORTH_A_VECTOR = 5  # events, for the four words of a group

TIMES = types.Array(types.int64, 1, "C", readonly=True)
UNITS = types.Array(types.uint32, 1, "C", readonly=True)


@njit(types.int64(TIMES, UNITS, types.int64, types.int64, types.int64, types.int64), cache=True)
def _run(t_us, unit, at, width, x, most):
    """How many events from `at` on are of one time, row and polarity, in ever greater columns, in reach of a group."""
    t, first, end, run = t_us[at], unit[at], t_us.shape[0], 1
    before = first
    while at + run < end and t_us[at + run] == t:
        after = unit[at + run]
        if after <= before or after - first >= most or x + (after - first) >= width:
            break
        before = after
        run += 1
    return run


@njit(types.int64(TIMES, UNITS, types.int64, types.int64, types.int64[::1], types.uint16[::1]), cache=True)
def encode(t_us, unit, width, height, state, words):
    """Write words until the events end or the room for words does. Returns the number of words; moves `state` on in place.

    t_us (n,) int64, non-decreasing; unit (n,) uint32; words: output, at least 8. Vectors always come as base, 12, 12 and 8, and
    never reach beyond the last column: decoders that read a group as one record refuse anything else. A low time follows each
    high time, since some decoders take it for 0 then.
    """
    at, high, low, row = state[AT], state[HIGH], state[LOW], state[ROW]
    area, n, end, room = width * height, 0, t_us.shape[0], words.shape[0] - MOST_WORDS
    while at < end and n <= room:
        t = t_us[at]
        if t >> 12 != high:
            rise = (t >> 12) - high
            high = high + HIGH_STEP if high >= 0 and rise > HIGH_STEP else t >> 12
            words[n] = 0x8000 | high & 0xFFF
            low = -1
            n += 1
            continue
        if t & 0xFFF != low:
            low = t & 0xFFF
            words[n] = 0x6000 | low
            n += 1
        address = unit[at]
        polarity = 1 if address >= area else 0
        y = (address - polarity * area) // width
        x = address - polarity * area - y * width
        if y != row:
            row = y
            words[n] = y
            n += 1
        run = _run(t_us, unit, at, width, x, SPAN) if width >= SPAN else 1
        if run < WORTH_A_VECTOR:
            words[n] = 0x2000 | polarity << 11 | x
            n += 1
            at += 1
            continue
        base, mask = min(x, width - SPAN), 0
        for k in range(run):
            mask |= 1 << (x - base + unit[at + k] - address)
        words[n] = 0x3000 | polarity << 11 | base
        words[n + 1] = 0x4000 | mask & 0xFFF
        words[n + 2] = 0x4000 | (mask >> 12) & 0xFFF
        words[n + 3] = 0x5000 | (mask >> 24) & 0xFF
        n += 4
        at += run
    state[AT], state[HIGH], state[LOW], state[ROW] = at, high, low, row
    return n
