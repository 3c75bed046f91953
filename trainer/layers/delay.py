"""Axonal delays as a torch module."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.layer_spec import DelaySpec

SHARE, NEAR = 0.16, 5  # of the delays; ticks: when the greatest delay grows


class Delay(nn.Module):
    """Axonal delays, one a unit, learnt in ticks and exported in whole ticks.

    In training y[t, i] = sum over s of g(t - s - delay_i) x[s, i], g a Gaussian of width `sigma` ticks over whole lags,
    normalised to 1: its slope tells a delay which way to go (Hammouamri, Khalfaoui-Hassani, Masquelier 2024, "Learning
    delays in SNNs using DCLS", section 3.2, there for synapses). `sigma` shrinks during training; at 0, and when the
    module is evaluated, each spike moves by the rounded delay. x (T, B, n) -> (T + reach, B, n).

    No delay exceeds `greatest`, which starts at cap_ticks and may `grow` to max_ticks; without cap_ticks it is max_ticks.
    """

    sigma: Tensor
    greatest: Tensor

    def __init__(self, spec: DelaySpec, tick_us: int, *, max_ticks: int | None = None, learn: bool = True,
                 cap_ticks: int | None = None) -> None:
        super().__init__()
        ticks, rest = np.divmod(spec.delay_us, tick_us)
        if rest.any():
            raise ValueError(f"delays must be whole ticks of {tick_us} us to be trained, got {spec.delay_us[rest > 0][0]} us")
        self.tick_us = tick_us
        self.max_ticks = int(ticks.max()) if max_ticks is None else max_ticks
        self.delay_ticks = nn.Parameter(torch.tensor(ticks, dtype=torch.float32), requires_grad=learn)
        self.register_buffer("sigma", torch.zeros(()))
        self.register_buffer("greatest", torch.tensor(float(self.max_ticks if cap_ticks is None else cap_ticks)))

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.sigma > 0:
            return self._smeared(x)
        return shift(x, self.rounded())

    def rounded(self) -> Tensor:
        return self.delay_ticks.detach().clamp(0, self.max_ticks).round().long()

    def reach(self) -> int:
        """By how many ticks the output is longer than the input."""
        return int(self.rounded().max())

    @torch.no_grad()
    def clamp(self) -> None:
        self.delay_ticks.clamp_(torch.zeros(()), self.greatest)

    @torch.no_grad()
    def grow(self) -> None:
        """One tick more of `greatest`, up to max_ticks, where more than 16 % of the delays lie within 5 ticks of it (Sun, Chua,
        Devos, Botteldooren 2023, "Learnable axonal delay in spiking neural networks improves spoken word recognition")."""
        if (self.delay_ticks.floor() > self.greatest - NEAR).float().mean() > SHARE:
            self.greatest.add_(1).clamp_(max=self.max_ticks)

    def _smeared(self, x: Tensor) -> Tensor:
        ticks = x.shape[0]
        lag = torch.arange(ticks + self.reach())[:, None] - torch.arange(ticks)[None, :]
        lags = torch.arange(self.max_ticks + 1)
        centre = self.delay_ticks.clamp(0, self.max_ticks)[:, None]
        kernel = torch.softmax(-0.5 * ((lags - centre) / self.sigma) ** 2, dim=1)  # (n, lags): a Gaussian that sums to 1
        inside = (lag >= 0) & (lag <= self.max_ticks)
        toeplitz = kernel[:, lag.clamp(0, self.max_ticks)] * inside  # (n, T + reach, T)
        return torch.bmm(toeplitz, x.permute(2, 0, 1)).permute(1, 2, 0)

    def spec(self) -> DelaySpec:
        return DelaySpec(self.rounded().numpy().astype(np.int64) * self.tick_us)


def shift(x: Tensor, ticks: Tensor) -> Tensor:
    """x (T, B, n) with unit i moved ticks[i] later: (T + the greatest shift, B, n). No gradient reaches `ticks`."""
    out = x.new_zeros((x.shape[0] + int(ticks.max()), *x.shape[1:]))
    for tick in ticks.unique().tolist():
        units = (ticks == tick).nonzero()[:, 0]
        out[tick : tick + x.shape[0], :, units] = x[:, :, units]
    return out
