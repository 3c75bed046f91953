"""Leaky integrate-and-fire neurons as a torch module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from operators.kernels.lif_scan import scan, scan_back
from pipeline.layer_spec import LIFSpec
from trainer.layers.parts import Decay, Positive, Spiking, array, tensor
from trainer.layers.surrogates import SURROGATES, Surrogate


class Leaky(Spiking):
    """Neurons whose potential leaks by decay() a tick, takes in current(x) and spikes at threshold(); gradient as LIF."""

    reset: Literal["subtract", "to_zero"]
    surrogate: Surrogate
    threshold: Any  # called, gives (n_out,): a module or a method

    def forward(self, x: Tensor) -> Tensor:
        spikes, _ = Scan.apply(self.current(x), self.decay(), self.threshold(), self.reset, self.surrogate)
        return spikes

    def course(self, x: Tensor, reference: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        d, threshold = self.decay(), self.threshold()
        v = torch.zeros_like(threshold)
        for added, spiked in zip(self.current(x)[:, 0], reference[:, 0] > 0, strict=True):
            v = d * v + added
            yield v, threshold
            v = v - threshold * spiked if self.reset == "subtract" else v.masked_fill(spiked, 0.0)

    def current(self, x: Tensor) -> Tensor:
        """(T, B, n_out): what each tick adds to v."""
        raise NotImplementedError

    def decay(self) -> Tensor:
        """(n_out,), or one number: what a tick leaves of v."""
        raise NotImplementedError


class LIF(Leaky):
    """Leaky integrate-and-fire neurons on a tick: decay, add, compare v >= threshold, emit, reset, all in the same tick.

    x (T, B, n_in) counts -> spikes (T, B, n_out) of 0 and 1. In the backward pass the step is replaced by a surrogate,
    and the reset is a constant (Neftci, Mostafa, Zenke 2019, "Surrogate gradient learning in SNNs"; Zenke and Vogels 2021,
    section 3.3, on resets without gradient). tau is learnt as its logarithm, so it stays above 0.
    """

    def __init__(self, spec: LIFSpec, *, learn_tau: bool = False, learn_threshold: bool = False, surrogate: str = "atan") -> None:
        super().__init__()
        if spec.tick_us is None:
            raise ValueError("only a layer on a tick can be trained, got one in event mode (tick_us None)")
        if learn_tau and not (np.isfinite(spec.tau_ms) & (spec.tau_ms > 0)).all():
            raise ValueError("a tau that is learnt must start above 0 and below inf")
        self.tick_us, self.reset, self.surrogate = spec.tick_us, spec.reset, SURROGATES[surrogate]
        self.weight = nn.Parameter(tensor(spec.weight))
        self.bias = None if spec.bias is None else nn.Parameter(tensor(spec.bias))
        self.tau_ms = Positive(spec.tau_ms, learn=learn_tau)
        self.threshold = Positive(spec.threshold, learn=learn_threshold)

    def current(self, x: Tensor) -> Tensor:
        """(T, B, n_out): what each tick adds to v."""
        current = x @ self.weight
        return current if self.bias is None else current + self.bias

    def decay(self) -> Tensor:
        return Decay.apply(self.tau_ms(), self.tick_us)

    def spec(self) -> LIFSpec:
        bias = None if self.bias is None else array(self.bias)
        return LIFSpec(array(self.weight), array(self.tau_ms()), array(self.threshold()), self.tick_us, self.reset, bias)


class Scan(torch.autograd.Function):
    """The LIF recurrence over all ticks, forward by law 4, backward through time with a surrogate for the step.

    u = (v - threshold) / threshold; with s'(u) the surrogate and delta[t] the gradient at v before the reset of tick t:
    delta[t] = g[t] s'(u[t]) / threshold + d delta[t+1] k[t], where k is 1 (subtract) or 1 - s[t] (to_zero).
    """

    @staticmethod
    def forward(ctx: Any, current: Tensor, d: Tensor, threshold: Tensor, reset: str, slope: Surrogate) -> tuple[Tensor, Tensor]:
        current = current.detach().float().contiguous()  # the product with the weights may be of lower precision, v is not
        trace, spikes = torch.empty_like(current), torch.empty_like(current)
        left, least = (x.detach().expand(current.shape[2]).contiguous() for x in (d, threshold))
        _scan(current, left, least, reset == "to_zero", trace, spikes)
        ctx.save_for_backward(d, threshold, trace, spikes)
        ctx.reset, ctx.slope = reset, slope
        ctx.mark_non_differentiable(trace)
        return spikes, trace

    @staticmethod
    def backward(ctx: Any, g_spikes: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        d, threshold, trace, spikes = ctx.saved_tensors
        delta = g_spikes * ctx.slope((trace - threshold) / threshold)
        delta /= threshold
        direct = -delta.sum((0, 1)) if ctx.needs_input_grad[2] else None  # the comparison's part in the gradient of the threshold
        to_zero = ctx.reset == "to_zero"
        delta = delta.contiguous()
        _scan_back(delta, d.detach().expand(delta.shape[2]).contiguous(), spikes, to_zero)
        g_d = None
        if ctx.needs_input_grad[1]:
            after = trace * (1 - spikes) if to_zero else trace - threshold * spikes
            g_d = (delta[1:] * after[:-1]).sum((0, 1))
        if direct is not None and not to_zero:
            direct -= (delta[1:] * d * spikes[:-1]).sum((0, 1))
        return delta, g_d, direct, None, None


def _scan(current: Tensor, d: Tensor, threshold: Tensor, to_zero: bool, trace: Tensor, spikes: Tensor) -> None:
    """The kernel `scan` from v = 0; where no kernel reaches the tensors, on a GPU, the same by torch, tick by tick."""
    v = torch.zeros_like(current[0])
    if current.is_cpu:
        scan(current.numpy(), d.numpy(), threshold.numpy(), to_zero, v.numpy(), trace.numpy(), spikes.numpy())
        return
    for added, potential, fired in zip(current, trace, spikes, strict=True):
        potential.copy_(d * v + added)
        fired.copy_(potential >= threshold)
        v = potential * (1 - fired) if to_zero else potential - threshold * fired


def _scan_back(delta: Tensor, d: Tensor, spikes: Tensor, to_zero: bool) -> None:
    """The kernel `scan_back`, or the same by torch."""
    if delta.is_cpu:
        scan_back(delta.numpy(), d.numpy(), spikes.numpy(), to_zero)
        return
    for t in range(delta.shape[0] - 2, -1, -1):
        delta[t] += delta[t + 1] * d * (1 - spikes[t] if to_zero else 1)
