"""The kernels of a batch of leaky neurons over all ticks at once, there and back: what training by surrogate gradients runs."""

from __future__ import annotations

from numba import njit

VOLUME, READ_VOLUME = "float32[:, :, ::1]", "Array(float32, 3, 'C', readonly=True)"
READ_F4 = "Array(float32, 1, 'C', readonly=True)"


@njit(f"void({READ_VOLUME}, {READ_F4}, {READ_F4}, boolean, float32[:, ::1], {VOLUME}, {VOLUME})", cache=True, nogil=True)
def scan(current, d, threshold, to_zero, v, trace, spikes):
    """v <- d v + current[t]; trace[t] = v; spikes[t] = v >= threshold; v <- v - threshold spikes[t], or 0 where it spiked.

    current, trace, spikes (T, B, n); d, threshold (n,); v (B, n) is where the neurons start, and is left where they end.
    """
    nothing, one = threshold.dtype.type(0.0), threshold.dtype.type(1.0)
    for t in range(current.shape[0]):
        for b in range(current.shape[1]):
            for j in range(current.shape[2]):
                potential = d[j] * v[b, j] + current[t, b, j]
                trace[t, b, j] = potential
                spikes[t, b, j] = one if potential >= threshold[j] else nothing
                left = nothing if to_zero else potential - threshold[j]
                v[b, j] = left if potential >= threshold[j] else potential


@njit(f"void({VOLUME}, {READ_F4}, {READ_VOLUME}, boolean)", cache=True, nogil=True)
def scan_back(delta, d, spikes, to_zero):
    """delta[t] += d delta[t + 1] k[t], the last tick first; k is 1, or with to_zero 0 where neurons spiked.

    delta (T, B, n): the gradient at each tick's v before the reset by that tick's spikes alone, then all of it.
    """
    nothing = d.dtype.type(0.0)
    for t in range(delta.shape[0] - 2, -1, -1):
        for b in range(delta.shape[1]):
            for j in range(delta.shape[2]):
                lost = to_zero and spikes[t, b, j] > nothing
                delta[t, b, j] += nothing if lost else delta[t + 1, b, j] * d[j]
