"""Event Stream: events of a few bytes, each with the time since the one before; longer silence is told by overflow bytes.

All kernels decode bytes until these end (an event that they do not hold whole is left for the next call), the room for events
does, or an event lies outside of the geometry. bytes (n,) uint8; position: see sources.kernels.position, moved on in place, its
LOOPS_US being the time; t_us, unit (and value): outputs of one length. They return the number of events.
x and y are given out as they are stored.
"""

import numpy as np
from numba import njit, types

from sources.kernels.position import CHANGES, EVENTS, EXPOSURES, FAULT_X, FAULT_Y, LOOPS_US, NEWEST_US, PAYLOAD, RESETS, WORD

BYTES = types.Array(types.uint8, 1, "C", readonly=True)
ARGUMENTS = types.int64, types.int64, types.int64[::1], types.int64[::1], types.uint32[::1]
SIGNATURE = types.int64(BYTES, *ARGUMENTS)
MOST_PAYLOAD = 2**40


@njit(types.int64(types.int64[::1], types.int64, types.int64, types.int64, types.int64, types.int64, types.int64), cache=True)
def _leave(position, at, n, newest_us, time_us, fault_x, fault_y):
    position[WORD] += at
    position[EVENTS] += n
    position[LOOPS_US], position[NEWEST_US] = time_us, newest_us
    position[FAULT_X], position[FAULT_Y] = fault_x, fault_y
    return n


@njit(SIGNATURE, cache=True)
def decode_dvs(stream, width, height, position, t_us, unit):
    """Version 2, DVS: t and polarity, x, x, y, y. Overflow (255): 127 us; reset: 254."""
    time_us, newest_us = position[LOOPS_US], position[NEWEST_US]
    n, at, end, room, fault_x, fault_y = 0, 0, stream.shape[0], t_us.shape[0], -1, -1
    while at < end and n < room:
        first = np.int64(stream[at])
        if first >= 254:
            time_us += 127 * (first & 1)
            position[RESETS] += 1 - (first & 1)
            at += 1
            continue
        if at + 5 > end:
            break
        x = np.int64(stream[at + 1]) | np.int64(stream[at + 2]) << 8
        y = np.int64(stream[at + 3]) | np.int64(stream[at + 4]) << 8
        if x >= width or y >= height:
            at, fault_x, fault_y = at + 1, x, y
            break
        at += 5
        time_us += first >> 1
        t_us[n], unit[n] = time_us, ((first & 1) * height + y) * width + x
        n += 1
        newest_us = time_us
    return _leave(position, at, n, newest_us, time_us, fault_x, fault_y)


@njit(types.int64(types.int64, BYTES, *ARGUMENTS), cache=True)
def _atis(wanted, stream, width, height, position, t_us, unit):
    """wanted: 0 for changes of contrast, 1 for threshold crossings."""
    time_us, newest_us = position[LOOPS_US], position[NEWEST_US]
    n, at, end, room, fault_x, fault_y = 0, 0, stream.shape[0], t_us.shape[0], -1, -1
    while at < end and n < room:
        first = np.int64(stream[at])
        if first >= 252:
            time_us += 63 * (first & 3)
            position[RESETS] += 1 if first == 252 else 0
            at += 1
            continue
        if at + 5 > end:
            break
        x = np.int64(stream[at + 1]) | np.int64(stream[at + 2]) << 8
        y = np.int64(stream[at + 3]) | np.int64(stream[at + 4]) << 8
        if x >= width or y >= height:
            at, fault_x, fault_y = at + 1, x, y
            break
        at += 5
        time_us += first >> 2
        if first & 1 == wanted:
            t_us[n], unit[n] = time_us, (((first >> 1) & 1) * height + y) * width + x
            n += 1
            newest_us = time_us
        else:
            position[CHANGES if wanted else EXPOSURES] += 1
    return _leave(position, at, n, newest_us, time_us, fault_x, fault_y)


@njit(SIGNATURE, cache=True)
def decode_atis(stream, width, height, position, t_us, unit):
    """Version 2, ATIS: t, polarity and kind, x, x, y, y; the changes of contrast. Overflow (253 to 255): 63 us, 1 to 3 times."""
    return _atis(0, stream, width, height, position, t_us, unit)


@njit(SIGNATURE, cache=True)
def decode_atis_exposures(stream, width, height, position, t_us, unit):
    """The same, of the threshold crossings: polarity 0 is the first of a measurement, 1 the second."""
    return _atis(1, stream, width, height, position, t_us, unit)


