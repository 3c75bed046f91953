"""Leaky integrate-and-fire neurons with smoothed membranes as a torch module."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pipeline.layer_spec import MPSLIFSpec
from trainer.layers.parts import Decay, Positive, Spiking, array, tensor
from trainer.layers.spike import spike
from trainer.layers.surrogates import SURROGATES


class MPSLIF(Spiking):
    """Membrane potential smoothing in its form with one state; alpha = sigmoid(logit) is one number of the layer.

    hs <- rho hs + (1 - alpha)(I - threshold spike), h = k hs + I, a spike where h >= threshold. The gradient runs through hs
    and alpha and, as in Ding et al. 2025, "Rethinking SNNs from an ensemble learning perspective", section 4.2, not through
    the reset. x (T, B, n_in) -> spikes (T, B, n_out).
    """

    def __init__(self, spec: MPSLIFSpec, *, learn_alpha: bool = False, learn_tau: bool = False, learn_threshold: bool = False,
                 surrogate: str = "atan") -> None:
        super().__init__()
        if learn_alpha and not spec.alpha > 0:
            raise ValueError("an alpha that is learnt must start above 0")
        self.tick_us, self.surrogate, self._alpha = spec.tick_us, SURROGATES[surrogate], spec.alpha
        self.weight = nn.Parameter(tensor(spec.weight))
        self.tau_ms = Positive(spec.tau_ms, learn=learn_tau)
        self.threshold = Positive(spec.threshold, learn=learn_threshold)
        start = math.log(spec.alpha / (1 - spec.alpha)) if learn_alpha else 0.0
        self.logit = nn.Parameter(torch.tensor(start, dtype=torch.float64)) if learn_alpha else None

    def forward(self, x: Tensor) -> Tensor:
        k, rho, gain = self._coefficients()
        threshold, spikes = self.threshold(), list[Tensor]()
        hs = torch.zeros_like(x[0, :, :1] + threshold)
        for current in x @ self.weight:
            spikes.append(spike(k * hs + current, threshold, self.surrogate))
            hs = rho * hs + gain * (current - threshold.detach() * spikes[-1].detach())
        return torch.stack(spikes)

    def course(self, x: Tensor, reference: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        k, rho, gain = self._coefficients()
        threshold = self.threshold()
        hs = torch.zeros_like(threshold)
        for current, spiked in zip((x @ self.weight)[:, 0], reference[:, 0], strict=True):
            yield k * hs + current, threshold
            hs = rho * hs + gain * (current - threshold * spiked)

    def alpha(self) -> Tensor:
        return torch.tensor(self._alpha, dtype=torch.float64) if self.logit is None else torch.sigmoid(self.logit)

    def _coefficients(self) -> tuple[Tensor, Tensor, Tensor]:
        """k, rho and 1 - alpha, as MPSLIFSpec has them."""
        k, alpha = Decay.apply(self.tau_ms(), self.tick_us), self.alpha()
        return k, (k.double() + alpha * (1 - k.double())).float(), (1 - alpha).float()

    def spec(self) -> MPSLIFSpec:
        return MPSLIFSpec(array(self.weight), array(self.tau_ms()), array(self.threshold()), float(self.alpha().detach()),
                          self.tick_us)
