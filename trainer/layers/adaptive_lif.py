"""Adaptive leaky integrate-and-fire neurons as a torch module."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from pipeline.layer_spec import AdaptiveLIFSpec
from trainer.layers.neurons import Neurons, States, reset
from trainer.layers.parts import Bounded, Decay, Positive, array, exactly

LIMITS = {"adlif": ((-1.0, 1.0), (0.0, 2.0)), "se_adlif": ((0.0, 1.0), (0.0, 2.0))}  # of a and of b while they are learnt


class AdaptiveLIF(Neurons):
    """AdaptiveLIFSpec: u takes the input less w; compare, emit; w takes u and the spike, and u is reset, in its form's order.

    While a and b are learnt (`learn_adaptation`) they are held in the limits of the form's authors.
    """

    def __init__(self, spec: AdaptiveLIFSpec, *, learn_tau: bool = False, learn_adaptation: bool = False, **options: Any) -> None:
        super().__init__(spec, **options)
        if learn_tau and not all((np.isfinite(tau) & (tau > 0)).all() for tau in (spec.tau_ms, spec.tau_w_ms)):
            raise ValueError("a tau that is learnt must start above 0 and below inf")
        self.form, self.q = spec.form, spec.q
        self.tau_ms = Positive(spec.tau_ms, learn=learn_tau)
        self.tau_w_ms = Positive(spec.tau_w_ms, learn=learn_tau)
        for_a, for_b = LIMITS[spec.form]
        self.a = Bounded(spec.a, for_a, learn=learn_adaptation)
        self.b = Bounded(spec.b, for_b, learn=learn_adaptation)

    def constants(self) -> States:
        al, be, a, b = Decay.apply(self.tau_ms(), self.tick_us), Decay.apply(self.tau_w_ms(), self.tick_us), self.a(), self.b()
        if self.form == "se_adlif":
            exact_a, exact_b = self.spec().couplings()
            factor = (1 - be) * self.q
            a, b = exactly(exact_a, factor * a), exactly(exact_b, factor * b)
        return al, 1 - al, be, a, b

    def charge(self, states: States, current: Tensor, constants: States) -> tuple[States, Tensor]:
        (u, w), (al, share, be, a, _) = states, constants
        u = al * u + share * (current - w)
        return (u, be * w + a * u if self.form == "adlif" else w), u

    def fire(self, states: States, spikes: Tensor, threshold: Tensor, constants: States) -> States:
        (u, w), (_, _, be, a, b) = states, constants
        if self.form == "adlif":
            return reset(u, spikes, threshold, "subtract"), w + b * spikes
        u = reset(u, spikes, threshold, "to_zero")
        return u, be * w + a * u + b * spikes

    def spec(self) -> AdaptiveLIFSpec:
        weight, threshold, bias = self.arrays()
        taus = array(self.tau_ms()), array(self.tau_w_ms())
        return AdaptiveLIFSpec(weight, *taus, array(self.a()), array(self.b()), threshold, self.tick_us, self.form, self.q, bias)
