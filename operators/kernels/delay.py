"""The kernel of delay: events go into a wheel of time slots, and come out of it in order once their delay is over."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

DUE, UNIT, NEXT, ORDER, SPARE = 0, 1, 2, 3, 4  # the rows of `held`
HEAD, TAIL = 0, 1  # the rows of `wheel`
SLOT, FREE, COUNT, QUIET = 0, 1, 2, 3  # the entries of `marks`
END = -1  # where a chain of held events ends

READ_I8, READ_U4, READ_F4 = (f"Array({kind}, 1, 'C', readonly=True)" for kind in ("int64", "uint32", "float32"))
OUT = "int64[::1], uint32[::1], float32[::1]"


@njit("int64(int64[:, ::1], int64[:, ::1], int64[::1], int64, int64)", cache=True)
def collect(held, wheel, marks, shift, before_us):
    """Takes the events due before `before_us` out of their chains and puts their places into row ORDER, slot by slot.

    Returns how many. marks[SLOT] becomes the slot in which before_us lies; what that one holds from before_us on stays.
    """
    slots = wheel.shape[1]
    n = 0
    stop = before_us >> shift
    for slot in range(marks[SLOT], min(stop + 1, marks[SLOT] + slots)):
        if n == marks[COUNT]:
            break
        place = wheel[HEAD, slot % slots]
        first, last = END, END
        while place != END:
            after = held[NEXT, place]
            if slot < stop or held[DUE, place] < before_us:
                held[ORDER, n] = place
                n += 1
            else:
                if last == END:
                    first = place
                else:
                    held[NEXT, last] = place
                held[NEXT, place] = END
                last = place
            place = after
        wheel[HEAD, slot % slots], wheel[TAIL, slot % slots] = first, last
    marks[SLOT] = max(marks[SLOT], stop)
    return n


@njit("void(int64[:, ::1], int64)", cache=True)
def merge_sort(held, n):
    """Sorts the first n places in row ORDER by (due, unit) of the event held there; equals keep their order."""
    source, target = ORDER, SPARE
    width = 1
    while width < n:
        for begin in range(0, n, 2 * width):
            middle, end = min(begin + width, n), min(begin + 2 * width, n)
            left, right = begin, middle
            for k in range(begin, end):
                take_right = left == middle
                if left < middle and right < end:
                    a, b = held[source, left], held[source, right]
                    later_us = held[DUE, a] - held[DUE, b]
                    take_right = later_us > 0 or (later_us == 0 and held[UNIT, a] > held[UNIT, b])
                if take_right:
                    held[target, k] = held[source, right]
                    right += 1
                else:
                    held[target, k] = held[source, left]
                    left += 1
        source, target = target, source
        width *= 2
    if source == SPARE:
        for k in range(n):
            held[ORDER, k] = held[SPARE, k]


@njit(f"int64(int64[:, ::1], float32[::1], int64[:, ::1], int64[::1], int64, int64, {OUT}, int64)", cache=True)
def give_out(held, held_value, wheel, marks, shift, before_us, out_t_us, out_unit, out_value, written):
    """Moves the events due before `before_us` behind the `written` ones, sorted by (t, unit); returns the new number."""
    n = collect(held, wheel, marks, shift, before_us)
    merge_sort(held, n)
    for k in range(n):
        place = held[ORDER, k]
        out_t_us[written + k] = held[DUE, place]
        out_unit[written + k] = np.uint32(held[UNIT, place])
        if out_value.shape[0] > 0:
            out_value[written + k] = held_value[place]
        held[NEXT, place] = marks[FREE]
        marks[FREE] = place
    marks[COUNT] -= n
    return written + n


@njit(f"int64({READ_I8}, {READ_U4}, {READ_F4}, {READ_I8}, int64, int64, int64, int64[:, ::1], float32[::1], int64[:, ::1], "
      f"int64[::1], {OUT})", cache=True)  # fmt: skip
def delay(t_us, unit, value, delay_us, least_us, shift, before_us, held, held_value, wheel, marks, out_t_us, out_unit, out_value):
    """Takes in the events and writes those due before `before_us`, sorted by (t, unit); returns how many.

    An event of unit i at t is due at t + delay_us[i]. Slot k % slots of the wheel, slots being a power of two, chains the events
    due in [k 2^shift, (k+1) 2^shift); all delays lie within half of it, and it is emptied before an event would begin a new lap.

    t_us, unit, value (n,): the events; value (0,) for spikes. delay_us (units,). held (5, room): due, unit, place of the next in
    its chain, and two rows of scratch; held_value (room,), or (0,). wheel (2, slots): first and last place of each chain.
    marks (4,): the earliest slot not emptied, the first free place, the number held, a time before which nothing is due.
    room >= the number held + n; so long are out_t_us, out_unit, out_value ((0,) for spikes).
    """
    slots, graded = wheel.shape[1], value.shape[0] > 0
    written = 0
    for e in range(t_us.shape[0]):
        due_us = t_us[e] + delay_us[unit[e]]
        if (due_us >> shift) - marks[SLOT] >= slots:
            written = give_out(held, held_value, wheel, marks, shift, t_us[e] + least_us, out_t_us, out_unit, out_value, written)
        place, slot = marks[FREE], (due_us >> shift) % slots
        marks[FREE] = held[NEXT, place]
        marks[COUNT] += 1
        held[DUE, place], held[UNIT, place], held[NEXT, place] = due_us, unit[e], END
        if graded:
            held_value[place] = value[e]
        if wheel[HEAD, slot] == END:
            wheel[HEAD, slot] = place
        else:
            held[NEXT, wheel[TAIL, slot]] = place
        wheel[TAIL, slot] = place
    written = give_out(held, held_value, wheel, marks, shift, before_us, out_t_us, out_unit, out_value, written)
    quiet = marks[SLOT]
    while marks[COUNT] > 0 and wheel[HEAD, quiet % slots] == END:
        quiet += 1
    marks[QUIET] = quiet << shift
    return written
