"""Puts the events of one microsecond in order of their unit, in place: recordings keep the sensor's order, operators do not."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

BLOCK = 256  # events that are looked at before any is moved
SHIFTS_PER_EVENT = 16  # insertion gives up beyond this mean; recordings hold short runs, or long ones nearly in order


@njit("void(int64[::1], uint32[::1], float32[::1], int64)", cache=True)
def merge_sort_runs(t_us, unit, value, n):
    """What order_runs does, in n log n, for long runs far out of order."""
    begin = 0
    while begin < n:
        end = begin + 1
        while end < n and t_us[end] == t_us[begin]:
            end += 1
        if end - begin > 1:
            order = np.argsort(unit[begin:end], kind="mergesort")
            unit[begin:end] = unit[begin:end][order]
            if value.shape[0] > 0:
                value[begin:end] = value[begin:end][order]
        begin = end


@njit("int64(int64[::1], uint32[::1], float32[::1], int64)", cache=True)
def insert(t_us, unit, value, i):
    """Moves event i in front of the greater units of its time, all before it being in order. Returns by how many places."""
    time = t_us[i]
    moved = unit[i]
    place = i
    while place > 0 and t_us[place - 1] == time and unit[place - 1] > moved:
        unit[place] = unit[place - 1]
        place -= 1
    unit[place] = moved
    if value.shape[0] > 0:
        moved_value = value[i]
        for k in range(i, place, -1):
            value[k] = value[k - 1]
        value[place] = moved_value
    return i - place


@njit("boolean(int64[::1], uint32[::1], float32[::1], int64)", cache=True)
def order_spikes(t_us, unit, no_values, n):
    """order_runs for spikes within 2**31 us of each other. Returns whether all was inserted before the patience ran out.

    An event's time and unit make one number, so that of a new event and the two before it the least is found by min and max,
    without a branch that could be mispredicted; seldom it lies further back still and is inserted.
    """
    patience = SHIFTS_PER_EVENT * n
    begin_us = t_us[0]
    last = np.int64(unit[0])
    one_before_last = np.int64(-1)
    for i in range(1, n):
        new = ((t_us[i] - begin_us) << 32) | np.int64(unit[i])
        smaller = min(new, last)
        last = max(new, last)
        unit[i] = np.uint32(last & 0xFFFFFFFF)
        if smaller < one_before_last:
            unit[i - 1] = np.uint32(one_before_last & 0xFFFFFFFF)
            unit[i - 2] = np.uint32(smaller & 0xFFFFFFFF)
            patience -= insert(t_us, unit, no_values, i - 2)
            if patience < 0:
                return False
        else:
            one_before_last = smaller
            unit[i - 1] = np.uint32(smaller & 0xFFFFFFFF)
    return True


@njit("void(int64[::1], uint32[::1], float32[::1], int64)", cache=True)
def order_runs(t_us, unit, value, n):
    """Sorts the first n of unit (and of value, unless that is empty) inside each run of equal t_us; equal units keep their order.

    Of graded events it is first noted, without a branch that could be mispredicted, which of a block are late: smaller than the
    greatest unit before them in their run. Then these alone are inserted where they belong.

    t_us: (n,) int64 us, non-decreasing. unit: (n,) uint32. value: (n,) float32, or (0,) for spikes.
    """
    if n < 2:
        return
    if value.shape[0] == 0 and t_us[n - 1] - t_us[0] < 2**31:
        if not order_spikes(t_us, unit, value, n):
            merge_sort_runs(t_us, unit, value, n)
        return
    late = np.empty(min(BLOCK, n), np.int64)
    patience = SHIFTS_PER_EVENT * n
    time = t_us[0]
    greatest = unit[0]
    for begin in range(1, n, BLOCK):
        found = 0
        for i in range(begin, min(begin + BLOCK, n)):
            same = t_us[i] == time
            late[found] = i
            found += same & (unit[i] < greatest)
            greatest = max(unit[i], greatest) if same else unit[i]
            time = t_us[i]
        for k in range(found):
            patience -= insert(t_us, unit, value, late[k])
        if patience < 0:
            merge_sort_runs(t_us, unit, value, n)
            return
