"""The kernels of events that arrive over several later ticks, there and back: what training of delays of synapses runs."""

from __future__ import annotations

from numba import njit

MATRIX, VOLUME, READ_VOLUME = "float32[:, ::1]", "float32[:, :, ::1]", "Array(float32, 3, 'C', readonly=True)"


@njit(f"void({READ_VOLUME}, {READ_VOLUME}, {MATRIX}, {VOLUME})", cache=True, nogil=True)
def spread(x, kernel, room, out):
    """out[t, b, j] = sum over lags l and inputs i of kernel[i, l, j] x[t - l, b, i], work being done for the x that are not 0.

    x (T, B, n), kernel (n, lags, m), out (T', B, m); room (T', m). What would arrive at tick T' or later is left out.
    """
    nothing = kernel.dtype.type(0.0)
    for b in range(x.shape[1]):
        room[:] = nothing  # one sample at a time, in memory that lies together
        for t in range(x.shape[0]):
            for i in range(x.shape[2]):
                value = x[t, b, i]
                if value != nothing:
                    for lag in range(min(kernel.shape[1], room.shape[0] - t)):
                        for j in range(room.shape[1]):
                            room[t + lag, j] += value * kernel[i, lag, j]
        out[:, b] = room


@njit(f"void({READ_VOLUME}, {READ_VOLUME}, {MATRIX}, {VOLUME})", cache=True, nogil=True)
def spread_back(x, delta, room, grad):
    """grad[i, l, j] = sum over t and b of x[t, b, i] delta[t + l, b, j]: what a kernel of `spread` is owed for what its out is.

    x (T, B, n), delta (T', B, m), grad (n, lags, m); room (T', m).
    """
    nothing = grad.dtype.type(0.0)
    grad[:] = nothing
    for b in range(x.shape[1]):
        room[:] = delta[:, b]
        for t in range(x.shape[0]):
            for i in range(x.shape[2]):
                value = x[t, b, i]
                if value != nothing:
                    for lag in range(min(grad.shape[1], room.shape[0] - t)):
                        for j in range(room.shape[1]):
                            grad[i, lag, j] += value * room[t + lag, j]
