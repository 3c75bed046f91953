"""Lines of text: fields of decimal numbers become times in whole microseconds and addresses, without floating point."""

import numpy as np
from numba import njit, types

BYTES = types.Array(types.uint8, 1, "C", readonly=True)
INTEGERS = types.Array(types.int64, 1, "C", readonly=True)
MOST_FIELDS = 64

# the numbers of a position
AT, LINE, NEWEST_US, BACKWARDS, EVENTS, FAULT, FAULT_AT = range(7)
LENGTH = 7

# what FAULT tells: 0 nothing, else
TOO_FEW_FIELDS, NO_NUMBER, OUTSIDE, NO_POLARITY, NO_TIME = 1, 2, 3, 4, 5
LATEST_US = 2**60


@njit(types.int64(BYTES, types.int64, types.int64, types.int64[::1]), cache=True)
def parse(text, at, end, out):
    """One decimal number in text[at:end]: out[0] * 10**out[1]. Returns 1, or 0 where there is none."""
    mantissa, exponent, digits, negative, point = np.int64(0), 0, 0, False, False
    if at < end and (text[at] == 45 or text[at] == 43):  # - or +
        negative = text[at] == 45
        at += 1
    while at < end and (48 <= text[at] <= 57 or (text[at] == 46 and not point)):
        if text[at] == 46:
            point = True
        else:
            digits += 1
            if mantissa < 10**17:
                mantissa = mantissa * 10 + np.int64(text[at]) - 48
                exponent -= point
            else:  # digits that an int64 cannot hold
                exponent += not point
        at += 1
    if at < end and digits and (text[at] == 101 or text[at] == 69):  # e or E
        at += 1
        power, down, places = 0, False, 0
        if at < end and (text[at] == 45 or text[at] == 43):
            down = text[at] == 45
            at += 1
        while at < end and 48 <= text[at] <= 57 and power < 1000:
            power = power * 10 + np.int64(text[at]) - 48
            places += 1
            at += 1
        if not places:
            return 0
        exponent += -power if down else power
    out[0], out[1] = -mantissa if negative else mantissa, exponent
    return 1 if digits and at == end else 0


@njit(types.int64(types.int64[::1], types.int64), cache=True)
def rounded(number, shift):
    """number[0] * 10**(number[1] + shift) as a whole number, halves to even; beyond +-2**60 where it is too large."""
    mantissa, power = abs(number[0]), number[1] + shift
    if mantissa == 0:
        return 0
    while power > 0:
        if mantissa > LATEST_US // 10:
            return LATEST_US * 2
        mantissa *= 10
        power -= 1
    if power < -18:
        return 0
    scale = np.int64(1)
    for _ in range(-power):
        scale *= 10
    whole, rest = mantissa // scale, mantissa % scale
    if 2 * rest > scale or (2 * rest == scale and whole & 1):
        whole += 1
    return -whole if number[0] < 0 else whole


@njit(types.int64(types.int64[::1]), cache=True)
def address(number):
    """number[0] * 10**number[1] where that is a whole number from 0 to 2**32, else -1."""
    value, power = number[0], number[1]
    if value < 0:
        return -1
    while power < 0 and value:
        if value % 10:
            return -1
        value //= 10
        power += 1
    while power > 0 and value:
        value *= 10
        power -= 1
        if value > 2**32:
            return -1
    return value


@njit(types.int64(BYTES, types.int64, types.int64, types.int64[::1]), cache=True)
def sign(text, at, end, out):
    """A polarity: 0 or 1; -1 is 0; true, on and false, off in any case. Returns -1 where it is none."""
    if end - at >= 2:
        first, second = text[at] | 32, text[at + 1] | 32
        if end - at == 4 and first == 116 and second == 114:  # true
            return 1
        if end - at == 5 and first == 102 and second == 97:  # false
            return 0
        if first == 111 and ((end - at == 2 and second == 110) or (end - at == 3 and second == 102)):  # on, off
            return end - at == 2
    if not parse(text, at, end, out):
        return -1
    if out[0] == 0:
        return 0
    negative = out[0] < 0
    out[0] = abs(out[0])
    return np.int64(not negative) if address(out) == 1 else -1


