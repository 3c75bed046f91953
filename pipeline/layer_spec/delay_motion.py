"""Detectors of motion: kernels over polarity, delay and place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.layer_spec.checks import check_tick, checked, put, vector


@dataclass(frozen=True, eq=False)
class DelayMotionSpec:
    """Kernels with heterogeneous delays, slid over the picture; each place is given the most evident class, if evident enough.

    The evidence of class c at place (y, x) and tick t is

        B_c = bias_c + sum over p, d, ky, kx of kernel[c, p, d, ky, kx] * A(p, t - d, y - ky + kh // 2, x - kx + kw // 2)

    A being the counts of a tick's events. Where the greatest B_c (the lowest class on a tie) makes sigmoid(B_c) >= least, there
    is a graded event of unit (c, y, x) and value sigmoid(B_c). Only places that a kernel's tap reaches are looked at; a place
    that nothing reaches must stay below `least`.

    kernel (classes, polarities, delays, kh, kw); bias (classes,); least: a probability, sigmoid(bias_c) < least < 1; size
    (height, width) of the picture; tick_us: length of a tick.

    Source: Grimaldi and Perrinet (2023), "Learning heterogeneous delays in a layer of spiking neurons for fast motion
    detection", Biological Cybernetics 117.
    """

    kernel: np.ndarray
    bias: np.ndarray
    least: float
    size: tuple[int, int]
    tick_us: int

    def __post_init__(self) -> None:
        kernel = np.asarray(self.kernel, np.float32)
        if kernel.ndim != 5 or 0 in kernel.shape:
            raise ValueError(f"kernel must have shape (classes, polarities, delays, kh, kw), got {kernel.shape}")
        put(self, "kernel", checked("kernel", kernel, -np.inf, True))
        put(self, "bias", vector("bias", self.bias, kernel.shape[0]))
        put(self, "size", tuple(int(length) for length in self.size))
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size must be (height, width) of the picture, got {self.size}")
        check_tick(self.tick_us, needed=True)
        if not 0 < self.least < 1 or (self.bias >= self.level()).any():
            raise ValueError(f"least must be below 1 and above sigmoid(bias) of every class, or silence would be motion; got "
                             f"{self.least} and a bias of {self.bias.max():g}")

    @property
    def n_in(self) -> int:
        return self.kernel.shape[1] * self.size[0] * self.size[1]

    @property
    def n_out(self) -> int:
        return self.kernel.shape[0] * self.size[0] * self.size[1]

    @property
    def shape_out(self) -> tuple[int, int, int]:
        """(classes, height, width)"""
        return self.kernel.shape[0], *self.size

    @property
    def reach_ticks(self) -> int:
        """The greatest delay."""
        return self.kernel.shape[2] - 1

    def level(self) -> np.float32:
        """The evidence whose sigmoid is `least`."""
        return np.float32(math.log(self.least / (1 - self.least)))
