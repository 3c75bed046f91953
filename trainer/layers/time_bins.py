"""Bins of time told apart, as a torch module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.layer_spec import TimeBinsSpec


class TimeBins(nn.Module):
    """x (T, B, n_in) -> (T, B, bins * n_in): tick t's counts stand in the columns of its bin, all others are zero."""

    def __init__(self, spec: TimeBinsSpec, tick_us: int) -> None:
        super().__init__()
        self.like, self.tick_us = spec, tick_us

    def forward(self, x: Tensor) -> Tensor:
        bin = torch.clamp(torch.arange(x.shape[0]) * self.tick_us // self.like.bin_us, max=self.like.bins - 1)
        inside = nn.functional.one_hot(bin, self.like.bins).to(x.dtype)
        return (x[:, :, None, :] * inside[:, None, :, None]).reshape(*x.shape[:2], self.like.n_out)

    def spec(self) -> TimeBinsSpec:
        return self.like
