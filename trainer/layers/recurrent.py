"""Recurrent leaky integrate-and-fire neurons with recurrent delays, as a torch module."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.layer_spec import RecurrentLIFSpec
from trainer.layers.parts import Decay, Positive, Spiking, array, tensor
from trainer.layers.spike import spike
from trainer.layers.surrogates import SURROGATES


class RecurrentLIF(Spiking):
    """A dense layer whose spikes come back to it, those of neuron j 1 + delay[j] ticks later; delays are learnt in ticks.

    In training a spike of j comes back at every lag l >= 1 with weight max(0, s - |l - (1 + delay[j])|) / s^2, s = 1 + sigma
    (Queant et al. 2025, "DelRec", section 3.2). `sigma` shrinks during training; at 0, and when the module is evaluated, it
    comes back once, after the rounded delay. The reset is a constant in the backward pass. x (T, B, n_in) -> (T, B, n_out).
    """

    sigma: Tensor

    def __init__(self, spec: RecurrentLIFSpec, *, max_ticks: int | None = None, learn: bool = True, learn_tau: bool = False,
                 learn_threshold: bool = False, surrogate: str = "atan") -> None:
        super().__init__()
        self.whole = False
        self.tick_us, self.reset, self.surrogate = spec.tick_us, spec.reset, SURROGATES[surrogate]
        ticks = spec.delay_us // spec.tick_us
        self.max_ticks = int(ticks.max()) if max_ticks is None else max_ticks
        self.weight = nn.Parameter(tensor(spec.weight))
        self.recurrent = nn.Parameter(tensor(spec.recurrent))
        self.delay_ticks = nn.Parameter(tensor(ticks), requires_grad=learn)
        self.bias = None if spec.bias is None else nn.Parameter(tensor(spec.bias))
        self.tau_ms = Positive(spec.tau_ms, learn=learn_tau)
        self.threshold = Positive(spec.threshold, learn=learn_threshold)
        self.register_buffer("sigma", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        d, threshold, shares = self.decay(), self.threshold(), self._shares()
        v, spikes = torch.zeros_like(x[0, :, :1] + threshold), list[Tensor]()
        for tick in self._current(x):
            v = d * v + tick + self._heard(spikes, shares)
            spikes.append(spike(v, threshold, self.surrogate))
            v = self._reset(v, threshold, spikes[-1].detach())
        return torch.stack(spikes)

    def course(self, x: Tensor, reference: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        d, threshold, shares = self.decay(), self.threshold(), self._shares()
        v, spikes = torch.zeros_like(threshold), list[Tensor]()
        for added, spiked in zip(self._current(x)[:, 0], reference[:, 0], strict=True):
            v = d * v + added + self._heard(spikes, shares)
            yield v, threshold
            spikes.append(spiked)
            v = self._reset(v, threshold, spiked)

    def _current(self, x: Tensor) -> Tensor:
        current = x @ self.weight
        return current if self.bias is None else current + self.bias

    def _heard(self, spikes: list[Tensor], shares: Tensor) -> Tensor:
        """What the layer's spikes so far (a tick each) add to v now."""
        lags = min(len(spikes), shares.shape[0])
        if not lags:
            return torch.zeros(())
        back = torch.stack(spikes[: -lags - 1 : -1])  # (lags, ..., n), the latest first
        return torch.einsum("l...n,ln->...n", back, shares[:lags]) @ self.recurrent

    def _reset(self, v: Tensor, threshold: Tensor, spiked: Tensor) -> Tensor:
        return v - threshold.detach() * spiked if self.reset == "subtract" else v * (1 - spiked)

    def _shares(self) -> Tensor:
        """(lags, n): what share of a spike comes back after 1, 2, ... ticks."""
        if not self.training or not self.sigma > 0:
            return (torch.arange(self.max_ticks + 1)[:, None] == self.rounded()[None, :]).float()
        s = 1 + self.sigma
        lags = torch.arange(1, self.max_ticks + 2 + math.ceil(self.sigma))[:, None]
        shares = torch.relu(s - (lags - (1 + self.delay_ticks.clamp(0, self.max_ticks))).abs()) / s**2
        return (lags == 1 + self.rounded()) + (shares - shares.detach()) if self.whole else shares

    def decay(self) -> Tensor:
        return Decay.apply(self.tau_ms(), self.tick_us)

    def rounded(self) -> Tensor:
        return self.delay_ticks.detach().clamp(0, self.max_ticks).round().long()

    @torch.no_grad()
    def clamp(self) -> None:
        self.delay_ticks.clamp_(0, self.max_ticks)

    def spec(self) -> RecurrentLIFSpec:
        delay_us = self.rounded().numpy().astype(np.int64) * self.tick_us
        bias = None if self.bias is None else array(self.bias)
        return RecurrentLIFSpec(array(self.weight), array(self.recurrent), delay_us, array(self.tau_ms()),
                                array(self.threshold()), self.tick_us, self.reset, bias)
