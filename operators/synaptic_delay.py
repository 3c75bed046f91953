"""synaptic_delay: spikes or graded events go in; spikes of neurons come out, whose synapses each delay in their own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.lif import ceiling, out_format
from operators.model_layer import check_input, load_layer, read_layer
from operators.tick_layer import Events, TickLayer, operators_of
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import LIFSpec, RecurrentLIFSpec, SynapticDelaySpec
from pipeline.packet import NO_VALUES, Format


class SynapticDelayConfig(OperatorConfig):
    """A dense layer of leaky integrate-and-fire neurons, each of whose synapses has a delay of its own, in whole ticks.

    At every tick k, in this order, with d = exp(-tick / tau):

        v <- d v + b + sum of weight[i, j] over the spikes i of tick k - delay[i, j]      graded events: weight[i, j] * value
        where v >= threshold: a spike at k tick, and v <- v - threshold (reset: subtract) or v <- 0 (reset: to_zero)

    What arrives at one tick is summed first, in the order in which the events came. Ticks at which no synapse can deliver are
    skipped: a gap of n ticks is one step with float32(float64(d)**n). With one delay a neuron for all its inputs (delays of shape
    (1, n_out)) the delays are dendritic; without a bias this is `lif` and, behind it, `delay`.

    In: spikes or graded, n_in units of any shape, times in us, on no tick or on one that divides the layer's.
    Out: spikes of shape (n_out,), stamped with the begin of their tick. The output clock runs ahead of the last closed tick by
    the least delay; an episode's output ends the greatest delay after its input.
    Memory: besides the weights, 4 bytes a synapse for its place (dendritic: a neuron) and 4 bytes for each of n_out neurons
    and (greatest - least delay + 1) ticks, whatever the rate. Cost: n_out scattered additions an event, n_out operations a tick.
    Errors: ValueError if the file is no model, the layer is not in it, or its size or tick does not fit the stream.

    Example: {type: synaptic_delay, model: models/words.safetensors, layer: hidden}

    Source: I. Hammouamri, I. Khalfaoui-Hassani and T. Masquelier, "Learning delays in spiking neural networks using dilated
    convolutions with learnable spacings", ICLR 2024, section 3.
    """

    type: Literal["synaptic_delay"] = "synaptic_delay"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the synaptic_delay layer in the model")

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "synaptic_delay")
        check_input(f"synaptic_delay layer {self.layer!r} of {self.model}", card.n_in, card.tick_us, upstream)
        return out_format(card.n_out, card.tick_us, upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], TickLayer]:
        self.check(upstream)
        return make(load_layer(self.model, self.layer, "synaptic_delay"), upstream)


def make(spec: SynapticDelaySpec, upstream: Format) -> Callable[[State | None], TickLayer]:
    """What `prepare` returns, for a spec at hand instead of a model file."""
    check_input("the synaptic_delay layer", spec.n_in, spec.tick_us, upstream)
    return operators_of(Law(spec), spec.lead_ticks)


class Law:
    """The arrays of the spec as the kernel takes them."""

    graded = False

    def __init__(self, spec: SynapticDelaySpec) -> None:
        from operators.kernels.synaptic_delay import run_ticks

        self.run_ticks = run_ticks
        self.n_out = self.operations = spec.n_out
        self.tick_us, self.lead_ticks, self.tail_ticks = spec.tick_us, spec.lead_ticks, spec.reach_ticks
        self.weight, self.threshold, self.ceiling = spec.weight, spec.threshold, silence_ceiling(spec)
        self.slots = spec.reach_ticks - spec.lead_ticks + 1
        later = spec.delay_us // spec.tick_us - spec.lead_ticks
        self.place = (later * spec.n_out + np.arange(spec.n_out)).astype(np.uint32)
        self.bias = NO_VALUES if spec.bias is None else spec.bias
        self.decay = same_as_one(spec.decay())
        self.to_zero = int(spec.reset == "to_zero")
        self.restless = bool((self.ceiling <= 0).any())

    def start(self) -> State:
        return {"v": np.zeros(self.n_out, np.float32), "coming": np.zeros(self.slots * self.n_out, np.float32),
                "due": np.full(2, -(2**62), np.int64)}

    def run(self, held: State, clock: np.ndarray, events: Events, room: Events) -> int:
        return int(self.run_ticks(held["v"], held["coming"], held["due"], clock, self.weight, self.place, self.lead_ticks,
                                  self.threshold, self.ceiling, self.bias, self.decay, self.tick_us, self.to_zero,
                                  events.t_us, events.unit, events.value, room.t_us, room.unit))


def silence_ceiling(spec: SynapticDelaySpec | RecurrentLIFSpec) -> np.ndarray:
    """(n_out,) float32: no neuron below this can reach its threshold without input, as for plain neurons with these membranes."""
    return ceiling(LIFSpec(spec.weight, spec.tau_ms, spec.threshold, spec.tick_us, bias=spec.bias))


def same_as_one(decay: np.ndarray) -> np.ndarray:
    """decay (n_out,) as float64; (1,) where all neurons have the same."""
    kept = decay.astype(np.float64)
    return kept[:1] if (kept == kept[0]).all() else kept
