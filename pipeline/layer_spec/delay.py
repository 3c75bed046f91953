"""Axonal delays, one a unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.layer_spec.checks import put


@dataclass(frozen=True, eq=False)
class DelaySpec:
    """Axonal delays: every spike of unit i leaves delay_us[i] later. delay_us (n,) int64 us, >= 0."""

    delay_us: np.ndarray

    def __post_init__(self) -> None:
        array = np.array(self.delay_us)
        if array.ndim != 1 or not array.size or not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f"delay_us must be a vector of whole microseconds, got {array.dtype} of shape {array.shape}")
        if array.min() < 0:
            raise ValueError(f"delay_us must be at least 0, got {array.min()}")
        array = array.astype(np.int64)
        array.setflags(write=False)
        put(self, "delay_us", array)

    @property
    def n_in(self) -> int:
        return self.delay_us.shape[0]

    @property
    def n_out(self) -> int:
        return self.delay_us.shape[0]
