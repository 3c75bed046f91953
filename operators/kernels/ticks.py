"""What the kernels of neurons with two states share: the next tick, its input, and silence by a bound and a closed form."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.clock import CURSOR, EVENTS, LAST, MATRIX, OPEN, READ_F4, READ_I8, STOP, UNSETTLED
from operators.kernels.tick_parts import add_rows

REST, GAIN, ROOM = 0, 2, 6  # the rows of `bound`

POWERS = "Array(float64, 4, 'C', readonly=True)"
# Of every kernel of neurons with two states x and y: see run_ticks in cuba_lif.
SIGNATURE = (
    f"int64(float32[::1], float32[::1], float32[::1], int64[::1], {MATRIX}, {READ_F4}, {MATRIX}, {POWERS}, "
    f"{MATRIX}, int64, int64, {EVENTS}, int64[::1], uint32[::1])"
)


@njit(f"int64(int64[::1], int64, {READ_I8})", cache=True)
def open_tick(clock, tick_us, t_us):
    """Begins the next tick that has input or must be run, unless one is open; the ticks since the last one run.

    0: one was open already. -1: there is none before STOP, nor input of tick STOP.
    """
    if clock[OPEN]:
        return 0
    at, stop = clock[CURSOR], clock[STOP]
    n = t_us.shape[0]
    tick = clock[LAST] + 1 if clock[UNSETTLED] else t_us[at] // tick_us if at < n else stop
    if tick >= stop and not (at < n and t_us[at] < (tick + 1) * tick_us):
        return -1
    m = tick - clock[LAST]
    clock[LAST], clock[OPEN] = tick, 1
    return m


@njit(f"void(float32[::1], int64[::1], {MATRIX}, int64, {EVENTS})", cache=True)
def take_in(current, clock, weight, tick_us, t_us, unit, value):
    """current <- current + weight[i] value_i over the events of the open tick, in their order."""
    clock[CURSOR] = add_rows(current, weight, t_us, unit, value, clock[CURSOR], (clock[LAST] + 1) * tick_us)


@njit(f"void(int64, {POWERS}, float32[::1], float32[::1])", cache=True)
def pass_silence(m, powers, x, y):
    """(x, y) after m ticks without input: each is (x, y) <- A (x, y) + b; together A^m (x, y) + (A^(m-1) + ... + 1) b.

    powers (levels, 2, 3, n_out) float64: A^(2^k) and the sum of A^0 ... A^(2^k - 1) times b. Those of the binary digits of m
    are applied, the lowest first, in float64; x and y are rounded once, at the end.
    """
    top = powers.shape[0] - 1
    for j in range(x.shape[0]):
        left, k = m, 0
        u, w = np.float64(x[j]), np.float64(y[j])
        while left > 0:
            if k == top or left & 1:
                v = powers[k, 0, 0, j] * u + powers[k, 0, 1, j] * w + powers[k, 0, 2, j]
                w = powers[k, 1, 0, j] * u + powers[k, 1, 1, j] * w + powers[k, 1, 2, j]
                u = v
            if k < top:
                left >>= 1
                k += 1
            else:
                left -= 1
        x[j], y[j] = np.float32(u), np.float32(w)


@njit(f"int64(float32[::1], float32[::1], {MATRIX}, float32)", cache=True)
def count_unsettled(x, y, bound, zero):
    """How many neurons might reach their thresholds in silence, by the bound of operators/silence.py."""
    unsettled = 0
    for j in range(x.shape[0]):
        dx, dy = x[j] - bound[REST, j], y[j] - bound[REST + 1, j]
        most = max(dx, zero) * bound[GAIN, j] + max(-dx, zero) * bound[GAIN + 1, j]
        most += max(dy, zero) * bound[GAIN + 2, j] + max(-dy, zero) * bound[GAIN + 3, j]
        unsettled += not most < bound[ROOM, j]
    return unsettled


@njit("void(float64[:, :, ::1], float64[:, ::1], int64, float64[:, ::1])", cache=True)
def greatest_responses(matrix, read, longest, gains):
    """gains (4, n_out): the greatest of r_x, -r_x, r_y, -r_y, or 0, over all n >= 1, r being read A^n of each neuron.

    matrix (2, 2, n_out): A. read (2, n_out). Followed until all |A^n| < e = 2^-14; what comes later is less than 2 e times the
    greatest so far, which is added. Where `longest` ticks do not suffice, the gains are 1e30: the neuron settles at rest alone.
    """
    for j in range(matrix.shape[2]):
        a, b, c, d = matrix[0, 0, j], matrix[0, 1, j], matrix[1, 0, j], matrix[1, 1, j]
        p, q, r, s = a, b, c, d  # A^n
        up_x, down_x, up_y, down_y = 0.0, 0.0, 0.0, 0.0
        n = 1
        while True:
            rx, ry = read[0, j] * p + read[1, j] * r, read[0, j] * q + read[1, j] * s
            up_x, down_x, up_y, down_y = max(up_x, rx), max(down_x, -rx), max(up_y, ry), max(down_y, -ry)
            if max(abs(p), abs(q), abs(r), abs(s)) < 2.0**-14 or n >= longest:
                break
            p, q, r, s = a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s
            n += 1
        later = 2.0**-13 * max(up_x, down_x, up_y, down_y) if n < longest else 1e30
        gains[0, j], gains[1, j], gains[2, j], gains[3, j] = up_x + later, down_x + later, up_y + later, down_y + later


@njit(f"int64({READ_F4}, {READ_F4}, int64, int64[::1], uint32[::1], int64)", cache=True)
def write_spikes(v, threshold, t_us, out_t_us, out_unit, written):
    """Writes a spike of every neuron with v >= threshold behind the `written` ones, to room for n_out; their new number."""
    n_out, fired, begin = v.shape[0], 0, written
    for j in range(n_out):
        fired += v[j] >= threshold[j]
    if fired:
        for j in range(n_out):  # each is written, and stays if it spiked: without a branch that cannot be predicted
            out_unit[written] = j
            written += v[j] >= threshold[j]
        out_t_us[begin:written] = t_us
    return written
