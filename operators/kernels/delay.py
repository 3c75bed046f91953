"""The kernel of delay: events go into a wheel of time slots, and come out of it in order once their delay is over."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

DUE, UNIT, NEXT = 0, 1, 2  # the rows of `held`
HEAD, TAIL = 0, 1  # the rows of `wheel`
SLOT, FREE, COUNT = 0, 1, 2  # the entries of `marks`
END = -1  # where a chain of held events ends

READ_I8, READ_U4, READ_F4 = (f"Array({kind}, 1, 'C', readonly=True)" for kind in ("int64", "uint32", "float32"))
WHEEL = "int64[:, ::1], float32[::1], int64[:, ::1], int64[::1], int64[:, ::1]"
OUT = "int64[::1], uint32[::1], float32[::1], int64"


@njit("void(int64[:, ::1], int64[:, ::1], int64)", cache=True)
def merge_sort(held, order, n):
    """Sorts the first n places in order[0] by (due, unit) of the event held there; equals keep their order. order[1]: scratch."""
    source, target = order[0], order[1]
    swapped = False
    width = 1
    while width < n:
        for begin in range(0, n, 2 * width):
            middle, end = min(begin + width, n), min(begin + 2 * width, n)
            left, right = begin, middle
            for k in range(begin, end):
                take_right = left == middle
                if left < middle and right < end:
                    a, b = source[left], source[right]
                    later_us = held[DUE, a] - held[DUE, b]
                    take_right = later_us > 0 or (later_us == 0 and held[UNIT, a] > held[UNIT, b])
                if take_right:
                    target[k] = source[right]
                    right += 1
                else:
                    target[k] = source[left]
                    left += 1
        source, target = target, source
        swapped = not swapped
        width *= 2
    if swapped:
        for k in range(n):
            target[k] = source[k]


@njit(f"int64({WHEEL}, int64, int64, {OUT})", cache=True)
def empty_slot(held, held_value, wheel, marks, order, slot, before_us, out_t_us, out_unit, out_value, written):
    """Moves the events of `slot` that are due before `before_us` behind the `written` ones, in order; returns the new number."""
    n = 0
    rest_head, rest_tail = END, END
    place = wheel[HEAD, slot]
    while place != END:
        after = held[NEXT, place]
        if held[DUE, place] < before_us:
            order[0, n] = place
            n += 1
        else:
            if rest_tail == END:
                rest_head = place
            else:
                held[NEXT, rest_tail] = place
            held[NEXT, place] = END
            rest_tail = place
        place = after
    wheel[HEAD, slot], wheel[TAIL, slot] = rest_head, rest_tail
    merge_sort(held, order, n)
    for k in range(n):
        place = order[0, k]
        out_t_us[written + k] = held[DUE, place]
        out_unit[written + k] = np.uint32(held[UNIT, place])
        if out_value.shape[0] > 0:
            out_value[written + k] = held_value[place]
        held[NEXT, place] = marks[FREE]
        marks[FREE] = place
    marks[COUNT] -= n
    return written + n


@njit(f"int64({WHEEL}, int64, int64, {OUT})", cache=True)
def turn(held, held_value, wheel, marks, order, width_us, before_us, out_t_us, out_unit, out_value, written):
    """Empties every slot that lies wholly before `before_us`, the earliest first; returns the new number of events written."""
    slots = wheel.shape[1]
    slot, stop = marks[SLOT], before_us // width_us
    if stop <= slot:
        return written
    for k in range(slot, min(stop, slot + slots)):
        if marks[COUNT] == 0:
            break
        if wheel[HEAD, k % slots] != END:
            written = empty_slot(held, held_value, wheel, marks, order, k % slots, before_us,
                                 out_t_us, out_unit, out_value, written)  # fmt: skip
    marks[SLOT] = stop
    return written


@njit(f"int64({READ_I8}, {READ_U4}, {READ_F4}, {READ_I8}, int64, int64, int64, {WHEEL}, int64[::1], uint32[::1], float32[::1])",
      cache=True)  # fmt: skip
def delay(t_us, unit, value, delay_us, least_us, width_us, before_us, held, held_value, wheel, marks, order,
          out_t_us, out_unit, out_value):  # fmt: skip
    """Takes in the events and writes those due before `before_us`, sorted by (t, unit); returns how many.

    An event of unit i at t is due at t + delay_us[i]. Slot k % slots of the wheel chains the events due in
    [k width_us, (k+1) width_us). There are slots for the least to the greatest delay, each emptied before its next lap.

    t_us, unit, value (n,): the events; value (0,) for spikes. delay_us (units,). held (3, room): due, unit, place of the next
    in its chain; held_value (room,), or (0,). wheel (2, slots): first and last place of each chain. marks (3,): the earliest
    slot not emptied, the first free place, the number held. order (2, room): scratch. room >= the number held + n, and
    so long are out_t_us, out_unit, out_value ((0,) for spikes). Source: R. Brown, Calendar queues (1988).
    """
    slots = wheel.shape[1]
    written = 0
    for e in range(t_us.shape[0]):
        written = turn(held, held_value, wheel, marks, order, width_us, t_us[e] + least_us,
                       out_t_us, out_unit, out_value, written)  # fmt: skip
        place = marks[FREE]
        marks[FREE] = held[NEXT, place]
        marks[COUNT] += 1
        held[DUE, place] = t_us[e] + delay_us[unit[e]]
        held[UNIT, place] = unit[e]
        held[NEXT, place] = END
        if value.shape[0] > 0:
            held_value[place] = value[e]
        slot = held[DUE, place] // width_us % slots
        if wheel[HEAD, slot] == END:
            wheel[HEAD, slot] = place
        else:
            held[NEXT, wheel[TAIL, slot]] = place
        wheel[TAIL, slot] = place
    written = turn(held, held_value, wheel, marks, order, width_us, before_us, out_t_us, out_unit, out_value, written)
    slot = marks[SLOT] % slots
    if wheel[HEAD, slot] != END and before_us % width_us != 0:
        written = empty_slot(held, held_value, wheel, marks, order, slot, before_us, out_t_us, out_unit, out_value, written)
    return written
