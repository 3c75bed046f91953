"""The kernel of rate_limit: a bucket of tokens, in whole numbers, so that no cut of the stream changes it."""

from __future__ import annotations

from numba import njit

from operators.kernels.columns import EVENTS, OUT
from operators.kernels.order import order_runs

TOKEN = 1_000_000_000  # what an event costs; a rate of 1 event/s adds 1000 of it every microsecond
LEVEL, LAST_US, STARTED = 0, 1, 2  # the places of bucket


@njit(f"int64({EVENTS}, int64, int64, int64[::1], int64[::1], {OUT})", cache=True)
def rate_limit(t_us, unit, value, refill, full, bucket, dropped, out_t_us, out_unit, out_value):
    """Passes an event if the bucket holds a token for it. Returns how many passed; adds the others to dropped.

    level <- min(full, level + refill * (t - last)); an event passes and takes TOKEN if level >= TOKEN.

    refill: what a microsecond adds. full: what the bucket holds at most, and at the start. bucket: (3,) int64.
    value, out_value: (n,) float32 on graded streams, (0,) on spikes.
    """
    graded = value.shape[0] > 0
    level = full
    last_us = t_us[0] if t_us.shape[0] > 0 else 0
    if bucket[STARTED]:
        level = bucket[LEVEL]
        last_us = bucket[LAST_US]
    kept = 0
    for i in range(t_us.shape[0]):
        t = t_us[i]
        passed_us = t - last_us
        level = full if passed_us > (full - level) // refill else level + passed_us * refill
        last_us = t
        passes = level >= TOKEN
        out_t_us[kept] = t
        out_unit[kept] = unit[i]
        if graded:
            out_value[kept] = value[i]
        kept += passes
        level -= TOKEN if passes else 0
    bucket[LEVEL] = level
    bucket[LAST_US] = last_us
    bucket[STARTED] = t_us.shape[0] > 0 or bucket[STARTED]
    dropped[0] += t_us.shape[0] - kept
    order_runs(out_t_us, out_unit, out_value, kept)
    return kept
