"""The kernel of refractory: a unit that fired is deaf for a while."""

from __future__ import annotations

from numba import njit

from operators.kernels.order import order_runs

SIGNATURE = (
    "int64(Array(int64, 1, 'C', readonly=True), Array(uint32, 1, 'C', readonly=True), int64, "
    "int64[::1], int64[::1], uint32[::1], float32[::1])"
)


@njit(SIGNATURE, cache=True)
def refractory(t_us, unit, period_us, last_us, out_t_us, out_unit, no_values):
    """Passes event (t, unit) if last_us[unit] <= t - period_us, and then sets last_us[unit] = t. Returns how many passed.

    last_us: (units,) int64, the last event passed of each unit, or NEVER. out_t_us, out_unit: (n,), filled. no_values: (0,).
    """
    kept = 0
    for i in range(t_us.shape[0]):
        t = t_us[i]
        u = unit[i]
        last = last_us[u]
        passes = last <= t - period_us
        last_us[u] = t if passes else last
        out_t_us[kept] = t
        out_unit[kept] = u
        kept += passes
    order_runs(out_t_us, out_unit, no_values, kept)
    return kept
