"""Spike response neurons as a torch module."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from pipeline.layer_spec import SRMSpec
from trainer.layers.neurons import Neurons, States
from trainer.layers.parts import Decay, Positive, array, exactly


class SRM(Neurons):
    """SRMSpec: alpha-shaped responses to input and to own spikes, two states each. The response to an own spike is, as a reset,
    a constant to the gradient."""

    n_states = 4

    def __init__(self, spec: SRMSpec, *, learn_tau: bool = False, **options: Any) -> None:
        super().__init__(spec, **options)
        self.refractory = spec.refractory
        self.tau_syn_ms = Positive(spec.tau_syn_ms, learn=learn_tau)
        self.tau_ref_ms = Positive(spec.tau_ref_ms, learn=learn_tau)

    def constants(self) -> States:
        tau, tau_ref = self.tau_syn_ms(), self.tau_ref_ms()
        gain, own_gain = self.spec().gains()
        e = np.e * self.tick_us / 1000
        return (Decay.apply(tau, self.tick_us), Decay.apply(tau_ref, self.tick_us), exactly(gain, e / tau),
                exactly(own_gain, e / tau_ref * self.refractory * self.threshold()))

    def charge(self, states: States, current: Tensor, constants: States) -> tuple[States, Tensor]:
        (p, q, p_own, q_own), (d, d_own, gain, own_gain) = states, constants
        q, p = d * (q + p), d * p + current
        q_own, p_own = d_own * (q_own + p_own), d_own * p_own
        return (p, q, p_own, q_own), gain * q - own_gain * q_own

    def fire(self, states: States, spikes: Tensor, threshold: Tensor, constants: States) -> States:
        p, q, p_own, q_own = states
        return p, q, p_own + spikes.detach(), q_own

    def spec(self) -> SRMSpec:
        weight, threshold, bias = self.arrays()
        taus = array(self.tau_syn_ms()), array(self.tau_ref_ms())
        return SRMSpec(weight, *taus, threshold, self.tick_us, self.refractory, bias)
