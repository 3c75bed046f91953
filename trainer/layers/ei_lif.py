"""Leaky integrate-and-fire neurons balanced by inhibitory ones, as a torch module."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.layer_spec import EILIFSpec
from trainer.layers.lif import Leaky
from trainer.layers.parts import Decay, Positive, array, tensor
from trainer.layers.surrogates import SURROGATES


class EILIF(Leaky):
    """Neurons with subtractive and divisive inhibition: x (T, B, n_in) -> spikes (T, B, n_out), as EILIFSpec has it.

    Weights are the absolute values of what is learnt, so they stay at least 0. The gradient of weight_ei is divided by the
    number of inhibitory neurons, as in the source.
    """

    def __init__(self, spec: EILIFSpec, *, learn_tau: bool = False, learn_threshold: bool = False,
                 surrogate: str = "atan") -> None:
        super().__init__()
        self.tick_us, self.reset, self.surrogate = spec.tick_us, spec.reset, SURROGATES[surrogate]
        self.signed = nn.ParameterDict({name: nn.Parameter(tensor(getattr(spec, name)))
                                        for name in ("weight_e", "weight_i", "weight_ei")})
        self.signed["weight_ei"].register_hook(lambda g: g / g.shape[0])
        self.gain_e, self.gain_i = Positive(spec.gain_e, learn=True), Positive(spec.gain_i, learn=True)
        self.bias = None if spec.bias is None else nn.Parameter(tensor(spec.bias))
        self.tau_ms = Positive(spec.tau_ms, learn=learn_tau)
        self.threshold = Positive(spec.threshold, learn=learn_threshold)

    def current(self, x: Tensor) -> Tensor:
        """(T, B, n_out): what each tick adds to v."""
        weight_e, weight_i, weight_ei = (self.signed[name].abs() for name in ("weight_e", "weight_i", "weight_ei"))
        h = x @ weight_i
        divisor = (self.gain_i() * h) @ weight_ei
        heard = divisor > 0
        current = torch.where(heard, self.gain_e() * (x @ weight_e - h @ weight_ei) / torch.where(heard, divisor, 1.0), 0.0)
        return current if self.bias is None else current + self.bias

    def decay(self) -> Tensor:
        return Decay.apply(self.tau_ms(), self.tick_us)

    def spec(self) -> EILIFSpec:
        weights = {name: np.abs(array(signed)) for name, signed in self.signed.items()}
        bias = None if self.bias is None else array(self.bias)
        return EILIFSpec(**weights, gain_e=array(self.gain_e()), gain_i=array(self.gain_i()), tau_ms=array(self.tau_ms()),
                         threshold=array(self.threshold()), tick_us=self.tick_us, reset=self.reset, bias=bias)


def ei_start(n_in: int, n_out: int, tick_us: int, tau_ms: float, mean: float, variance: float, seed: int) -> EILIFSpec:
    """A layer to start from, for inputs x of this mean (> 0) and variance a tick, with the initial values of DeepEISNN.

    An inhibitory neuron for every four excitatory ones; weights from an exponential distribution of scale
    sqrt(variance / (n_in (E[x^2] + variance))); weight_ei = 1 / n_inhibitory; gain_i = sqrt(E[x^2] + variance) /
    (sqrt(n_in) mean).
    """
    rng = np.random.default_rng([seed, 0xE1])
    n_inhibitory, square = max(1, n_out // 4), mean**2 + variance
    scale = (variance / (n_in * (square + variance))) ** 0.5
    gain_i = (square + variance) ** 0.5 / (n_in**0.5 * mean)
    return EILIFSpec(rng.exponential(scale, (n_in, n_out)), rng.exponential(scale, (n_in, n_inhibitory)),
                     np.full((n_inhibitory, n_out), 1 / n_inhibitory), np.array(1.0), np.array(gain_i), np.array(tau_ms),
                     np.array(1.0), tick_us)
