"""The layers that a recipe names: their options, and the spec that each starts training from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline.contract import Config
from pipeline.layer_spec import (
    CubaLIFSpec,
    DelaySpec,
    LayerSpec,
    LIFSpec,
    MPSLIFSpec,
    RandomLIFSpec,
    ReadoutSpec,
    RecurrentLIFSpec,
    SynapticDelaySpec,
    TimeBinsSpec,
)

Begun = tuple[LayerSpec, dict[str, Any]]  # a spec, and the options of its module


@dataclass(frozen=True)
class Place:
    """Where a layer stands. n: its inputs; size: the root of the mean over ticks of the sum of their squares; shape: of the
    layer's input; surrogate and seed: those of the training."""

    n: int
    size: float
    rng: np.random.Generator
    tick_us: int
    names: Sequence[str]
    seed: int
    surrogate: str = "atan"
    shape: tuple[int, ...] = ()


class SpikingLayer(Config):
    """What layers of spiking neurons share."""

    name: str = Field(description="name of the layer in the model file")
    units: int = Field(ge=1, description="number of neurons")
    tau_ms: float = Field(20.0, gt=0, description="membrane time constant at the start")
    threshold: float = Field(1.0, gt=0, description="firing threshold at the start")
    gain: float = Field(0.5, gt=0, description="standard deviation of a tick's input at the start, in thresholds")

    def weight(self, place: Place) -> np.ndarray:
        return place.rng.normal(0, self.gain * self.threshold / place.size, (place.n, self.units))

    def learning(self, learn: Sequence[str], place: Place) -> dict[str, Any]:
        return {"surrogate": place.surrogate, "learn_tau": "tau" in learn, "learn_threshold": "threshold" in learn}


class LIFLayer(SpikingLayer):
    """A dense layer of `units` leaky integrate-and-fire neurons."""

    type: Literal["lif"] = "lif"
    reset: Literal["subtract", "to_zero"] = Field("subtract", description="what a spike leaves of v")
    learn: tuple[Literal["tau", "threshold"], ...] = Field((), description="what is learnt besides the weights")

    def begin(self, place: Place) -> Begun:
        spec = LIFSpec(self.weight(place), np.array(self.tau_ms), np.array(self.threshold), place.tick_us, self.reset)
        return spec, self.learning(self.learn, place)


class MPSLIFLayer(SpikingLayer):
    """A dense layer of neurons with smoothed membranes; alpha is one number of the layer."""

    type: Literal["mps_lif"] = "mps_lif"
    alpha: float = Field(0.5, gt=0, lt=1, description="smoothing at the start")
    learn: tuple[Literal["tau", "threshold", "alpha"], ...] = Field(("alpha",), description="what is learnt besides the weights")

    def begin(self, place: Place) -> Begun:
        tau_ms, threshold = np.array(self.tau_ms), np.array(self.threshold)
        spec = MPSLIFSpec(self.weight(place), tau_ms, threshold, self.alpha, place.tick_us)
        return spec, self.learning(self.learn, place) | {"learn_alpha": "alpha" in self.learn}


class CubaLIFLayer(SpikingLayer):
    """A dense layer of current-based neurons; `learn: [tau]` is for both time constants."""

    type: Literal["cuba_lif"] = "cuba_lif"
    tau_syn_ms: float = Field(5.0, gt=0, description="time constant of the current at the start")
    reset: Literal["subtract", "to_zero"] = Field("subtract", description="what a spike leaves of v")
    learn: tuple[Literal["tau", "threshold"], ...] = Field((), description="what is learnt besides the weights")

    def begin(self, place: Place) -> Begun:
        held = math.exp(-place.tick_us / 1000 / self.tau_syn_ms)
        weight = self.weight(place) * math.sqrt(1 - held**2)  # so that the current has the deviation that gain says
        taus = np.array(self.tau_ms), np.array(self.tau_syn_ms)
        return CubaLIFSpec(weight, *taus, np.array(self.threshold), place.tick_us, self.reset), self.learning(self.learn, place)


class SynapticDelayLayer(SpikingLayer):
    """A dense layer whose synapses delay (DCLS): a delay of each synapse, or of each neuron (dendritic)."""

    type: Literal["synaptic_delay"] = "synaptic_delay"
    max_ms: float = Field(gt=0, description="greatest delay")
    per: Literal["synapse", "neuron"] = Field("synapse", description="what has a delay of its own")
    reset: Literal["subtract", "to_zero"] = Field("subtract", description="what a spike leaves of v")
    learn: tuple[Literal["tau", "threshold", "delay"], ...] = Field(("delay",), description="what is learnt besides the weights")

    def begin(self, place: Place) -> Begun:
        most = round(self.max_ms * 1000 / place.tick_us)
        rows = place.n if self.per == "synapse" else 1
        delays = place.rng.integers(0, most + 1, (rows, self.units)) * place.tick_us
        tau_ms, threshold = np.array(self.tau_ms), np.array(self.threshold)
        spec = SynapticDelaySpec(self.weight(place), delays, tau_ms, threshold, place.tick_us, self.reset)
        return spec, self.learning(self.learn, place) | {"max_ticks": most, "learn": "delay" in self.learn}


