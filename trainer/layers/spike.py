"""The step that fires, with a surrogate for its slope, for layers whose ticks torch differentiates itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainer.layers.surrogates import Surrogate


def spike(v: Tensor, threshold: Tensor, slope: Surrogate) -> Tensor:
    """1 where v >= threshold, else 0; backward, slope((v - threshold) / threshold) / threshold stands for the derivative."""
    fired: Tensor = _Step.apply((v - threshold) / threshold, v >= threshold, slope)  # type: ignore[no-untyped-call]
    return fired


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, fired: Tensor, slope: Surrogate) -> Tensor:
        ctx.save_for_backward(u)
        ctx.slope = slope
        return fired.float()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (u,) = ctx.saved_tensors
        return g * ctx.slope(u), None, None
