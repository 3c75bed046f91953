"""Calibration: scores and labels go in; the temperature at which a confidence of 0.9 is right nine times of ten comes out."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def best_temperature(scores: Tensor, labels: Tensor, least: float = -1.3) -> float:
    """The temperature of least cross-entropy: the best of 200 values from 10^least to 50. scores (m, classes), labels (m,).

    Source: C. Guo et al., On calibration of modern neural networks (2017), section 4.2.
    """
    choices = torch.logspace(least, 1.7, 200, dtype=torch.float64)
    losses = [F.cross_entropy(scores.double() / t, labels) for t in choices]
    return round(float(choices[int(torch.stack(losses).argmin())]), 4)
