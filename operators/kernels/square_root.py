"""The kernel of square_root: of n spikes of a unit in a tick, floor(sqrt(n)) pass."""

from __future__ import annotations

from numba import njit

from operators.kernels.order import order_runs

SIGNATURE = (
    "int64(Array(int64, 1, 'C', readonly=True), Array(uint32, 1, 'C', readonly=True), Array(float32, 1, 'C', readonly=True), "
    "int64, int64[::1], int64[::1], int64[::1], int64[::1], uint32[::1], float32[::1])"
)


@njit(SIGNATURE, cache=True)
def square_root(t_us, unit, value, tick_us, tick, count, passed, out_t_us, out_unit, no_values):
    """Passes a unit's spike in tick t // tick_us if it is the (passed + 1)^2-th there. Returns how many passed.

    tick, count, passed (units,) int64: of each unit the tick of its last spike, its spikes in that, and those that passed.
    value: not used. out_t_us, out_unit: (n,), filled. no_values: (0,).
    """
    kept = 0
    for i in range(t_us.shape[0]):
        t = t_us[i]
        u = unit[i]
        now = t // tick_us
        same = tick[u] == now
        n = (count[u] if same else 0) + 1
        root = (passed[u] if same else 0) + 1
        passes = n == root * root
        tick[u] = now
        count[u] = n
        passed[u] = root if passes else root - 1
        out_t_us[kept] = t
        out_unit[kept] = u
        kept += passes
    order_runs(out_t_us, out_unit, no_values, kept)
    return kept
