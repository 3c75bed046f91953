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


def rectangle(u: Tensor) -> Tensor:
    """Wu et al. 2018, "Spatio-temporal backpropagation", eq. 24, of width 1: 1 where |u| < 1/2, else 0."""
    return (u.abs() < 0.5).to(u.dtype)


def triangle(u: Tensor) -> Tensor:
    """Bellec et al. 2018, "Long short-term memory and learning-to-learn", eq. 3, of half width 1: max(0, 1 - |u|)."""
    return torch.relu(1.0 - u.abs())


def slayer(u: Tensor) -> Tensor:
    """Shrestha and Orchard 2018, "SLAYER", eq. 14, with a slope of 5: exp(-5 |u|)."""
    return torch.exp(-5.0 * u.abs())


SURROGATES: dict[str, Surrogate] = {
    "atan": atan,
    "fast_sigmoid": fast_sigmoid,
    "rectangle": rectangle,
    "slayer": slayer,
    "triangle": triangle,
}
