"""The kernel of resonate: runs the ticks that have input, or that must be run."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.clock import LAST, OPEN, STOP, UNSETTLED
from operators.kernels.ticks import SIGNATURE, count_unsettled, open_tick, pass_silence, take_in, write_spikes


@njit(SIGNATURE, cache=True)
def run_ticks(x, y, current, clock, weight, bias, law, powers, bound, tick_us, to_zero,
              t_us, unit, value, out_t_us, out_unit):  # fmt: skip
    """Takes in all events, runs the ticks before clock[STOP] and writes their spikes, sorted by (t, unit); returns how many.

    A tick: (x, y) <- (re x - im y + I, im x + re y), I = b + sum of weight[k] value_k over its events, in their order; where
    x >= threshold a spike, and x <- x - threshold, or x, y <- 0. Ticks without input are run while a neuron is unsettled, and
    passed in one step otherwise.

    x, y (n_out,) f4: real and imaginary parts, edited. law (3, n_out): re, im, threshold. The others as in run_ticks of cuba_lif.
    """
    n_out, room, written = x.shape[0], out_t_us.shape[0], 0
    while written + n_out <= room:
        m = open_tick(clock, tick_us, t_us)
        if m < 0:
            break
        if m > 1:
            pass_silence(m - 1, powers, x, y)
        take_in(current, clock, weight, tick_us, t_us, unit, value)
        if clock[LAST] >= clock[STOP]:
            break
        for j in range(n_out):
            turned = law[0, j] * x[j] - law[1, j] * y[j] + current[j]
            y[j] = law[1, j] * x[j] + law[0, j] * y[j]
            x[j] = turned
            current[j] = bias[j]
        before = written
        written = write_spikes(x, law[2], clock[LAST] * tick_us, out_t_us, out_unit, written)
        for k in range(before, written):
            j = out_unit[k]
            x[j] = np.float32(0) if to_zero else x[j] - law[2, j]
            y[j] = np.float32(0) if to_zero else y[j]
        clock[OPEN], clock[UNSETTLED] = 0, count_unsettled(x, y, bound, np.float32(0)) > 0
    return written
