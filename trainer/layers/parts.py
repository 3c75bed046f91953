"""What the modules of layers share: what spiking ones offer, positive parameters, the decay with its derivative."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.layer_spec import decay


class Spiking(nn.Module):
    """A layer of spiking neurons on a tick: x (T, B, n_in) -> spikes (T + reach, B, n_out)."""

    def reach(self) -> int:
        """By how many ticks the output is longer than the input."""
        return 0

    def course(self, x: Tensor, reference: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Of every tick, what is compared: the potential and the threshold, (n_out,) each, of one sample x (T, 1, n_in).

        The neurons spike where `reference` (T + reach, 1, n_out) does, whatever their own potential says.
        """
        raise NotImplementedError


class Positive(nn.Module):
    """A vector of positive numbers: a constant, or learnt as its logarithm. A constant may hold 0 and inf."""

    start: Tensor

    def __init__(self, values: np.ndarray, *, learn: bool) -> None:
        super().__init__()
        self.register_buffer("start", tensor(values))
        self.log_factor = nn.Parameter(torch.zeros_like(self.start)) if learn else None

    def forward(self) -> Tensor:
        return self.start if self.log_factor is None else self.start * self.log_factor.exp()


class Bounded(nn.Module):
    """A vector of numbers: a constant, or learnt within limits, which are widened to hold where it starts."""

    def __init__(self, values: np.ndarray, limits: tuple[float, float], *, learn: bool) -> None:
        super().__init__()
        self.limits = min(limits[0], float(values.min())), max(limits[1], float(values.max()))
        self.values = nn.Parameter(tensor(values), requires_grad=learn)

    def forward(self) -> Tensor:
        return self.values.clamp(*self.limits)


class Decay(torch.autograd.Function):
    """pipeline.layer_spec.decay with its derivative: d' = d * step / tau^2."""

    @staticmethod
    def forward(ctx: Any, tau_ms: Tensor, tick_us: int) -> Tensor:
        d = torch.from_numpy(decay(array(tau_ms), tick_us)).to(tau_ms.device)
        ctx.save_for_backward(tau_ms, d)
        ctx.tick_us = tick_us
        return d

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        tau_ms, d = ctx.saved_tensors
        return g * d * (ctx.tick_us / 1000.0) / tau_ms**2, None


def tensor(values: np.ndarray) -> Tensor:
    return torch.tensor(np.array(values, np.float32))


def array(values: Tensor) -> np.ndarray:
    return values.detach().cpu().numpy().copy()


def exactly(values: np.ndarray, slope: Tensor) -> Tensor:
    """`values`, as the runtime computes them, with the gradient of `slope`, which is the same but for its rounding."""
    found = tensor(values)
    return found + (slope - slope.detach()) if slope.requires_grad else found
