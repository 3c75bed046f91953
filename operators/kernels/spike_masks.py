"""The spikes that masks of 64 units stand for: what the kernels of lif and quantised_lif share.

The masks of several ticks become spikes together: a jump that the processor guesses wrong costs as much as adding a row of
weights, and would hold up the next tick's loads.
"""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.lanes import write_units

SLACK = 16  # entries behind the room for spikes that may be written to
SIXTEEN = np.uint64(16)


@njit("int64(uint64[:, ::1], int64[::1], int64, int64[::1], uint32[::1], int64)", cache=True)
def write_spikes(fired, fired_us, ticks, out_t_us, out_unit, written):
    """Turns the first `ticks` rows of masks into spikes behind the `written` ones, in order of (t, unit); returns the new number.

    Bit c of fired[k, w]: unit 64 w + c fired at fired_us[k]. What is written behind the last spike is overwritten or ignored.
    """
    to = np.uint64(written)
    for k in range(ticks):
        begin = to
        for w in range(fired.shape[1]):
            to += write_units(fired[k, w], np.uint32(64 * w), out_unit, to)
        now = fired_us[k]
        for c in range(16):
            out_t_us[begin + np.uint64(c)] = now
        while begin + SIXTEEN < to:
            begin += SIXTEEN
            for c in range(16):
                out_t_us[begin + np.uint64(c)] = now
    return np.int64(to)
