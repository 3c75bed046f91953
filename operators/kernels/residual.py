"""The kernels of residual: order one stream, merge two."""

from __future__ import annotations

from numba import njit

from operators.kernels.order import order_runs

COLUMNS = "Array(int64, 1, 'C', readonly=True), Array(uint32, 1, 'C', readonly=True), Array(float32, 1, 'C', readonly=True)"


@njit(f"void({COLUMNS}, int64[::1], uint32[::1], float32[::1])", cache=True)
def order(t_us, unit, value, out_t_us, out_unit, out_value):
    """Copies events and puts them in order of (t, unit). value, out_value: (0,) on spikes."""
    out_t_us[:] = t_us
    out_unit[:] = unit
    out_value[:] = value
    order_runs(out_t_us, out_unit, out_value, t_us.shape[0])


@njit(f"void({COLUMNS}, {COLUMNS}, int64[::1], uint32[::1], float32[::1])", cache=True)
def merge(a_t_us, a_unit, a_value, b_t_us, b_unit, b_value, out_t_us, out_unit, out_value):
    """Merges two streams that are in order of (t, unit); where both are equal, a's events come first.

    out_*: as long as a and b together, filled. All values: (0,) on spikes.
    """
    n_a, n_b = a_t_us.shape[0], b_t_us.shape[0]
    graded = out_value.shape[0] > 0
    a = 0
    b = 0
    for i in range(n_a + n_b):
        if b == n_b:
            from_a = True
        elif a == n_a:
            from_a = False
        elif a_t_us[a] != b_t_us[b]:
            from_a = a_t_us[a] < b_t_us[b]
        else:
            from_a = a_unit[a] <= b_unit[b]
        if from_a:
            out_t_us[i] = a_t_us[a]
            out_unit[i] = a_unit[a]
            if graded:
                out_value[i] = a_value[a]
            a += 1
        else:
            out_t_us[i] = b_t_us[b]
            out_unit[i] = b_unit[b]
            if graded:
                out_value[i] = b_value[b]
            b += 1
