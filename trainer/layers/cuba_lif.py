"""Leaky integrate-and-fire neurons with exponential synapses as a torch module."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from pipeline.layer_spec import CubaLIFSpec
from trainer.layers.neurons import Neurons, States, reset
from trainer.layers.parts import Decay, Positive, array


class CubaLIF(Neurons):
    """CubaLIFSpec on a tick: the current decays and takes the input in, v decays and takes the current; compare, emit, reset."""

    def __init__(self, spec: CubaLIFSpec, *, learn_tau: bool = False, **options: Any) -> None:
        super().__init__(spec, **options)
        if learn_tau and not all((np.isfinite(tau) & (tau > 0)).all() for tau in (spec.tau_ms, spec.tau_syn_ms)):
            raise ValueError("a tau that is learnt must start above 0 and below inf")
        self.reset = spec.reset
        self.tau_ms = Positive(spec.tau_ms, learn=learn_tau)
        self.tau_syn_ms = Positive(spec.tau_syn_ms, learn=learn_tau)

    def constants(self) -> States:
        return Decay.apply(self.tau_syn_ms(), self.tick_us), Decay.apply(self.tau_ms(), self.tick_us)

    def charge(self, states: States, current: Tensor, constants: States) -> tuple[States, Tensor]:
        (i, v), (a, d) = states, constants
        i = a * i + current
        v = d * v + i
        return (i, v), v

    def fire(self, states: States, spikes: Tensor, threshold: Tensor, constants: States) -> States:
        i, v = states
        return i, reset(v, spikes, threshold, self.reset)

    def spec(self) -> CubaLIFSpec:
        weight, threshold, bias = self.arrays()
        return CubaLIFSpec(weight, array(self.tau_ms()), array(self.tau_syn_ms()), threshold, self.tick_us, self.reset, bias)
