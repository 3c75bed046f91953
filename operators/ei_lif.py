"""ei_lif: spikes or graded events go in; spikes of neurons come out whose input inhibitory neurons balance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.lif import ceiling, out_format
from operators.model_layer import check_input, load_layer, read_layer
from operators.synaptic_delay import same_as_one
from operators.tick_layer import Events, TickLayer, operators_of
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import EILIFSpec, LIFSpec
from pipeline.packet import NO_VALUES, Format


class EILIFConfig(OperatorConfig):
    """A dense layer of leaky integrate-and-fire neurons with inhibitory neurons in place of normalisation.

    At every tick, x being the counts of its spikes (graded: their values), in this order, with d = exp(-tick / tau):

        e = x weight_e, h = x weight_i;  I = gain_e (e - h weight_ei) / ((gain_i h) weight_ei), 0 where that divisor is not
        above 0 v <- d v + b + I;  where v >= threshold: a spike, and v <- v - threshold (reset: subtract) or v <- 0 (reset:
        to_zero)

    What divides grows with the input as what excites does, so rates stay in their range with no statistics of a batch. All
    weights are at least 0. A gap of n ticks is one step with float32(float64(d)**n); only a bias may make a neuron fire in it.

    In: spikes or graded, n_in units of any shape, times in us, on no tick or on one that divides the layer's.
    Out: spikes of shape (n_out,), stamped with the begin of their tick and given out in the packet that closes it.
    State: v and e (n_out,), h (n_inhibitory,), float32. Cost: n_out + n_inhibitory additions an event, 2 n_out operations a tick
    for each inhibitory neuron that hears something.
    Errors: ValueError if the file is no model, the layer is not in it, or its size or tick does not fit the stream.

    Example: {type: ei_lif, model: models/digits.safetensors, layer: hidden}

    Source: DeepEISNN (2025): deep spiking networks of excitatory and inhibitory neurons without normalisation.
    """

    type: Literal["ei_lif"] = "ei_lif"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the ei_lif layer in the model")

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "ei_lif")
        check_input(f"ei_lif layer {self.layer!r} of {self.model}", card.n_in, card.tick_us, upstream)
        return out_format(card.n_out, card.tick_us, upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], TickLayer]:
        self.check(upstream)
        return make(load_layer(self.model, self.layer, "ei_lif"), upstream)


def make(spec: EILIFSpec, upstream: Format) -> Callable[[State | None], TickLayer]:
    """What `prepare` returns, for a spec at hand instead of a model file."""
    check_input("the ei_lif layer", spec.n_in, spec.tick_us, upstream)
    return operators_of(Law(spec))


class Law:
    """The arrays of the spec as the kernel takes them."""

    graded = False
    tail_ticks = 0

    def __init__(self, spec: EILIFSpec) -> None:
        from operators.kernels.ei_lif import run_ticks

        self.run_ticks = run_ticks
        self.n_out, self.n_inhibitory = spec.n_out, spec.weight_i.shape[1]
        self.operations = self.n_out + self.n_inhibitory
        self.tick_us = spec.tick_us
        bias = NO_VALUES if spec.bias is None else spec.bias
        silent = ceiling(LIFSpec(spec.weight_e, spec.tau_ms, spec.threshold, spec.tick_us, bias=spec.bias))
        self.constants = (np.empty((2, spec.n_out), np.float32), spec.weight_e, spec.weight_i, spec.weight_ei, spec.gain_e,
                          spec.gain_i, spec.threshold, silent, bias, same_as_one(spec.decay()), spec.tick_us,
                          int(spec.reset == "to_zero"))
        self.restless = bool((silent <= 0).any())

    def start(self) -> State:
        return {"v": np.zeros(self.n_out, np.float32), "e": np.zeros(self.n_out, np.float32),
                "h": np.zeros(self.n_inhibitory, np.float32)}

    def run(self, held: State, clock: np.ndarray, events: Events, room: Events) -> int:
        return int(self.run_ticks(held["v"], held["e"], held["h"], clock, *self.constants,
                                  events.t_us, events.unit, events.value, room.t_us, room.unit))
