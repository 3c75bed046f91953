"""The kernel of linear_attention: ticks with input are run; keys times values are added up, and queries read the sum."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import math

import numpy as np
from numba import njit

from operators.kernels.clock import CURSOR, EVENTS, LAST, MATRIX, OPEN, READ_F4, READ_F8, STOP, UNSETTLED
from operators.kernels.tick_parts import add_rows, fire, leak, reaches


@njit(f"void(int64, float32[:, :, ::1], {READ_F8})", cache=True)
def forget(m, sums, memory):
    """S_h <- S_h g_h^m, the power in float64, rounded to float32."""
    for h in range(sums.shape[0]):
        if memory[h] != 1:
            keep = np.float32(math.pow(memory[h], np.float64(m)))
            for i in range(sums.shape[1]):
                for j in range(sums.shape[2]):
                    sums[h, i, j] *= keep


@njit(f"void(float32[:, :, ::1], uint32[::1], int64, int64, float32[::1], {READ_F4}, float32[::1])", cache=True)
def attend(sums, fired, n, n_keys, read, scale, o):
    """S_h <- S_h + k_h^T v_h, o <- o + scale q_h S_h; fired[:n]: the neurons of this tick in order, queries, keys, values.

    sums (heads, keys, values). read (n_out,): scratch.
    """
    keys, values = sums.shape[1], sums.shape[2]
    read[:] = 0
    for k in range(n):
        key = np.int64(fired[k]) - n_keys
        if 0 <= key < n_keys:
            for w in range(k + 1, n):
                value = np.int64(fired[w]) - 2 * n_keys
                if value >= 0 and value // values == key // keys:
                    sums[key // keys, key % keys, value % values] += np.float32(1)
    for k in range(n):
        query = np.int64(fired[k])
        if query < n_keys:
            for j in range(values):
                read[query // keys * values + j] += sums[query // keys, query % keys, j]
    for j in range(o.shape[0]):
        o[j] += scale[j] * read[j]


@njit(
    f"int64(float32[::1], float32[::1], float32[:, :, ::1], int64[::1], float32[::1], int64[::1], uint32[::1], {MATRIX}, "
    f"{READ_F4}, {READ_F4}, {READ_F4}, {READ_F8}, {READ_F8}, {READ_F8}, {READ_F4}, int64, int64, {EVENTS}, int64[::1], "
    "uint32[::1])",
    cache=True,
)
def run_ticks(u, o, sums, clock, read, fired_t_us, fired, weight, threshold, threshold_out, scale, decay, decay_out, memory,
              no_bias, n_keys, tick_us, t_us, unit, value, out_t_us, out_unit):  # fmt: skip
    """Takes in all events, runs the ticks before clock[STOP] and writes their spikes, sorted by (t, unit); returns how many.

    At tick k, m ticks after the last one run, u, o and S keep their m-th powers; the events are added to u; neurons at their
    threshold fire and are reset by subtraction; `attend`; then the neurons o the same way. A tick is run if it has events, or if
    a reset left some neuron at its threshold. Tick clock[STOP] is not closed yet: its events are added as they come.

    u (2 n_keys + n_out,), o (n_out,), sums (heads, keys, values) f4. clock (5,): last tick begun, whether it is open, whether
    some neuron is at its threshold, first tick not to close, next event. All edited. read (n_out,), fired_t_us, fired
    (2 n_keys + n_out,): scratch. decay, decay_out: see leak; memory (heads,) f8. value (n,), or (0,) for spikes. out_t_us,
    out_unit: at least n_out long; it stops before a tick that might not fit.
    """
    last, open_, unsettled, stop, at = clock[LAST], clock[OPEN], clock[UNSETTLED], clock[STOP], clock[CURSOR]
    n, n_out, room = t_us.shape[0], o.shape[0], out_t_us.shape[0]
    written = 0
    while written + n_out <= room:
        if not open_:
            tick = last + 1 if unsettled else t_us[at] // tick_us if at < n else stop
            if tick >= stop and not (at < n and t_us[at] < (tick + 1) * tick_us):
                break
            leak(tick - last, u, no_bias, decay)
            leak(tick - last, o, no_bias, decay_out)
            forget(tick - last, sums, memory)
            last, open_ = tick, 1
        at = add_rows(u, weight, t_us, unit, value, at, (last + 1) * tick_us)
        if last >= stop:
            break
        n_fired = fire(u, threshold, 0, last * tick_us, fired_t_us, fired, 0) if reaches(u, threshold) else 0
        attend(sums, fired, n_fired, n_keys, read, scale, o)
        written = fire(o, threshold_out, 0, last * tick_us, out_t_us, out_unit, written)
        open_, unsettled = 0, reaches(u, threshold) or reaches(o, threshold_out)
    clock[LAST], clock[OPEN], clock[UNSETTLED], clock[CURSOR] = last, open_, unsettled, at
    return written
