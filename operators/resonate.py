"""resonate: spikes or graded events go in; the spikes of a dense layer of resonate-and-fire neurons come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.model_layer import check_input, load_layer, read_layer
from operators.neurons import PairLaw, out_format
from operators.silence import make_silence
from operators.tick_layer import TickLayer, operators_of
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import ResonateSpec
from pipeline.packet import Format


class ResonateConfig(OperatorConfig):
    """A dense layer of resonate-and-fire neurons (complex LIF, C-SiLIF): a state that decays and turns.

    At every tick, in this order, ticks being those of lif:

        z <- exp((-1 / tau + 2 pi i frequency) tick) z + b + sum of weight[k] over the tick's spikes k    z = x + i y
        where x >= threshold: a spike at k tick, and x <- x - threshold (reset: subtract) or z <- 0 (reset: to_zero)

    Graded events add weight[k] * value. x swings, so a neuron may fire in silence. Silence is passed in one step once a bound
    proves that no neuron of the layer can fire in it; until then the ticks are run (operators/silence.py has the proof).

    In: spikes or graded, n_in units of any shape, times in us, on no tick or on one that divides the layer's.
    Out: spikes of shape (n_out,), stamped with the begin of their tick and given out in the packet that closes it.
    State: x, y, the open tick's input, (n_out,) float32 each. Cost: n_out additions an event, 17 n_out operations a tick run.
    Errors: ValueError if the file is no model, the layer is not in it, or its size or tick does not fit the stream.

    Example: {type: resonate, model: models/shd.safetensors, layer: hidden}

    Source: E. Izhikevich, "Resonate-and-fire neurons", Neural Networks 14 (2001); M. Fabre et al., "Structured state space model
    dynamics and parametrization for spiking neural networks" (2025), section C-SiLIF.
    """

    type: Literal["resonate"] = "resonate"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the resonate layer in the model")

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "resonate")
        check_input(f"resonate layer {self.layer!r} of {self.model}", card.n_in, card.tick_us, upstream)
        return out_format(card.n_out, card.tick_us, upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], TickLayer]:
        self.check(upstream)
        return make(load_layer(self.model, self.layer, "resonate"), upstream)


def make(spec: ResonateSpec, upstream: Format) -> Callable[[State | None], TickLayer]:
    """What `prepare` returns, for a spec at hand instead of a model file."""
    check_input("the resonate layer", spec.n_in, spec.tick_us, upstream)
    return operators_of(tick_law(spec))


def tick_law(spec: ResonateSpec) -> PairLaw:
    from operators.kernels.resonate import run_ticks

    re, im = (part.astype(np.float64) for part in spec.turn())
    zero, one = np.zeros(spec.n_out), np.ones(spec.n_out)
    bias = zero if spec.bias is None else spec.bias.astype(np.float64)
    matrix = np.stack([np.stack([re, -im]), np.stack([im, re])])
    silence = make_silence(matrix, np.stack([bias, zero]), np.stack([one, zero]), spec.threshold)
    law = np.stack([*spec.turn(), spec.threshold])
    return PairLaw(spec, run_ticks, ("x", "y"), law, silence, int(spec.reset == "to_zero"))