class RecurrentLIFLayer(SpikingLayer):
    """A dense layer that hears its own spikes, each neuron's after a delay of its own (DelRec)."""

    type: Literal["recurrent_lif"] = "recurrent_lif"
    max_ms: float = Field(0.0, ge=0, description="greatest recurrent delay, beyond the tick that every spike takes")
    recurrent_gain: float = Field(0.2, ge=0, description="size of the orthogonal recurrent weights at the start, in thresholds")
    reset: Literal["subtract", "to_zero"] = Field("subtract", description="what a spike leaves of v")
    learn: tuple[Literal["tau", "threshold", "delay"], ...] = Field(("delay",), description="what is learnt besides the weights")

    def begin(self, place: Place) -> Begun:
        most = round(self.max_ms * 1000 / place.tick_us)
        orthogonal = np.linalg.qr(place.rng.normal(size=(self.units, self.units)))[0] * self.recurrent_gain * self.threshold
        delays = place.rng.integers(0, most + 1, self.units) * place.tick_us
        spec = RecurrentLIFSpec(self.weight(place), orthogonal, delays, np.array(self.tau_ms), np.array(self.threshold),
                                place.tick_us, self.reset)
        return spec, self.learning(self.learn, place) | {"max_ticks": most, "learn": "delay" in self.learn and most > 0}


class RandomLIFLayer(Config):
    """A layer of `units` leaky integrate-and-fire neurons with fixed random weights; see RandomLIFSpec for the equations."""

    type: Literal["random_lif"] = "random_lif"
    name: str = Field(description="name of the layer in the model file")
    units: int = Field(ge=1, description="number of neurons")
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = Field(None, description="seed of the weights; none: the training's")
    draw: Literal["uniform", "normal", "sign"] = Field("uniform", description="law of the weights: +-scale, or this deviation")
    scale: float = Field(ge=0, description="half width, deviation or size of the weights of a neuron that hears all inputs")
    mean: float = Field(0.0, description="mean of the weights of a neuron that hears all inputs")
    centred: bool = Field(False, description="whether each neuron's weights are shifted to a mean of exactly 0 first")
    density: float = Field(1.0, gt=0, le=1, description="share of the inputs that a neuron listens to")
    fields: tuple[int, ...] = Field((), description="sides of squares of the picture, one a neuron; none: all of it")
    bias: float = Field(0.0, ge=0, description="half width of the constant inputs of a tick")
    tau_ms: Annotated[float, Field(ge=0)] | None = Field(20.0, description="membrane time constant; none: nothing leaks")
    threshold: float = Field(1.0, gt=0, description="firing threshold")
    reset: Literal["subtract", "to_zero"] = Field("subtract", description="what a spike leaves of v")

    def spec(self, shape: tuple[int, ...], seed: int, tick_us: int) -> RandomLIFSpec:
        """The layer on an input of `shape`; `seed` is that of the training."""
        own = self.model_dump(exclude={"type", "name", "units", "seed", "tau_ms"})
        tau_ms = math.inf if self.tau_ms is None else self.tau_ms
        return RandomLIFSpec(shape, self.units, seed if self.seed is None else self.seed, tau_ms=tau_ms, tick_us=tick_us, **own)

    def begin(self, place: Place) -> Begun:
        return self.spec(place.shape or (place.n,), place.seed, place.tick_us), {}


class DelayLayer(Config):
    """Axonal delays of the layer before, one a unit."""

    type: Literal["delay"] = "delay"
    name: str = Field(description="name of the layer in the model file")
    max_ms: float = Field(gt=0, description="greatest delay")
    start: Literal["uniform", "zero"] = Field("uniform", description="delays at the start: uniform in 0..max_ms, or zero")
    learn: bool = Field(True, description="whether delays are learnt; false keeps them where they start")
    cap_ms: float | None = Field(
        None, gt=0, description="greatest delay at the start, a tick more after each epoch with many near it; none: max_ms")

    def begin(self, place: Place) -> Begun:
        most = round(self.max_ms * 1000 / place.tick_us)
        cap = most if self.cap_ms is None else min(most, round(self.cap_ms * 1000 / place.tick_us))
        delays = place.rng.integers(0, cap + 1, place.n) if self.start == "uniform" else np.zeros(place.n, np.int64)
        return DelaySpec(delays * place.tick_us), {"max_ticks": most, "learn": self.learn, "cap_ticks": cap}


class TimeBinsLayer(Config):
    """Tells bins of time apart: what comes behind weighs the spikes of each bin anew. See TimeBinsSpec."""

    type: Literal["time_bins"] = "time_bins"
    name: str = Field(description="name of the layer in the model file")
    bin_ms: float = Field(gt=0, description="length of a bin")
    bins: int = Field(ge=1, description="number of bins; the last one never ends")

    def spec(self, n: int) -> TimeBinsSpec:
        """The layer behind n units."""
        return TimeBinsSpec(n, self.bins, round(self.bin_ms * 1000))

    def begin(self, place: Place) -> Begun:
        return self.spec(place.n), {}


class ReadoutLayer(Config):
    """Class scores; see the operator `readout` for the scores."""

    type: Literal["readout"] = "readout"
    name: str = Field("out", description="name of the layer in the model file")
    score: Literal["spike_count", "membrane", "max_membrane", "softmax_sum"] = Field(
        "spike_count", description="how scores come from spikes")
    weights: Literal["learnt", "none"] = Field("learnt", description="none: neuron c of the layer before is class c")
    tau_ms: float = Field(20.0, gt=0, description="time constant of v, for all scores but spike_count")
    learn: tuple[Literal["tau"], ...] = Field((), description="what is learnt besides the weights")

    def begin(self, place: Place) -> Begun:
        weight = None
        if self.weights == "learnt":
            weight = place.rng.normal(0, 0.3 / place.size, (place.n, len(place.names)))
        elif place.n != len(place.names):
            raise ValueError(f"readout {self.name!r} without weights needs a neuron a class before it: want {len(place.names)} "
                             f"units, got {place.n}")
        options = {"learn_tau": "tau" in self.learn}
        if self.score == "spike_count":
            return ReadoutSpec(self.score, tuple(place.names), weight), options
        return ReadoutSpec(self.score, tuple(place.names), weight, None, np.array(self.tau_ms), place.tick_us), options
