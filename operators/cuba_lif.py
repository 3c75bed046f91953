"""cuba_lif: spikes or graded events go in; the spikes of a dense layer of LIF neurons with exponential synapses come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.model_layer import check_input, load_layer, read_layer
from operators.neurons import PairLaw, out_format
from operators.silence import MARGIN, greatest_charge, make_silence
from operators.tick_layer import Events, Law, TickLayer, operators_of
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import CubaLIFSpec
from pipeline.packet import Format


class CubaLIFConfig(OperatorConfig):
    """A dense layer of current-based leaky integrate-and-fire neurons: their input is a current that decays exponentially.

    At every tick, in this order, ticks being those of lif:

        i <- a i + b + sum of weight[k] over the tick's spikes k     a = exp(-tick / tau_syn); graded events: weight[k] * value
        v <- d v + i                                                 d = exp(-tick / tau)
        where v >= threshold: a spike at k tick, and v <- v - threshold (reset: subtract) or v <- 0 (reset: to_zero)

    A layer whose tick is none lives in continuous time: a spike adds its weight to i, di/dt = -i / tau_syn, dv/dt = -v / tau + i
    with t in ms. v rises between events, to one maximum at most, so the first microsecond at which it reaches the threshold is
    found in closed form and by halving: no crossing is missed, and silence costs nothing.

    On a tick, silence is passed in one step once max(0, v) d + max(0, i) p + ... < threshold for every neuron, p being the
    greatest that a unit of current ever adds to v; until then the ticks are run (operators/silence.py has the proof).

    In: spikes or graded, n_in units of any shape, times in us, on no tick or on one that divides the layer's.
    Out: spikes of shape (n_out,), stamped with the begin of their tick and given out in the packet that closes it.
    State: i, v, the open tick's input, (n_out,) float32 each. Cost: n_out additions an event, 15 n_out operations a tick run.
    Errors: ValueError if the file is no model, the layer is not in it, or its size or tick does not fit the stream.

    Example: {type: cuba_lif, model: models/digits.safetensors, layer: hidden}

    Source: M. Davies et al., "Loihi: a neuromorphic manycore processor with on-chip learning", IEEE Micro 38 (2018), eq. 1-2;
    W. Gerstner and W. Kistler, Spiking Neuron Models (2002), section 4.1.
    """

    type: Literal["cuba_lif"] = "cuba_lif"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the cuba_lif layer in the model")

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "cuba_lif")
        check_input(f"cuba_lif layer {self.layer!r} of {self.model}", card.n_in, card.tick_us, upstream)
        return out_format(card.n_out, card.tick_us, upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], TickLayer]:
        self.check(upstream)
        return make(load_layer(self.model, self.layer, "cuba_lif"), upstream)


def make(spec: CubaLIFSpec, upstream: Format) -> Callable[[State | None], TickLayer]:
    """What `prepare` returns, for a spec at hand instead of a model file."""
    check_input("the cuba_lif layer", spec.n_in, spec.tick_us, upstream)
    law: Law = EventLaw(spec) if spec.tick_us is None else tick_law(spec)
    return operators_of(law)


def tick_law(spec: CubaLIFSpec) -> PairLaw:
    from operators.kernels.cuba_lif import run_ticks

    a, d = spec.synaptic_decay().astype(np.float64), spec.decay().astype(np.float64)
    zero, one = np.zeros_like(a), np.ones_like(a)
    bias = zero if spec.bias is None else spec.bias.astype(np.float64)
    matrix = np.stack([np.stack([a, zero]), np.stack([a, d])])  # i' = a i + b; v' = d v + i'
    gains = np.stack([greatest_charge(a, d), zero, d, zero])
    silence = make_silence(matrix, np.stack([bias, bias]), np.stack([zero, one]), spec.threshold, gains)
    law = np.stack([spec.synaptic_decay(), spec.decay(), spec.threshold])
    return PairLaw(spec, run_ticks, ("i", "v"), law, silence, int(spec.reset == "to_zero"))


class EventLaw:
    """The layer in continuous time. State: i, in v per ms, and v, (n_out,) float32."""

    tick_us, tail_ticks, graded, restless = 1, 0, False, False

    def __init__(self, spec: CubaLIFSpec) -> None:
        from operators.kernels.cuba_lif import run_events

        self.n_out = self.operations = spec.n_out
        self._run_events = run_events
        with np.errstate(divide="ignore"):
            rates = 1 / np.stack([spec.tau_syn_ms, spec.tau_ms]).astype(np.float64)
        if (rates == rates[:, :1]).all():
            rates = np.ascontiguousarray(rates[:, :1])
        greatest = np.broadcast_to(greatest_charge_ms(*rates), spec.n_out) * (1 + MARGIN)
        law = np.stack([spec.threshold, np.minimum(greatest, 1e30), spec.threshold * (1 - 4 * MARGIN), np.zeros(spec.n_out)])
        self._law = (spec.weight, law.astype(np.float32), rates, int(spec.reset == "to_zero"))

    def start(self) -> State:
        return {"i": np.zeros(self.n_out, np.float32), "v": np.zeros(self.n_out, np.float32)}

    def run(self, held: State, clock: np.ndarray, events: Events, room: Events) -> int:
        return self._run_events(held["i"], held["v"], clock, *self._law,
                                events.t_us, events.unit, events.value, room.t_us, room.unit)


def greatest_charge_ms(synaptic: np.ndarray, membrane: np.ndarray) -> np.ndarray:
    """The most that a current of 1 v per ms ever makes of v = 0: (exp(-t membrane) - exp(-t synaptic)) / (synaptic - membrane)
    at t = log(synaptic / membrane) / (synaptic - membrane); rates in 1/ms. inf where neither decays."""
    with np.errstate(all="ignore"):
        fast, slow = np.maximum(synaptic, membrane), np.minimum(synaptic, membrane)
        found = np.exp(-slow * np.log(fast / slow) / (fast - slow)) / fast  # at t both terms are in the ratio of their rates
        found = np.where(fast == slow, 1 / (np.e * fast), found)
        return np.where(slow == 0, 1 / fast, found)
