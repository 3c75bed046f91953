"""The kernel of delay_motion: an event adds slices of the kernels to future evidence; what is evident at a tick is written."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import math

import numpy as np
from numba import njit

from operators.kernels.clock import CURSOR, EVENTS, LAST, MATRIX, OPEN, READ_F4, READ_I8, STOP
from operators.kernels.order import order_runs

BEGIN, UNTIL = 0, 1  # the entries of `due`
DELAY, DOWN, RIGHT = 0, 1, 2  # the columns of `taps`

TAPS = "Array(int64, 2, 'C', readonly=True)"


@njit(
    f"void(float32[:, :, ::1], uint8[:, ::1], int64, {TAPS}, {MATRIX}, {READ_I8}, int64, int64, int64, float32)", cache=True
)
def spread(coming, reached, tick, taps, weight, first, place, height, width, x):
    """Adds weight[k] x of each tap k of the event's polarity to the evidence of tick + its delay, at its place in the picture."""
    slots, classes = coming.shape[0], weight.shape[1]
    polarity, at = place // (height * width), place % (height * width)
    for k in range(first[polarity], first[polarity + 1]):
        row, column = at // width + taps[k, DOWN], at % width + taps[k, RIGHT]
        if 0 <= row < height and 0 <= column < width:
            slot, target = (tick + taps[k, DELAY]) % slots, row * width + column
            reached[slot, target] = 1
            for c in range(classes):
                coming[slot, target, c] += weight[k, c] * x


@njit(
    f"int64(float32[:, ::1], uint8[::1], {READ_F4}, float32, int64, int64[::1], uint32[::1], float32[::1], int64)", cache=True
)
def look(evidence, reached, bias, level, t_us, out_t_us, out_unit, out_value, written):
    """Writes the winner of every place that was reached, if its evidence is at least `level`, sorted by unit; all is 0 again."""
    places, classes = evidence.shape
    begin = written
    for place in range(places):
        if reached[place]:
            reached[place] = 0
            winner, greatest = 0, bias[0] + evidence[place, 0]
            for c in range(classes):
                found = bias[c] + evidence[place, c]
                if found > greatest:
                    winner, greatest = c, found
                evidence[place, c] = 0
            if greatest >= level:
                out_t_us[written] = t_us
                out_unit[written] = winner * places + place
                out_value[written] = np.float32(1 / (1 + math.exp(-np.float64(greatest))))
                written += 1
    order_runs(out_t_us[begin:written], out_unit[begin:written], out_value[begin:written], written - begin)
    return written


@njit(
    f"int64(float32[:, :, ::1], uint8[:, ::1], int64[::1], int64[::1], {TAPS}, {MATRIX}, {READ_I8}, {READ_F4}, float32, int64, "
    f"int64, int64, {EVENTS}, int64[::1], uint32[::1], float32[::1])",
    cache=True,
)
def run_ticks(coming, reached, due, clock, taps, weight, first, bias, level, height, width, tick_us,
              t_us, unit, value, out_t_us, out_unit, out_value):  # fmt: skip
    """Takes in all events and writes what is evident in the ticks before clock[STOP], sorted by (t, unit); returns how many.

    coming (slots, places, classes) f4: the evidence without bias of each of the next ticks, tick k in row k modulo slots;
    reached (slots, places) u1: where a tap reached. due (2,): the first and the last tick that a tap may have reached. clock
    (5,): last tick looked at, whether more may come, unused, first tick not to close, next event. All edited. taps (n, 3):
    delay in ticks, rows down, columns right; weight (n, classes): of each; first (polarities + 1,): where those of a polarity
    begin. value (n,), or (0,) for spikes. out_t_us, out_unit, out_value: at least a picture long; it stops before a tick that
    might not fit.
    """
    last, stop, at = clock[LAST], clock[STOP], clock[CURSOR]
    n, room, slots = t_us.shape[0], out_t_us.shape[0], coming.shape[0]
    written = 0
    while written + height * width <= room:
        limit = min(stop, t_us[at] // tick_us) if at < n else stop
        tick = max(last + 1, due[BEGIN]) if due[UNTIL] > last else limit
        if tick < limit:
            slot = tick % slots
            written = look(coming[slot], reached[slot], bias, level, tick * tick_us, out_t_us, out_unit, out_value, written)
            last = tick
        elif at < n:
            tick = t_us[at] // tick_us
            if due[UNTIL] <= last:
                due[BEGIN] = tick
            due[UNTIL] = tick + slots - 1
            while at < n and t_us[at] < (tick + 1) * tick_us:
                x = value[at] if value.shape[0] > 0 else np.float32(1)
                spread(coming, reached, tick, taps, weight, first, np.int64(unit[at]), height, width, x)
                at += 1
        else:
            break
    clock[LAST], clock[OPEN], clock[CURSOR] = last, due[UNTIL] > last, at
    return written
