"""The kernel of hold: on every tick each unit gives out its latest value."""

from __future__ import annotations

from numba import njit

from operators.kernels.columns import EVENTS, OUT

EVENT, TICK, UNIT, LIVE = 0, 1, 2, 3  # the places of marks


@njit("boolean(float32)", cache=True)
def is_live(value):
    """Whether it is given out: no zero, and a number."""
    return value > 0 or value < 0


@njit(f"int64({EVENTS}, int64[::1], int64, int64, float32[::1], {OUT})", cache=True)
def hold(t_us, unit, value, marks, tick_us, until, held, out_t_us, out_unit, out_value):
    """Closes the ticks before `until`, taking each event into `held` before its tick closes. Returns how many values came out.

    A full output stops it between two units; it goes on from marks when called again, and is done when marks[TICK] is `until`.
    marks: (4,) int64, the next event, tick and unit, and how many units hold what is given out. held: (units,) float32.
    """
    i, tick, u, live = int(marks[EVENT]), int(marks[TICK]), int(marks[UNIT]), int(marks[LIVE])
    n = 0
    while True:
        while i < t_us.shape[0] and t_us[i] < (tick + 1) * tick_us:
            live += int(is_live(value[i])) - int(is_live(held[unit[i]]))
            held[unit[i]] = value[i]
            i += 1
        if live == 0 and tick < until:
            tick = min(until, int(t_us[i]) // tick_us) if i < t_us.shape[0] else until
            if i < t_us.shape[0]:
                continue
        if tick == until:
            break
        while u < held.shape[0] and n < out_t_us.shape[0]:
            if is_live(held[u]):
                out_t_us[n] = tick * tick_us
                out_unit[n] = u
                out_value[n] = held[u]
                n += 1
            u += 1
        if u < held.shape[0]:
            break
        u = 0
        tick += 1
    marks[EVENT], marks[TICK], marks[UNIT], marks[LIVE] = i, tick, u, live
    return n