@njit(types.int64(types.int64, types.int64, types.int64, BYTES, *ARGUMENTS), cache=True)
def _packed(t_bits, x_bits, wanted, stream, width, height, position, t_us, unit):
    """Three bytes, from the lowest bit up: t, x, y, in ATIS the kind, polarity. wanted: -1 where there are no kinds."""
    time_us, newest_us = position[LOOPS_US], position[NEWEST_US]
    n, at, end, room, fault_x, fault_y = 0, 0, stream.shape[0], t_us.shape[0], -1, -1
    longest = (1 << t_bits) - 1
    x_mask, y_bits = (1 << x_bits) - 1, 23 - t_bits - x_bits - (wanted >= 0)
    while at < end and n < room:
        first = np.int64(stream[at])
        if first & longest == longest:
            time_us += longest * (first >> t_bits)
            position[RESETS] += 1 if first == longest else 0
            at += 1
            continue
        if at + 3 > end:
            break
        bits = first | np.int64(stream[at + 1]) << 8 | np.int64(stream[at + 2]) << 16
        x, y = (bits >> t_bits) & x_mask, (bits >> (t_bits + x_bits)) & ((1 << y_bits) - 1)
        if x >= width or y >= height:
            at, fault_x, fault_y = at + 1, x, y
            break
        at += 3
        time_us += first & longest
        if wanted < 0 or (bits >> 22) & 1 == wanted:
            t_us[n], unit[n] = time_us, ((bits >> 23) * height + y) * width + x
            n += 1
            newest_us = time_us
        else:
            position[CHANGES if wanted else EXPOSURES] += 1
    return _leave(position, at, n, newest_us, time_us, fault_x, fault_y)


@njit(SIGNATURE, cache=True)
def decode_dvs_v1(stream, width, height, position, t_us, unit):
    """Version 1, DVS: 4 bits of t, 10 of x, 9 of y, polarity. Overflow (t 15): 15 us, as often as the other bits say."""
    return _packed(4, 10, -1, stream, width, height, position, t_us, unit)


@njit(SIGNATURE, cache=True)
def decode_atis_v1(stream, width, height, position, t_us, unit):
    """Version 1, ATIS: 5 bits of t, 9 of x, 8 of y, kind, polarity; the changes of contrast. Overflow: 31 us likewise."""
    return _packed(5, 9, 0, stream, width, height, position, t_us, unit)


@njit(SIGNATURE, cache=True)
def decode_atis_v1_exposures(stream, width, height, position, t_us, unit):
    """The same, of the threshold crossings."""
    return _packed(5, 9, 1, stream, width, height, position, t_us, unit)


@njit(types.int64(types.boolean, BYTES, *ARGUMENTS, types.float32[::1]), cache=True)
def _color(version_1, stream, width, height, position, t_us, unit, value):
    time_us, newest_us = position[LOOPS_US], position[NEWEST_US]
    n, at, end, room, fault_x, fault_y = 0, 0, stream.shape[0], t_us.shape[0] - 3, -1, -1
    size, reset, overflow, longest = (6, 0x7F, 0xFF, 0x7F) if version_1 else (8, 0xFE, 0xFF, 0xFE)
    while at < end and n <= room:
        first = np.int64(stream[at])
        if first == overflow or first == reset:  # noqa: SIM109 (twice as fast)
            time_us += longest if first == overflow else 0
            position[RESETS] += 1 if first == reset else 0
            at += 1
            continue
        if at + size > end:
            break
        if version_1:
            x, y = first >> 7 | np.int64(stream[at + 1]) << 1, np.int64(stream[at + 2])
        else:
            x = np.int64(stream[at + 1]) | np.int64(stream[at + 2]) << 8
            y = np.int64(stream[at + 3]) | np.int64(stream[at + 4]) << 8
        if x >= width or y >= height:
            at, fault_x, fault_y = at + 1, x, y
            break
        at += size
        time_us += first & 0x7F if version_1 else first
        for color in range(3):
            t_us[n], unit[n] = time_us, (color * height + y) * width + x
            value[n] = stream[at - 3 + color]
            n += 1
        newest_us = time_us
    return _leave(position, at, n, newest_us, time_us, fault_x, fault_y)


@njit(types.int64(BYTES, *ARGUMENTS, types.float32[::1]), cache=True)
def decode_color(stream, width, height, position, t_us, unit, value):
    """Version 2, color: t, x, x, y, y, red, green, blue; three graded events each. Overflow (255): 254 us; reset: 254."""
    return _color(False, stream, width, height, position, t_us, unit, value)


@njit(types.int64(BYTES, *ARGUMENTS, types.float32[::1]), cache=True)
def decode_color_v1(stream, width, height, position, t_us, unit, value):
    """Version 1, color: 7 bits of t, 9 of x, 8 of y, red, green, blue. Overflow (255): 127 us; reset: 127."""
    return _color(True, stream, width, height, position, t_us, unit, value)


@njit(SIGNATURE, cache=True)
def decode_generic(stream, width, height, position, t_us, unit):
    """Version 2, generic: t, the payload's size in bytes of seven bits and a mark that more follow, the payload; unit 0."""
    time_us, newest_us = position[LOOPS_US], position[NEWEST_US]
    n, at, end, room = 0, 0, stream.shape[0], t_us.shape[0]
    while at < end and n < room:
        first = np.int64(stream[at])
        if first >= 254:
            time_us += 254 * (first & 1)
            position[RESETS] += 1 - (first & 1)
            at += 1
            continue
        past, size, shift, more = at + 1, 0, 0, True
        while more and past < end:
            if shift < 42:
                size |= (np.int64(stream[past]) >> 1) << shift
            elif stream[past] > 1:
                size = MOST_PAYLOAD
            more = stream[past] & 1 == 1
            past, shift = past + 1, shift + 7
        if more or size > end - past:
            break
        at = past + size
        time_us += first
        t_us[n], unit[n] = time_us, 0
        n += 1
        newest_us = time_us
        position[PAYLOAD] += size
    return _leave(position, at, n, newest_us, time_us, -1, -1)
