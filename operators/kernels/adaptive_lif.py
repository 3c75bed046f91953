"""The kernel of adaptive_lif: runs the ticks that have input, or that must be run."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.clock import LAST, OPEN, STOP, UNSETTLED
from operators.kernels.ticks import SIGNATURE, count_unsettled, open_tick, pass_silence, take_in, write_spikes

AL, SHARE, BE, A, B, THRESHOLD = range(6)  # the rows of `law`


@njit(SIGNATURE, cache=True)
def run_ticks(u, w, current, clock, weight, bias, law, powers, bound, tick_us, symplectic,
              t_us, unit, value, out_t_us, out_unit):  # fmt: skip
    """Takes in all events, runs the ticks before clock[STOP] and writes their spikes, sorted by (t, unit); returns how many.

    A tick: u <- al u + (1 - al) (I - w), I = b + sum of weight[k] value_k over its events, in their order; s = u >= threshold, a
    spike; then w <- be w + a u + b s, u <- u - threshold s, or if `symplectic` u <- 0 where s, w <- be w + a u + b s. Ticks
    without input are run while a neuron is unsettled, and passed in one step otherwise.

    u, w (n_out,) f4: the potentials and adaptations, edited. law (6, n_out): al, 1 - al, be, a, b, threshold. The others as in
    run_ticks of cuba_lif.
    """
    n_out, room, written = u.shape[0], out_t_us.shape[0], 0
    while written + n_out <= room:
        m = open_tick(clock, tick_us, t_us)
        if m < 0:
            break
        if m > 1:
            pass_silence(m - 1, powers, u, w)
        take_in(current, clock, weight, tick_us, t_us, unit, value)
        if clock[LAST] >= clock[STOP]:
            break
        for j in range(n_out):
            u[j] = law[AL, j] * u[j] + law[SHARE, j] * (current[j] - w[j])
            current[j] = bias[j]
        before = written
        written = write_spikes(u, law[THRESHOLD], clock[LAST] * tick_us, out_t_us, out_unit, written)
        if symplectic:
            for k in range(before, written):
                u[out_unit[k]] = 0
        for j in range(n_out):
            w[j] = law[BE, j] * w[j] + law[A, j] * u[j]
        for k in range(before, written):
            j = out_unit[k]
            w[j] += law[B, j]
            if not symplectic:
                u[j] -= law[THRESHOLD, j]
        clock[OPEN], clock[UNSETTLED] = 0, count_unsettled(u, w, bound, np.float32(0)) > 0
    return written
