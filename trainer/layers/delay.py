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
    module is evaluated, each spike moves by the rounded delay. With `whole` it always does, and g serves as its gradient alone.
    x (T, B, n) -> (T + reach, B, n).

    No delay exceeds `greatest`, which starts at cap_ticks and may `grow` to max_ticks; without cap_ticks it is max_ticks.
    """

    sigma: Tensor
    greatest: Tensor

    def __init__(self, spec: DelaySpec, tick_us: int, *, max_ticks: int | None = None, learn: bool = True,
                 cap_ticks: int | None = None) -> None:
        super().__init__()
        self.whole = False
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
        self.delay_ticks.clamp_(torch.zeros_like(self.greatest), self.greatest)

    @torch.no_grad()
    def grow(self) -> None:
        """One tick more of `greatest`, up to max_ticks, where more than 16 % of the delays lie within 5 ticks of it (Sun, Chua,
        Devos, Botteldooren 2023, "Learnable axonal delay in spiking neural networks improves spoken word recognition")."""
        if (self.delay_ticks.floor() > self.greatest - NEAR).float().mean() > SHARE:
            self.greatest.add_(1).clamp_(max=self.max_ticks)

    def _smeared(self, x: Tensor) -> Tensor:
        ticks = x.shape[0]
        lag = torch.arange(ticks + self.reach())[:, None] - torch.arange(ticks)[None, :]
        kernel = gaussian(self.delay_ticks, self.max_ticks, self.sigma, self.whole)  # (n, lags)
        inside = (lag >= 0) & (lag <= self.max_ticks)
        toeplitz = kernel[:, lag.clamp(0, self.max_ticks)] * inside  # (n, T + reach, T)
        return torch.bmm(toeplitz, x.permute(2, 0, 1)).permute(1, 2, 0)

    def spec(self) -> DelaySpec:
        return DelaySpec(self.rounded().numpy().astype(np.int64) * self.tick_us)


def gaussian(delay_ticks: Tensor, max_ticks: int, sigma: Tensor, whole: bool) -> Tensor:
    """delay_ticks (...) -> (..., lags): what share of a spike arrives after 0..max_ticks ticks, a Gaussian that sums to 1.

    whole: all of it after the rounded delay, with the gradient of the Gaussian. So the slope of a whole delay is taken from its
    neighbourhood, as SLAYER takes it from a finite difference (Shrestha and Orchard 2018, section 3.2).
    """
    lags, centre = torch.arange(max_ticks + 1), delay_ticks.clamp(0, max_ticks)[..., None]
    shares = torch.softmax(-0.5 * ((lags - centre) / sigma) ** 2, dim=-1)
    return (lags == centre.detach().round()) + (shares - shares.detach()) if whole else shares


def shift(x: Tensor, ticks: Tensor) -> Tensor:
    """x (T, B, n) with unit i moved ticks[i] later: (T + the greatest shift, B, n). No gradient reaches `ticks`."""
    length, width = x.shape[:2]
    came = torch.arange(length + int(ticks.max()))[:, None] - ticks[None, :]  # (T + reach, n): the tick that each comes from
    inside = (came >= 0) & (came < length)
    moved = x.gather(0, came.clamp(0, length - 1)[:, None, :].expand(-1, width, -1))
    return torch.where(inside[:, None, :], moved, 0.0)
