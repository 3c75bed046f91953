"""two_compartment: spikes or graded events go in; graded spikes of neurons with a slow and a fast compartment come out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.lif import out_format
from operators.model_layer import check_input, load_layer, read_layer
from operators.tick_layer import Events, TickLayer, operators_of
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import TwoCompartmentSpec
from pipeline.packet import Format

LONGEST_TICKS = 4096  # a neuron that has not calmed down in so many silent ticks is taken never to do so


class TwoCompartmentConfig(OperatorConfig):
    """A dense layer of neurons with a slow and a fast compartment that inhibit each other: TS-LIF, for graded time series.

    At every tick, I being the sum of weight[i] over its spikes i (graded: times value), in this order:

        slow <- a slow - to_slow fast + input_slow I;  fast <- b fast - to_fast slow + input_fast I     slow as just computed
        where slow >= threshold (S) or fast >= threshold (F): a graded event of value gain_slow S + gain_fast F
        slow <- slow - reset_slow S, fast <- fast - reset_fast F

    A gap of n ticks is one product with the float32 of the n-th power (float64) of the 2 x 2 matrix of a silent tick. One
    compartment can drive the other over its threshold in silence: a gap is skipped only where max(|slow|, |fast|) c < threshold,
    c being the greatest row sum of any power of that matrix, so that neither can reach it; other ticks are run. A neuron whose
    powers do not shrink in 4096 ticks keeps its layer running.

    In: spikes or graded, n_in units of any shape, times in us, on no tick or on one that divides the layer's.
    Out: graded events of shape (n_out,), one a neuron and tick at most, stamped with the begin of their tick.
    State: slow, fast and the open tick's input (n_out,), float32. Cost: n_out additions an event, n_out operations a tick.
    Errors: ValueError if the file is no model, the layer is not in it, or its size or tick does not fit the stream.

    Example: {type: two_compartment, model: models/forecast.safetensors, layer: hidden}

    Source: S. Feng et al., "TS-LIF: a temporal segment spiking neuron network for time series forecasting", ICLR 2025.
    """

    type: Literal["two_compartment"] = "two_compartment"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the two_compartment layer in the model")

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "two_compartment")
        check_input(f"two_compartment layer {self.layer!r} of {self.model}", card.n_in, card.tick_us, upstream)
        return dataclasses.replace(out_format(card.n_out, card.tick_us, upstream), kind="graded")

    def prepare(self, upstream: Format) -> Callable[[State | None], TickLayer]:
        self.check(upstream)
        return make(load_layer(self.model, self.layer, "two_compartment"), upstream)


def make(spec: TwoCompartmentSpec, upstream: Format) -> Callable[[State | None], TickLayer]:
    """What `prepare` returns, for a spec at hand instead of a model file."""
    check_input("the two_compartment layer", spec.n_in, spec.tick_us, upstream)
    return operators_of(Law(spec))


class Law:
    """The arrays of the spec as the kernel takes them."""

    graded = True
    tail_ticks = 0

    def __init__(self, spec: TwoCompartmentSpec) -> None:
        from operators.kernels.two_compartment import run_ticks

        self.run_ticks = run_ticks
        self.n_out = self.operations = spec.n_out
        self.tick_us = spec.tick_us
        self.weight, self.threshold, self.ceiling = spec.weight, spec.threshold, ceiling(spec)
        self.step = np.ascontiguousarray(spec.silent_step().reshape(-1, 4))
        self.added = spec.input_step()
        self.reset = np.stack([spec.reset_slow, spec.reset_fast], -1)
        self.gain = np.stack([spec.gain_slow, spec.gain_fast], -1)
        self.over = np.empty((spec.n_out, 4), np.float64)
        self.restless = bool((self.ceiling <= 0).any())

    def start(self) -> State:
        return {name: np.zeros(self.n_out, np.float32) for name in ("slow", "fast", "current")}

    def run(self, held: State, clock: np.ndarray, events: Events, room: Events) -> int:
        return int(self.run_ticks(held["slow"], held["fast"], held["current"], clock, self.over, self.weight, self.step,
                                  self.added, self.threshold, self.ceiling, self.reset, self.gain, self.tick_us,
                                  events.t_us, events.unit, events.value, room.t_us, room.unit, room.value))


def ceiling(spec: TwoCompartmentSpec) -> np.ndarray:
    """(n_out,) float32: where max(|slow|, |fast|) is below this, silence brings neither to the threshold; 0 where it might.

    With |A| the greatest row sum of a silent tick's matrix A, take the first N with |A^N| <= 1. Any n >= 1 is q N + r, r < N, and
    |A^n| <= |A^N|^q |A^r| <= c = max of |A^k| over 1..N, for |A^0| = 1. A part in 2^20 makes up for the rounding of the product.
    """
    step = power = spec.silent_step()
    norms = [np.abs(power).sum(-1).max(-1)]
    while (np.minimum.reduce(norms) > 1).any() and len(norms) < LONGEST_TICKS:
        power = power @ step
        norms.append(np.abs(power).sum(-1).max(-1))
    greatest, calms = np.maximum.reduce(norms), np.minimum.reduce(norms) <= 1
    return np.where(calms, spec.threshold / (np.maximum(greatest, 1) * (1 + 2.0**-20)), 0).astype(np.float32)
