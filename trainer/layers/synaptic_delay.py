"""Leaky integrate-and-fire neurons with synaptic or dendritic delays, as a torch module."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from operators.kernels.spread import spread, spread_back
from pipeline.layer_spec import SynapticDelaySpec
from trainer.layers.delay import gaussian
from trainer.layers.lif import Leaky
from trainer.layers.parts import Decay, Positive, array, tensor
from trainer.layers.surrogates import SURROGATES


class SynapticDelay(Leaky):
    """A dense layer whose synapses delay, learnt in ticks and exported in whole ticks.

    In training synapse (i, j) delivers w[i, j] g(lag) at every whole lag of 0..max_ticks, g a Gaussian about its delay of width
    `sigma` ticks, normalised to 1 (Hammouamri, Khalfaoui-Hassani, Masquelier 2024, "Learning delays in SNNs using DCLS",
    section 3.2). `sigma` shrinks during training; at 0, and when the module is evaluated, each synapse has its rounded delay.
    With `whole` it always has, and g serves as its gradient alone. x (T, B, n_in) -> spikes (T + reach, B, n_out).
    """

    sigma: Tensor

    def __init__(self, spec: SynapticDelaySpec, *, max_ticks: int | None = None, learn: bool = True, learn_tau: bool = False,
                 learn_threshold: bool = False, surrogate: str = "atan") -> None:
        super().__init__()
        self.whole = False
        self.tick_us, self.reset, self.surrogate = spec.tick_us, spec.reset, SURROGATES[surrogate]
        self.max_ticks = spec.reach_ticks if max_ticks is None else max_ticks
        self.weight = nn.Parameter(tensor(spec.weight))
        self.delay_ticks = nn.Parameter(tensor(spec.delay_us // spec.tick_us), requires_grad=learn)  # (n_in or 1, n_out)
        self.bias = None if spec.bias is None else nn.Parameter(tensor(spec.bias))
        self.tau_ms = Positive(spec.tau_ms, learn=learn_tau)
        self.threshold = Positive(spec.threshold, learn=learn_threshold)
        self.register_buffer("sigma", torch.zeros(()))

    def current(self, x: Tensor) -> Tensor:
        """(T + reach, B, n_out): what each tick adds to v."""
        kernel = self.weight[:, :, None] * self._taps()  # (n_in, n_out, lags)
        current = spread_out(x, kernel.transpose(1, 2), x.shape[0] + self.reach())
        return current if self.bias is None else current + self.bias

    def decay(self) -> Tensor:
        return Decay.apply(self.tau_ms(), self.tick_us)

    def rounded(self) -> Tensor:
        return self.delay_ticks.detach().clamp(0, self.max_ticks).round().long()

    def reach(self) -> int:
        """By how many ticks the output is longer than the input."""
        return int(self.rounded().max())

    @torch.no_grad()
    def clamp(self) -> None:
        self.delay_ticks.clamp_(0, self.max_ticks)

    def _taps(self) -> Tensor:
        """(n_in or 1, n_out, lags): what share of a weight is delivered after each whole number of ticks."""
        if not self.training or not self.sigma > 0:
            return F.one_hot(self.rounded(), self.max_ticks + 1).float()
        return gaussian(self.delay_ticks, self.max_ticks, self.sigma, self.whole)

    def spec(self) -> SynapticDelaySpec:
        delay_us = self.rounded().numpy().astype(np.int64) * self.tick_us
        bias = None if self.bias is None else array(self.bias)
        return SynapticDelaySpec(array(self.weight), delay_us, array(self.tau_ms()), array(self.threshold()), self.tick_us,
                                 self.reset, bias)


def spread_out(x: Tensor, kernel: Tensor, length: int) -> Tensor:
    """What Spread gives; where no kernel reaches the tensors, on a GPU, by a convolution over all ticks."""
    if x.is_cpu:
        return Spread.apply(x, kernel, length)  # type: ignore[no-any-return, no-untyped-call]
    lags = kernel.shape[1]
    padded = F.pad(x.permute(1, 2, 0), (lags - 1, max(0, length - x.shape[0])))
    return F.conv1d(padded, kernel.permute(2, 0, 1).flip(2)).permute(2, 0, 1)[:length]


class Spread(torch.autograd.Function):
    """x (T, B, n) and a kernel (n, lags, m) -> (length, B, m): kernel[i, l, j] x[t - l, b, i] summed over inputs i and lags l.

    It is a convolution over time, of which only what is not 0 in x is worked out: of spikes a few in a hundred.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, length: int) -> Tensor:
        x, kernel = (values.detach().float().contiguous() for values in (x, kernel))
        out = x.new_empty(length, x.shape[1], kernel.shape[2])
        spread(x.numpy(), kernel.numpy(), np.empty((length, kernel.shape[2]), np.float32), out.numpy())
        ctx.save_for_backward(x, kernel)
        return out

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, Tensor, None]:  # type: ignore[override]
        x, kernel = ctx.saved_tensors
        delta, grad = delta.float().contiguous(), torch.empty_like(kernel)
        spread_back(x.numpy(), delta.numpy(), np.empty_like(delta[:, 0].numpy(), order="C"), grad.numpy())
        back = None
        if ctx.needs_input_grad[0]:
            later = F.pad(delta.permute(1, 2, 0), (0, x.shape[0] + kernel.shape[1] - 1 - delta.shape[0]))
            back = F.conv1d(later, kernel.transpose(1, 2)).permute(2, 0, 1)
        return back, grad, None
