"""Surrogate gradients: what the backward pass takes for the slope of the step at u = (v - threshold) / threshold."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Surrogate = Callable[[Tensor], Tensor]


def atan(u: Tensor) -> Tensor:
    """Fang et al. 2021, "Incorporating learnable membrane time constants", eq. 12 with alpha = 2: 1 / (1 + (pi u)^2)."""
    return 1.0 / (1.0 + (torch.pi * u) ** 2)


def fast_sigmoid(u: Tensor) -> Tensor:
    """Zenke and Ganguli 2018, "SuperSpike", eq. 3.5, with slope 10: 1 / (1 + 10 |u|)^2."""
    return 1.0 / (1.0 + 10.0 * u.abs()) ** 2


SURROGATES: dict[str, Surrogate] = {"atan": atan, "fast_sigmoid": fast_sigmoid}
