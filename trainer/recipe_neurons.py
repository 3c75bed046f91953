"""The kinds of neurons with two states and more that a recipe names, and the spec that each starts training from."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pipeline.layer_spec import AdaptiveLIFSpec, ResonateSpec, SRMSpec
from trainer.recipe_layers import Begun, Place, SpikingLayer

Positive = Annotated[float, Field(gt=0)]
FromZero = Annotated[float, Field(ge=0)]


class SRMLayer(SpikingLayer):
    """A dense layer of `units` spike response neurons; tau_ms is the time constant of the response to input."""

    type: Literal["srm"] = "srm"
    tau_ms: float = Field(10.0, gt=0, description="time constant of the response to input at the start")
    tau_ref_ms: float = Field(10.0, gt=0, description="time constant of the response to own spikes at the start")
    refractory: float = Field(2.0, ge=0, description="depth of a spike's own response, in thresholds")
    learn: tuple[Literal["tau", "threshold"], ...] = Field((), description="what is learnt besides the weights")

    def begin(self, place: Place) -> Begun:
        taus = np.array(self.tau_ms), np.array(self.tau_ref_ms)
        spec = SRMSpec(self.weight(place), *taus, np.array(self.threshold), place.tick_us, self.refractory)
        return spec, self.learning(self.learn, place)


class AdaptiveLIFLayer(SpikingLayer):
    """A dense layer of `units` adaptive neurons, in SpArch's form or the symplectic one. Two numbers: drawn evenly between."""

    type: Literal["adaptive_lif"] = "adaptive_lif"
    form: Literal["adlif", "se_adlif"] = Field("se_adlif", description="SpArch's adLIF, or SE-adLIF")
    tau_ms: Positive | tuple[Positive, Positive] = Field(  # type: ignore[assignment]
        (25.0, 125.0), description="membrane time constant at the start")
    tau_w_ms: Positive | tuple[Positive, Positive] = Field((150.0, 600.0), description="that of the adaptation at the start")
    a: FromZero | tuple[FromZero, FromZero] = Field((0.0, 1.0), description="how u drives the adaptation, at the start")
    b: FromZero | tuple[FromZero, FromZero] = Field((0.0, 2.0), description="what a spike adds to the adaptation, at the start")
    q: Positive | None = Field(None, description="factor to a and b of se_adlif; none: its authors' 120")
    gain: float = Field(5.0, gt=0, description="standard deviation of a tick's input at the start, in thresholds")
    learn: tuple[Literal["tau", "threshold", "adaptation"], ...] = Field((), description="what is learnt besides the weights")

    def begin(self, place: Place) -> Begun:
        taus = drawn(self.tau_ms, self.units, place.rng), drawn(self.tau_w_ms, self.units, place.rng)
        couplings = drawn(self.a, self.units, place.rng), drawn(self.b, self.units, place.rng)
        q = self.q or (1.0 if self.form == "adlif" else 120.0)
        spec = AdaptiveLIFSpec(self.weight(place), *taus, *couplings, np.array(self.threshold), place.tick_us, self.form, q)
        return spec, self.learning(self.learn, place) | {"learn_adaptation": "adaptation" in self.learn}


class ResonateLayer(SpikingLayer):
    """A dense layer of `units` resonate-and-fire neurons. Two numbers: drawn evenly between."""

    type: Literal["resonate"] = "resonate"
    tau_ms: Positive | tuple[Positive, Positive] = Field(  # type: ignore[assignment]
        (20.0, 200.0), description="time constant at the start")
    frequency_hz: FromZero | tuple[FromZero, FromZero] = Field((0.0, 10.0), description="frequency at the start")
    reset: Literal["subtract", "to_zero"] = Field("subtract", description="what a spike takes off: the threshold, or all")
    learn: tuple[Literal["tau", "threshold", "frequency"], ...] = Field((), description="what is learnt besides the weights")

    def begin(self, place: Place) -> Begun:
        own = drawn(self.tau_ms, self.units, place.rng), drawn(self.frequency_hz, self.units, place.rng)
        spec = ResonateSpec(self.weight(place), *own, np.array(self.threshold), place.tick_us, self.reset)
        return spec, self.learning(self.learn, place) | {"learn_frequency": "frequency" in self.learn}


def drawn(value: float | tuple[float, float], n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,): the value for all, or drawn evenly between the two."""
    return rng.uniform(*value, n) if isinstance(value, tuple) else np.full(n, value)
