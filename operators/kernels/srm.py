"""The kernel of srm: runs the ticks that have input, or that must be run."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.clock import LAST, MATRIX, OPEN, READ_F4, READ_I8, READ_U4, STOP, UNSETTLED
from operators.kernels.ticks import POWERS, count_unsettled, open_tick, pass_silence, take_in, write_spikes

D, D_OWN, GAIN, OWN_GAIN, THRESHOLD = range(5)  # the rows of `law`


@njit(
    f"int64(float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], int64[::1], {MATRIX}, {READ_F4}, "
    f"{MATRIX}, {POWERS}, {POWERS}, {MATRIX}, int64, {READ_I8}, {READ_U4}, {READ_F4}, int64[::1], uint32[::1])",
    cache=True,
)
def run_ticks(p, q, p_own, q_own, current, clock, weight, bias, law, powers, own_powers, bound, tick_us,
              t_us, unit, value, out_t_us, out_unit):  # fmt: skip
    """Takes in all events, runs the ticks before clock[STOP] and writes their spikes, sorted by (t, unit); returns how many.

    A tick: q <- d (q + p); p <- d p + I, I = b + sum of weight[k] value_k over its events, in their order; q_own <- d_own (q_own
    + p_own); p_own <- d_own p_own; where u = gain q - own_gain q_own >= threshold a spike, and p_own <- p_own + 1. Ticks without
    input are run while a neuron is unsettled, and passed in one step otherwise.

    p, q, p_own, q_own (n_out,) f4: the states of input and of own spikes, edited. law (5, n_out): d, d_own, gain, own_gain,
    threshold. powers, own_powers: of (p, q) and of (p_own, q_own). The others as in run_ticks of cuba_lif.
    """
    n_out, room, written = q.shape[0], out_t_us.shape[0], 0
    u = np.empty(n_out, np.float32)
    while written + n_out <= room:
        m = open_tick(clock, tick_us, t_us)
        if m < 0:
            break
        if m > 1:
            pass_silence(m - 1, powers, p, q)
            pass_silence(m - 1, own_powers, p_own, q_own)
        take_in(current, clock, weight, tick_us, t_us, unit, value)
        if clock[LAST] >= clock[STOP]:
            break
        for j in range(n_out):
            q[j] = law[D, j] * (q[j] + p[j])
            p[j] = law[D, j] * p[j] + current[j]
            q_own[j] = law[D_OWN, j] * (q_own[j] + p_own[j])
            p_own[j] = law[D_OWN, j] * p_own[j]
            u[j] = law[GAIN, j] * q[j] - law[OWN_GAIN, j] * q_own[j]
            current[j] = bias[j]
        before = written
        written = write_spikes(u, law[THRESHOLD], clock[LAST] * tick_us, out_t_us, out_unit, written)
        for k in range(before, written):
            p_own[out_unit[k]] += np.float32(1)
        clock[OPEN], clock[UNSETTLED] = 0, count_unsettled(p, q, bound, np.float32(0)) > 0
    return written
