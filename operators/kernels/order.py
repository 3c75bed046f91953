"""Puts the events of one microsecond in order of their unit, in place: recordings keep the sensor's order, operators do not."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

SHIFTS_PER_EVENT = 16  # insertion gives up beyond this mean; real recordings hold short runs or nearly ordered ones


@njit("void(int64[::1], uint32[::1], float32[::1], int64)", cache=True)
def merge_sort_runs(t_us, unit, value, n):
    """What order_runs does, in n log n for long runs far out of order; this alone allocates."""
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


@njit("void(int64[::1], uint32[::1], float32[::1], int64)", cache=True)
def order_runs(t_us, unit, value, n):
    """Sorts the first n of unit (and of value, unless that is empty) inside each run of equal t_us; equal units keep their order.

    t_us: (n,) int64 us, non-decreasing. unit: (n,) uint32. value: (n,) float32, or (0,) for spikes.
    """
    graded = value.shape[0] > 0
    patience = SHIFTS_PER_EVENT * n
    for i in range(1, n):
        if t_us[i] != t_us[i - 1] or unit[i] >= unit[i - 1]:
            continue
        moved = unit[i]
        time = t_us[i]
        place = i
        while place > 0 and t_us[place - 1] == time and unit[place - 1] > moved:
            unit[place] = unit[place - 1]
            place -= 1
        unit[place] = moved
        if graded:
            moved_value = value[i]
            for k in range(i, place, -1):
                value[k] = value[k - 1]
            value[place] = moved_value
        patience -= i - place
        if patience < 0:
            merge_sort_runs(t_us, unit, value, n)
            return
