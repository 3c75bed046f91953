"""Torch modules built from layer specs and returning them: spikes in, spikes (readout: scores) out, tick by tick.

Tensors are time-major: x[t, b, i] is what unit i of sample b does in tick t. The physics is that of pipeline.layer_spec;
an evaluated module does what the runtime's operator of the same spec does, spike for spike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.layer_spec import DelaySpec, LayerSpec, LIFSpec, ReadoutSpec, decay

Surrogate = Callable[[Tensor], Tensor]


class LIF(nn.Module):
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

    def forward(self, x: Tensor) -> Tensor:
        current = self.current(x)
        spikes, _ = _Scan.apply(current, self.decay(), self.threshold(), self.reset, self.surrogate)
        return spikes

    def current(self, x: Tensor) -> Tensor:
        """(T, B, n_out): what each tick adds to v."""
        current = x @ self.weight
        return current if self.bias is None else current + self.bias

    def decay(self) -> Tensor:
        return _Decay.apply(self.tau_ms(), self.tick_us)

    def spec(self) -> LIFSpec:
        bias = None if self.bias is None else array(self.bias)
        return LIFSpec(array(self.weight), array(self.tau_ms()), array(self.threshold()), self.tick_us, self.reset, bias)


class Delay(nn.Module):
    """Axonal delays, one a unit, learnt in ticks and exported in whole ticks.

    In training y[t, i] = sum over s of g(t - s - delay_i) x[s, i], g a Gaussian of width `sigma` ticks over whole lags,
    normalised to 1: its slope tells a delay which way to go (Hammouamri, Khalfaoui-Hassani, Masquelier 2024, "Learning
    delays in SNNs using DCLS", section 3.2, there for synapses). `sigma` shrinks during training; at 0, and when the
    module is evaluated, each spike moves by the rounded delay. x (T, B, n) -> (T + reach, B, n).
    """

    sigma: Tensor
    greatest: Tensor

    def __init__(self, spec: DelaySpec, tick_us: int, *, max_ticks: int | None = None, learn: bool = True) -> None:
        super().__init__()
        ticks, rest = np.divmod(spec.delay_us, tick_us)
        if rest.any():
            raise ValueError(f"delays must be whole ticks of {tick_us} us to be trained, got {spec.delay_us[rest > 0][0]} us")
        self.tick_us = tick_us
        self.max_ticks = int(ticks.max()) if max_ticks is None else max_ticks
        self.delay_ticks = nn.Parameter(torch.tensor(ticks, dtype=torch.float32), requires_grad=learn)
        self.register_buffer("sigma", torch.zeros(()))

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
        self.delay_ticks.clamp_(0, self.max_ticks)

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


class Readout(nn.Module):
    """Class scores after every tick: x (T, B, n_in) -> scores (T, B, classes), as ReadoutSpec defines them.

    The score of a sample is the one after its own last tick; `temperature` only scales confidence.
    """

    temperature: Tensor

    def __init__(self, spec: ReadoutSpec, *, learn_tau: bool = False) -> None:
        super().__init__()
        self.score, self.names, self.tick_us = spec.score, spec.names, spec.tick_us
        self.weight = None if spec.weight is None else nn.Parameter(tensor(spec.weight))
        self.bias = None if spec.bias is None else nn.Parameter(tensor(spec.bias))
        self.tau_ms = None if spec.tau_ms is None else Positive(spec.tau_ms, learn=learn_tau)
        self.register_buffer("temperature", torch.tensor(float(spec.temperature), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        current = x if self.weight is None else x @ self.weight
        if self.tau_ms is None:
            score = current.cumsum(0)
            return score if self.bias is None else score + self.bias
        v = self._integrate(current if self.bias is None else current + self.bias)
        return v if self.score == "membrane" else torch.softmax(v, dim=-1).cumsum(0)

    def _integrate(self, current: Tensor) -> Tensor:
        assert self.tau_ms is not None
        d, v, trace = _Decay.apply(self.tau_ms(), self.tick_us), torch.zeros_like(current[0]), []
        for tick in current:
            v = d * v + tick
            trace.append(v)
        return torch.stack(trace)

    def spec(self) -> ReadoutSpec:
        weight, bias = (None if p is None else array(p) for p in (self.weight, self.bias))
        tau_ms = None if self.tau_ms is None else array(self.tau_ms())
        return ReadoutSpec(self.score, self.names, weight, bias, tau_ms, self.tick_us, float(self.temperature))


class Positive(nn.Module):
    """A vector of positive numbers: a constant, or learnt as its logarithm. A constant may hold 0 and inf."""

    start: Tensor

    def __init__(self, values: np.ndarray, *, learn: bool) -> None:
        super().__init__()
        self.register_buffer("start", tensor(values))
        self.log_factor = nn.Parameter(torch.zeros_like(self.start)) if learn else None

    def forward(self) -> Tensor:
        return self.start if self.log_factor is None else self.start * self.log_factor.exp()


def build(spec: LayerSpec, tick_us: int, **options: Any) -> LIF | Delay | Readout:
    """The module of a spec. A layer on another tick than `tick_us` is an error."""
    own = getattr(spec, "tick_us", None)
    if own not in (None, tick_us):
        raise ValueError(f"the layers of one network share a tick: want {tick_us} us, got {own} us")
    if isinstance(spec, LIFSpec):
        return LIF(spec, **options)
    return Delay(spec, tick_us, **options) if isinstance(spec, DelaySpec) else Readout(spec, **options)


def shift(x: Tensor, ticks: Tensor) -> Tensor:
    """x (T, B, n) with unit i moved ticks[i] later: (T + the greatest shift, B, n). No gradient reaches `ticks`."""
    out = x.new_zeros((x.shape[0] + int(ticks.max()), *x.shape[1:]))
    for tick in ticks.unique().tolist():
        units = (ticks == tick).nonzero()[:, 0]
        out[tick : tick + x.shape[0], :, units] = x[:, :, units]
    return out


class _Scan(torch.autograd.Function):
    """The LIF recurrence over all ticks, forward by law 4, backward through time with a surrogate for the step.

    u = (v - threshold) / threshold; with s'(u) the surrogate and delta[t] the gradient at v before the reset of tick t:
    delta[t] = g[t] s'(u[t]) / threshold + d delta[t+1] k[t], where k is 1 (subtract) or 1 - s[t] (to_zero).
    """

    @staticmethod
    def forward(ctx: Any, current: Tensor, d: Tensor, threshold: Tensor, reset: str, slope: Surrogate) -> tuple[Tensor, Tensor]:
        v, trace, spikes = torch.zeros_like(current[0]), torch.empty_like(current), torch.empty_like(current)
        for t in range(current.shape[0]):
            trace[t] = v = v.mul_(d).add_(current[t])
            torch.ge(v, threshold, out=spikes[t])
            v = v.sub_(threshold * spikes[t]) if reset == "subtract" else v.masked_fill_(spikes[t].bool(), 0.0)
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
        keep = None if ctx.reset == "subtract" else 1 - spikes
        for t in range(delta.shape[0] - 2, -1, -1):
            back = delta[t + 1] * d
            delta[t] += back if keep is None else back * keep[t]
        after = trace - threshold * spikes if keep is None else trace * keep
        g_d = (delta[1:] * after[:-1]).sum((0, 1)) if ctx.needs_input_grad[1] else None
        if direct is not None and keep is None:
            direct -= (delta[1:] * d * spikes[:-1]).sum((0, 1))
        return delta, g_d, direct, None, None


class _Decay(torch.autograd.Function):
    """pipeline.layer_spec.decay with its derivative: d' = d * step / tau^2."""

    @staticmethod
    def forward(ctx: Any, tau_ms: Tensor, tick_us: int) -> Tensor:
        d = torch.from_numpy(decay(tau_ms.detach().numpy(), tick_us))
        ctx.save_for_backward(tau_ms, d)
        ctx.tick_us = tick_us
        return d

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        tau_ms, d = ctx.saved_tensors
        return g * d * (ctx.tick_us / 1000.0) / tau_ms**2, None


def atan(u: Tensor) -> Tensor:
    """Fang et al. 2021, "Incorporating learnable membrane time constants", eq. 12 with alpha = 2: 1 / (1 + (pi u)^2)."""
    return 1.0 / (1.0 + (torch.pi * u) ** 2)


def fast_sigmoid(u: Tensor) -> Tensor:
    """Zenke and Ganguli 2018, "SuperSpike", eq. 3.5, with slope 10: 1 / (1 + 10 |u|)^2."""
    return 1.0 / (1.0 + 10.0 * u.abs()) ** 2


SURROGATES: dict[str, Surrogate] = {"atan": atan, "fast_sigmoid": fast_sigmoid}


def tensor(values: np.ndarray) -> Tensor:
    return torch.tensor(np.array(values, np.float32))


def array(values: Tensor) -> np.ndarray:
    return values.detach().numpy().copy()
