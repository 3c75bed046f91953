"""mps_lif: spikes or graded events go in; spikes of a dense layer of neurons with smoothed membranes come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.lif import out_format
from operators.model_layer import check_input, load_layer, read_layer
from operators.synaptic_delay import same_as_one
from operators.tick_layer import Events, TickLayer, operators_of
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import MPSLIFSpec
from pipeline.packet import Format


class MPSLIFConfig(OperatorConfig):
    """A dense layer of leaky integrate-and-fire neurons with membrane potential smoothing, as one state a neuron.

    With k = exp(-tick / tau), rho = k + alpha (1 - k) and I the sum of weight[i] over a tick's spikes i (graded: times value):

        h = k hs + I;  where h >= threshold: a spike at the tick
        hs <- rho hs + (1 - alpha) (I - threshold of each spike)                                    the hs of the next tick

    That is the paper's hs <- alpha hs + (1 - alpha) u, h = k hs + I, u <- h - threshold spike, spike for spike. A gap of n more
    ticks is one step with float32(float64(rho)**n). No neuron that is below its threshold crosses it in silence; one that a
    reset left above fires at the next tick too.

    In: spikes or graded, n_in units of any shape, times in us, on no tick or on one that divides the layer's.
    Out: spikes of shape (n_out,), stamped with the begin of their tick and given out in the packet that closes it.
    State: hs (n_out,) and the input of the open tick (n_out,), float32. Cost: n_out additions an event, n_out operations a tick.
    Errors: ValueError if the file is no model, the layer is not in it, or its size or tick does not fit the stream.

    Example: {type: mps_lif, model: models/gesture.safetensors, layer: hidden}

    Source: Y. Ding et al., "Rethinking spiking neural networks from an ensemble learning perspective", ICLR 2025, section 4.2.
    """

    type: Literal["mps_lif"] = "mps_lif"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the mps_lif layer in the model")

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "mps_lif")
        check_input(f"mps_lif layer {self.layer!r} of {self.model}", card.n_in, card.tick_us, upstream)
        return out_format(card.n_out, card.tick_us, upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], TickLayer]:
        self.check(upstream)
        return make(load_layer(self.model, self.layer, "mps_lif"), upstream)


def make(spec: MPSLIFSpec, upstream: Format) -> Callable[[State | None], TickLayer]:
    """What `prepare` returns, for a spec at hand instead of a model file."""
    check_input("the mps_lif layer", spec.n_in, spec.tick_us, upstream)
    return operators_of(Law(spec))


class Law:
    """The arrays of the spec as the kernel takes them."""

    graded, restless = False, False
    tail_ticks = 0

    def __init__(self, spec: MPSLIFSpec) -> None:
        from operators.kernels.mps_lif import run_ticks

        self.run_ticks = run_ticks
        self.n_out = self.operations = spec.n_out
        self.tick_us = spec.tick_us
        self.weight, self.threshold, self.k = spec.weight, spec.threshold, spec.decay()
        self.rho, self.gain = same_as_one(spec.smooth_decay()), np.float32(1 - spec.alpha)

    def start(self) -> State:
        return {"hs": np.zeros(self.n_out, np.float32), "current": np.zeros(self.n_out, np.float32)}

    def run(self, held: State, clock: np.ndarray, events: Events, room: Events) -> int:
        return int(self.run_ticks(held["hs"], held["current"], clock, self.weight, self.threshold, self.k, self.rho, self.gain,
                                  self.tick_us, events.t_us, events.unit, events.value, room.t_us, room.unit))
