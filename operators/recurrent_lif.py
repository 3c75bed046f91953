"""recurrent_lif: spikes or graded events go in; spikes of neurons come out that hear each other, each after a delay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.lif import out_format
from operators.model_layer import check_input, load_layer, read_layer
from operators.synaptic_delay import same_as_one, silence_ceiling
from operators.tick_layer import Events, TickLayer, operators_of
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import RecurrentLIFSpec
from pipeline.packet import NO_VALUES, Format


class RecurrentLIFConfig(OperatorConfig):
    """A dense layer of leaky integrate-and-fire neurons with recurrent weights, and a recurrent delay of each neuron.

    At every tick k, in this order, with d = exp(-tick / tau):

        v <- d v + b + sum of recurrent[j] over the layer's own spikes j of tick k - 1 - delay[j]
               + sum of weight[i] over the tick's input spikes i                                  graded events: weight[i] * value
        where v >= threshold: a spike at k tick, and v <- v - threshold (reset: subtract) or v <- 0 (reset: to_zero)

    Arrivals are added the earliest fired first, those of one tick in the order of their units; then the events as they came.
    A tick is run if it has events or arrivals, or if a bias or a reset left a neuron where it may fire in silence; any other
    gap of n ticks is one step with float32(float64(d)**n). So in silence the layer runs as long as its spikes are underway.

    In: spikes or graded, n_in units of any shape, times in us, on no tick or on one that divides the layer's.
    Out: spikes of shape (n_out,), stamped with the begin of their tick and given out in the packet that closes it. It ends with
    the episode: spikes underway then arrive nowhere.
    Memory: 4 bytes for each of n_out neurons and (greatest delay + 1) ticks. Cost: n_out additions an event and n_out a spike of
    its own, n_out operations a tick that is run.
    Errors: ValueError if the file is no model, the layer is not in it, or its size or tick does not fit the stream.

    Example: {type: recurrent_lif, model: models/words.safetensors, layer: hidden}

    Source: A. Queant et al., "DelRec: learning delays in recurrent spiking neural networks" (2025), section 3.
    """

    type: Literal["recurrent_lif"] = "recurrent_lif"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the recurrent_lif layer in the model")

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "recurrent_lif")
        check_input(f"recurrent_lif layer {self.layer!r} of {self.model}", card.n_in, card.tick_us, upstream)
        return out_format(card.n_out, card.tick_us, upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], TickLayer]:
        self.check(upstream)
        return make(load_layer(self.model, self.layer, "recurrent_lif"), upstream)


def make(spec: RecurrentLIFSpec, upstream: Format) -> Callable[[State | None], TickLayer]:
    """What `prepare` returns, for a spec at hand instead of a model file."""
    check_input("the recurrent_lif layer", spec.n_in, spec.tick_us, upstream)
    return operators_of(Law(spec))


class Law:
    """The arrays of the spec as the kernel takes them."""

    graded = False
    tail_ticks = 0

    def __init__(self, spec: RecurrentLIFSpec) -> None:
        from operators.kernels.recurrent_lif import run_ticks

        self.run_ticks = run_ticks
        self.n_out = self.operations = spec.n_out
        self.tick_us = spec.tick_us
        self.weight, self.recurrent = spec.weight, spec.recurrent
        self.delay = spec.delay_us // spec.tick_us
        self.threshold, self.ceiling = spec.threshold, silence_ceiling(spec)
        self.bias = NO_VALUES if spec.bias is None else spec.bias
        self.decay = same_as_one(spec.decay())
        self.to_zero = int(spec.reset == "to_zero")
        self.restless = bool((self.ceiling <= 0).any())

    def start(self) -> State:
        slots = int(self.delay.max()) + 1
        return {"v": np.zeros(self.n_out, np.float32), "underway": np.zeros((slots, self.n_out), np.uint32),
                "counts": np.zeros(slots, np.int64)}

    def run(self, held: State, clock: np.ndarray, events: Events, room: Events) -> int:
        return int(self.run_ticks(held["v"], held["underway"], held["counts"], clock, self.weight, self.recurrent, self.delay,
                                  self.threshold, self.ceiling, self.bias, self.decay, self.tick_us, self.to_zero,
                                  events.t_us, events.unit, events.value, room.t_us, room.unit))
