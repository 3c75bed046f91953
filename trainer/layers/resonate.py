"""Resonate-and-fire neurons as a torch module."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.layer_spec import ResonateSpec
from trainer.layers.neurons import Neurons, States, reset
from trainer.layers.parts import Positive, array, exactly, tensor


class Resonate(Neurons):
    """ResonateSpec: the state decays, turns and takes the input in; compare x, emit, reset."""

    def __init__(self, spec: ResonateSpec, *, learn_tau: bool = False, learn_frequency: bool = False, **options: Any) -> None:
        super().__init__(spec, **options)
        if learn_tau and not (np.isfinite(spec.tau_ms) & (spec.tau_ms > 0)).all():
            raise ValueError("a tau that is learnt must start above 0 and below inf")
        self.reset = spec.reset
        self.tau_ms = Positive(spec.tau_ms, learn=learn_tau)
        self.frequency_hz = nn.Parameter(tensor(spec.frequency_hz), requires_grad=learn_frequency)

    def constants(self) -> States:
        re, im = self.spec().turn()
        kept = torch.exp(-self.tick_us / 1000 / self.tau_ms())
        angle = 2 * torch.pi * self.tick_us * 1e-6 * self.frequency_hz
        return exactly(re, kept * torch.cos(angle)), exactly(im, kept * torch.sin(angle))

    def charge(self, states: States, current: Tensor, constants: States) -> tuple[States, Tensor]:
        (x, y), (re, im) = states, constants
        x, y = re * x - im * y + current, im * x + re * y
        return (x, y), x

    def fire(self, states: States, spikes: Tensor, threshold: Tensor, constants: States) -> States:
        x, y = states
        return reset(x, spikes, threshold, self.reset), y if self.reset == "subtract" else y * (1 - spikes.detach())

    def spec(self) -> ResonateSpec:
        weight, threshold, bias = self.arrays()
        return ResonateSpec(weight, array(self.tau_ms()), array(self.frequency_hz), threshold, self.tick_us, self.reset, bias)
