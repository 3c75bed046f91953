"""The kernel of pool: gives events the addresses of the windows that they lie in."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.columns import EVENTS, INT64, OUT
from operators.kernels.order import order_runs

SIGNATURE = f"int64({EVENTS}, int64, int64, {INT64}, {INT64}, float32, int64, {OUT})"


@njit(SIGNATURE, cache=True)
def pool(t_us, unit, value, plane, windows, starts, belongs, factor, once, out_t_us, out_unit, out_value):
    """Writes each event once for every window that its pixel lies in, in order; returns how many there are.

    plane, windows: pixels of a channel and windows on it. Pixel p lies in the windows belongs[k], k from starts[p] on.
    value: (n,) float32, or (0,) for spikes; out_value: (0,), or filled with value times factor. once: of equal times and
    units one is left.
    """
    written = 0
    graded = out_value.shape[0] > 0
    for i in range(t_us.shape[0]):
        channel = unit[i] // np.uint32(plane)
        pixel = unit[i] - channel * np.uint32(plane)
        for k in range(starts[pixel], starts[pixel + 1]):
            out_t_us[written] = t_us[i]
            out_unit[written] = np.int64(channel) * windows + belongs[k]
            if graded:
                out_value[written] = value[i] * factor if value.shape[0] > 0 else factor
            written += 1
    order_runs(out_t_us, out_unit, out_value, written)
    if not once:
        return written
    left = min(written, 1)
    for i in range(1, written):
        out_t_us[left] = out_t_us[i]
        out_unit[left] = out_unit[i]
        left += int(out_unit[i] != out_unit[left - 1] or out_t_us[i] != out_t_us[left - 1])
    return left
