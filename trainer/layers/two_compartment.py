"""Neurons of two compartments as a torch module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.layer_spec import TwoCompartmentSpec
from pipeline.layer_spec.two_compartment import VECTORS
from trainer.layers.parts import Decay, Positive, array, tensor
from trainer.layers.spike import spike
from trainer.layers.surrogates import SURROGATES


class TwoCompartment(nn.Module):
    """TS-LIF neurons on a tick: x (T, B, n_in) -> graded events (T, B, n_out), gain_slow S + gain_fast F a tick.

    All couplings, input shares and gains are learnt, a vector each, as in Feng et al. 2025, "TS-LIF"; the resets are constants
    in the backward pass.
    """

    def __init__(self, spec: TwoCompartmentSpec, *, learn_tau: bool = False, learn_threshold: bool = False,
                 surrogate: str = "atan") -> None:
        super().__init__()
        self.tick_us, self.surrogate = spec.tick_us, SURROGATES[surrogate]
        self.weight = nn.Parameter(tensor(spec.weight))
        self.tau_slow_ms = Positive(spec.tau_slow_ms, learn=learn_tau)
        self.tau_fast_ms = Positive(spec.tau_fast_ms, learn=learn_tau)
        self.threshold = Positive(spec.threshold, learn=learn_threshold)
        self.vectors = nn.ParameterDict({name: nn.Parameter(tensor(getattr(spec, name)), requires_grad="reset" not in name)
                                         for name in VECTORS})

    def forward(self, x: Tensor) -> Tensor:
        a, b, threshold = self._decay(self.tau_slow_ms), self._decay(self.tau_fast_ms), self.threshold()
        of, found = self.vectors, list[Tensor]()
        slow = fast = torch.zeros_like(x[0, :, :1] + threshold)
        for current in x @ self.weight:
            slow = a * slow - of["to_slow"] * fast + of["input_slow"] * current
            fast = b * fast - of["to_fast"] * slow + of["input_fast"] * current
            fires_slow, fires_fast = spike(slow, threshold, self.surrogate), spike(fast, threshold, self.surrogate)
            found.append(of["gain_slow"] * fires_slow + of["gain_fast"] * fires_fast)
            slow = slow - of["reset_slow"] * fires_slow.detach()
            fast = fast - of["reset_fast"] * fires_fast.detach()
        return torch.stack(found)

    def reach(self) -> int:
        return 0

    def _decay(self, tau_ms: Positive) -> Tensor:
        return Decay.apply(tau_ms(), self.tick_us)

    def spec(self) -> TwoCompartmentSpec:
        vectors = {name: array(self.vectors[name]) for name in VECTORS}
        return TwoCompartmentSpec(array(self.weight), array(self.tau_slow_ms()), array(self.tau_fast_ms()),
                                  array(self.threshold()), self.tick_us, **vectors)
