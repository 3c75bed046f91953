"""Detectors of motion with heterogeneous delays as a torch module."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.layer_spec import DelayMotionSpec
from trainer.layers.parts import array, tensor


class DelayMotion(nn.Module):
    """A convolution over polarity, time and place, and a logistic decision a place: x (T, B, n_in) -> (T + reach, B, n_out).

    `evidence` is what is trained, with binary cross-entropy against the class of the motion at every tick and place (Grimaldi
    and Perrinet 2023, section 2.3); the output holds the sigmoid of the greatest evidence of each place, where it is at least
    `least` and a tap that is not 0 reaches the place.
    """

    tolerance = 1e-5  # by how much values may differ from the runtime's, which sums in another order

    def __init__(self, spec: DelayMotionSpec) -> None:
        super().__init__()
        self.tick_us, self.least, self.size, self.level = spec.tick_us, spec.least, spec.size, float(spec.level())
        self.kernel = nn.Parameter(tensor(spec.kernel))
        self.bias = nn.Parameter(tensor(spec.bias))

    def evidence(self, x: Tensor) -> Tensor:
        """(B, classes, T + reach, height, width), bias included."""
        return self._slide(x, self.kernel) + self.bias[:, None, None, None]

    def forward(self, x: Tensor) -> Tensor:
        evidence = self.evidence(x)
        taps = (self.kernel != 0).any(0, keepdim=True).float()
        reached = self._slide((x != 0).float(), taps) > 0.5
        greatest, winner = evidence.max(1, keepdim=True)
        evident = (greatest >= self.level) & reached
        one_hot = torch.zeros_like(evidence).scatter(1, winner, 1.0)
        return (one_hot * evident * torch.sigmoid(evidence)).permute(2, 0, 1, 3, 4).flatten(2)

    def _slide(self, x: Tensor, kernel: Tensor) -> Tensor:
        """What each event adds to later ticks at its place, by kernel (classes, polarities, delays, kh, kw)."""
        _, polarities, delays, kh, kw = kernel.shape
        picture = x.unflatten(2, (polarities, *self.size)).permute(1, 2, 0, 3, 4)
        left, top = kw - 1 - kw // 2, kh - 1 - kh // 2  # so that a tap at (kh // 2, kw // 2) stays where the event is
        padded = F.pad(picture, (left, kw // 2, top, kh // 2, delays - 1, delays - 1))
        return F.conv3d(padded, kernel.flip(2, 3, 4))

    def reach(self) -> int:
        return self.kernel.shape[2] - 1

    def spec(self) -> DelayMotionSpec:
        return DelayMotionSpec(array(self.kernel), array(self.bias), self.least, self.size, self.tick_us)
