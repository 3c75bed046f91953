"""The kernel of ei_lif: ticks with input are run, each with the balance of its excitation and inhibition."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

from numba import njit

from operators.kernels.clock import CURSOR, EVENTS, LAST, MATRIX, OPEN, READ_F4, READ_F8, STOP, UNSETTLED
from operators.kernels.tick_parts import add_rows, fire, leak, reaches


@njit(f"void(float32[::1], float32[::1], float32[::1], float32[:, ::1], {MATRIX}, {READ_F4}, {READ_F4})", cache=True)
def balance(v, e, h, sums, weight_ei, gain_e, gain_i):
    """v <- v + gain_e (e - h weight_ei) / ((gain_i h) weight_ei) where the divisor is above 0; e and h go back to 0.

    sums (2, n_out): scratch, what is subtracted and what it is divided by, summed in the order of the inhibitory neurons.
    """
    sums[:] = 0
    for k in range(h.shape[0]):
        if h[k] != 0:
            divides = gain_i[k] * h[k]
            for j in range(v.shape[0]):
                sums[0, j] += h[k] * weight_ei[k, j]
                sums[1, j] += divides * weight_ei[k, j]
            h[k] = 0
    for j in range(v.shape[0]):
        if sums[1, j] > 0:
            v[j] += gain_e[j] * (e[j] - sums[0, j]) / sums[1, j]
        e[j] = 0


@njit(
    f"int64(float32[::1], float32[::1], float32[::1], int64[::1], float32[:, ::1], {MATRIX}, {MATRIX}, {MATRIX}, {READ_F4}, "
    f"{READ_F4}, {READ_F4}, {READ_F4}, {READ_F4}, {READ_F8}, int64, int64, {EVENTS}, int64[::1], uint32[::1])",
    cache=True,
)
def run_ticks(v, e, h, clock, sums, weight_e, weight_i, weight_ei, gain_e, gain_i, threshold, ceiling, bias, decay, tick_us,
              to_zero, t_us, unit, value, out_t_us, out_unit):  # fmt: skip
    """Takes in all events, runs the ticks before clock[STOP] and writes their spikes, sorted by (t, unit); returns how many.

    At tick k, m ticks after the last one run: v <- v d^m + b grown(m), then `balance` of this tick's events; where
    v >= threshold a spike at k tick_us, and v <- v - threshold, or 0. A tick is run if it has events, or if some v >= ceiling
    after the one before. Tick clock[STOP] is not closed yet: its events are added to e and h as they come.

    v, e (n_out,), h (n_inhibitory,) f4: membranes, and the open tick's excitation and inhibition. clock (5,): last tick begun,
    whether it is open, whether some v >= ceiling after the one before, first tick not to close, next event. All edited. sums
    (2, n_out): scratch. bias (n_out,), or (0,). decay: see leak. value (n,), or (0,) for spikes. out_t_us, out_unit: at least
    n_out long; it stops before a tick that might not fit.
    """
    last, open_, unsettled, stop, at = clock[LAST], clock[OPEN], clock[UNSETTLED], clock[STOP], clock[CURSOR]
    n, n_out, room = t_us.shape[0], v.shape[0], out_t_us.shape[0]
    written = 0
    while written + n_out <= room:
        if not open_:
            tick = last + 1 if unsettled else t_us[at] // tick_us if at < n else stop
            if tick >= stop and not (at < n and t_us[at] < (tick + 1) * tick_us):
                break
            leak(tick - last, v, bias, decay)
            last, open_ = tick, 1
        add_rows(e, weight_e, t_us, unit, value, at, (last + 1) * tick_us)
        at = add_rows(h, weight_i, t_us, unit, value, at, (last + 1) * tick_us)
        if last >= stop:
            break
        balance(v, e, h, sums, weight_ei, gain_e, gain_i)
        open_, unsettled = 0, reaches(v, ceiling)
        if unsettled:
            written = fire(v, threshold, to_zero, last * tick_us, out_t_us, out_unit, written)
            unsettled = reaches(v, ceiling)
    clock[LAST], clock[OPEN], clock[UNSETTLED], clock[CURSOR] = last, open_, unsettled, at
    return written