@njit(types.int64(BYTES, types.int64, types.int64, types.int64, types.int64[::1], types.int64[::1]), cache=True)
def split(text, at, end, delimiter, begins, ends):
    """The fields of a line, without the blanks and quotes around them. delimiter: 0 for blanks. Returns how many (at most 64)."""
    count = 0
    while count < MOST_FIELDS:
        while at < end and (text[at] == 32 or (text[at] == 9 and delimiter != 9)):
            at += 1
        if at >= end and delimiter == 0:
            break
        stop = at
        while stop < end and (text[stop] != delimiter if delimiter else (text[stop] != 32 and text[stop] != 9)):
            stop += 1
        first, past = at, stop
        while past > first and (text[past - 1] == 32 or text[past - 1] == 9):
            past -= 1
        if past - first >= 2 and text[first] == 34 and text[past - 1] == 34:  # "
            first, past = first + 1, past - 1
        begins[count], ends[count] = first, past
        count += 1
        at = stop + 1
        if stop >= end:
            break
    return count


SIGNATURE = types.int64(BYTES, types.int64, INTEGERS, types.int64, types.int64, types.int64, types.int64[::1], types.int64[::1],
                        types.uint32[::1], types.int64[:, ::1])


@njit(SIGNATURE, cache=True)
def decode(text, delimiter, fields, shift, width, height, position, t_us, unit, values):
    """Decode whole lines. fields: places of t, x, y, p and value; y -1: x holds the unit; value -1: there is none.

    shift: powers of ten from the unit of time to us. position is moved on in place; values: begin and end of each value's text.
    Returns the number of events; stops at the first fault. The caller gives room for an event every two bytes.
    """
    begins, ends, number = np.empty(MOST_FIELDS, np.int64), np.empty(MOST_FIELDS, np.int64), np.empty(2, np.int64)
    most = max(fields[0], fields[1], fields[2], fields[3], fields[4])
    newest_us, backwards, n, at, size = position[NEWEST_US], position[BACKWARDS], 0, 0, text.shape[0]
    fault = 0
    while at < size:
        start = at
        while at < size and text[at] != 10:
            at += 1
        end = at - 1 if at > start and text[at - 1] == 13 else at
        at += 1
        position[LINE] += 1
        count = split(text, start, end, delimiter, begins, ends)
        if count == 0 or (count == 1 and begins[0] == ends[0]) or text[begins[0]] == 35 or text[begins[0]] == 37:  # empty, # or %
            continue
        place, p = np.int64(-1), np.int64(0)
        if count <= most:
            fault = TOO_FEW_FIELDS
        elif not parse(text, begins[fields[0]], ends[fields[0]], number):
            fault = NO_NUMBER
        else:
            time_us = rounded(number, shift)
            if abs(time_us) > LATEST_US:
                fault = NO_TIME
            elif not parse(text, begins[fields[1]], ends[fields[1]], number):
                fault = NO_NUMBER
            else:
                x, y = address(number), np.int64(0)
                if fields[2] >= 0:
                    if not parse(text, begins[fields[2]], ends[fields[2]], number):
                        fault = NO_NUMBER
                    else:
                        y, p = address(number), sign(text, begins[fields[3]], ends[fields[3]], number)
                        if p < 0:
                            fault = NO_POLARITY
                if not fault and (x < 0 or y < 0 or x >= width or y >= height):
                    fault = OUTSIDE
                place = (p * height + y) * width + x
        if fault:
            position[FAULT], position[FAULT_AT] = fault, start
            break
        t_us[n], unit[n] = time_us, place
        if fields[4] >= 0:
            values[n, 0], values[n, 1] = begins[fields[4]], ends[fields[4]]
        n += 1
        if time_us < newest_us:
            backwards += 1
        else:
            newest_us = time_us
    position[NEWEST_US], position[BACKWARDS] = newest_us, backwards
    position[EVENTS] += n
    return n
