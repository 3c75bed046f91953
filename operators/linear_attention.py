"""linear_attention: spikes or graded events go in; spikes come out that attend to all that came before."""

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
from pipeline.layer_spec import LinearAttentionSpec
from pipeline.packet import NO_VALUES, Format


class LinearAttentionConfig(OperatorConfig):
    """Spiking attention without a softmax, streamed: a running sum S of keys times values, which queries read.

    At every tick, q, k and v being the spikes of leaky integrate-and-fire neurons behind one weight matrix, for each head h:

        S_h <- g_h S_h + k_h^T v_h;  y_h = scale q_h S_h                             g = exp(-tick / memory), 1 by default
        o <- exp(-tick / tau_out) o + y; where o >= threshold_out: a spike at the tick, and o <- o - threshold_out

    Keys and values of a tick count for the queries of the same tick. A gap of n ticks is one step with the float32 of the n-th
    powers (float64); no neuron fires in it but one that a reset left at its threshold.

    In: spikes or graded, n_in units of any shape, times in us, on no tick or on one that divides the layer's.
    Out: spikes of shape (n_out,), stamped with the begin of their tick and given out in the packet that closes it.
    State: u (2 n_keys + n_out,), o (n_out,), S (heads, n_keys / heads, n_out / heads), float32, however long the stream. Cost:
    2 n_keys + n_out additions an event, one addition for each pair of a key's and a value's spike in a head, and n_out / heads
    for each query's.
    Errors: ValueError if the file is no model, the layer is not in it, or its size or tick does not fit the stream.

    Example: {type: linear_attention, model: models/gesture.safetensors, layer: attention}

    Source: Z. Zhou et al., "Spikformer V2" (2024), Q (K^T V) * 0.125; summed over time as A. Katharopoulos et al., "Transformers
    are RNNs", ICML 2020, section 3.3.
    """

    type: Literal["linear_attention"] = "linear_attention"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the linear_attention layer in the model")

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "linear_attention")
        check_input(f"linear_attention layer {self.layer!r} of {self.model}", card.n_in, card.tick_us, upstream)
        return out_format(card.n_out, card.tick_us, upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], TickLayer]:
        self.check(upstream)
        return make(load_layer(self.model, self.layer, "linear_attention"), upstream)


def make(spec: LinearAttentionSpec, upstream: Format) -> Callable[[State | None], TickLayer]:
    """What `prepare` returns, for a spec at hand instead of a model file."""
    check_input("the linear_attention layer", spec.n_in, spec.tick_us, upstream)
    return operators_of(Law(spec))


class Law:
    """The arrays of the spec as the kernel takes them."""

    graded, restless = False, False
    tail_ticks = 0

    def __init__(self, spec: LinearAttentionSpec) -> None:
        from operators.kernels.linear_attention import run_ticks

        self.run_ticks = run_ticks
        self.n_out, self.tick_us = spec.n_out, spec.tick_us
        self.hidden = self.operations = spec.weight.shape[1]
        self.shape = (spec.heads, spec.n_keys // spec.heads, spec.n_out // spec.heads)
        scratch = np.empty(self.n_out, np.float32), np.empty(self.hidden, np.int64), np.empty(self.hidden, np.uint32)
        self.constants = (*scratch, spec.weight, spec.threshold, spec.threshold_out, spec.scale, same_as_one(spec.decay()),
                          same_as_one(spec.decay_out()), spec.memory().astype(np.float64), NO_VALUES, spec.n_keys, spec.tick_us)

    def start(self) -> State:
        return {"u": np.zeros(self.hidden, np.float32), "o": np.zeros(self.n_out, np.float32),
                "sums": np.zeros(self.shape, np.float32)}

    def run(self, held: State, clock: np.ndarray, events: Events, room: Events) -> int:
        return int(self.run_ticks(held["u"], held["o"], held["sums"], clock, *self.constants,
                                  events.t_us, events.unit, events.value, room.t_us, room.unit))
