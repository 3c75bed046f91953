"""srm: spikes or graded events go in; the spikes of a dense layer of spike response neurons come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.model_layer import check_input, load_layer, read_layer
from operators.neurons import out_format
from operators.silence import greatest_charge, make_silence
from operators.tick_layer import Events, TickLayer, operators_of
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import SRMSpec
from pipeline.packet import Format


class SRMConfig(OperatorConfig):
    """A dense layer of spike response neurons (SRM-alpha, SLAYER): every input spike and every own spike has a response in time.

        u(t) = sum over input spikes of weight eps(t - t_i) - refractory threshold sum over own spikes of nu(t - t_f)
        eps(k) = (k / tau_syn) exp(1 - k / tau_syn), nu(k) = (k / tau_ref) exp(1 - k / tau_ref), k ticks after the spike

    A spike where u >= threshold; nothing is reset. Both kernels are 0 in the tick of their spike, and endless: two states each,
    q <- d (q + p), p <- d p + input, with (e / tau) q the response. Graded events add weight * value; ticks are those of lif.

    u rises for tau_syn after an input, so a neuron may fire in silence. Silence is passed in one step once (e / tau_syn)
    (max(0, q) d + max(0, p) m) < threshold for every neuron, m being the greatest n d^n, since own spikes can only lower u; until
    then the ticks are run.

    In: spikes or graded, n_in units of any shape, times in us, on no tick or on one that divides the layer's.
    Out: spikes of shape (n_out,), stamped with the begin of their tick and given out in the packet that closes it.
    State: p, q, p_own, q_own, the open tick's input, (n_out,) float32 each. Cost: n_out additions an event, 22 n_out operations
    a tick run.
    Errors: ValueError if the file is no model, the layer is not in it, or its size or tick does not fit the stream.

    Example: {type: srm, model: models/norm.safetensors, layer: hidden}

    Source: S. Shrestha and G. Orchard, "SLAYER: spike layer error reassignment in time", NeurIPS 2018, eq. 1-3; W. Gerstner,
    "Time structure of the activity in neural network models", Physical Review E 51 (1995).
    """

    type: Literal["srm"] = "srm"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the srm layer in the model")

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "srm")
        check_input(f"srm layer {self.layer!r} of {self.model}", card.n_in, card.tick_us, upstream)
        return out_format(card.n_out, card.tick_us, upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], TickLayer]:
        self.check(upstream)
        return make(load_layer(self.model, self.layer, "srm"), upstream)


def make(spec: SRMSpec, upstream: Format) -> Callable[[State | None], TickLayer]:
    """What `prepare` returns, for a spec at hand instead of a model file."""
    check_input("the srm layer", spec.n_in, spec.tick_us, upstream)
    return operators_of(SRMLaw(spec))


class SRMLaw:
    """The law of a layer for a TickLayer. `bound`: of p and q, see operators/silence.py."""

    tail_ticks, graded = 0, False

    def __init__(self, spec: SRMSpec) -> None:
        from operators.kernels.srm import run_ticks
        from operators.kernels.ticks import count_unsettled

        self.n_out = self.operations = spec.n_out
        self.tick_us = spec.tick_us
        self._kernel: Callable[..., int] = run_ticks
        (d, d_own), (gain, own_gain) = spec.decays(), spec.gains()
        zero = np.zeros(spec.n_out)
        self._bias = np.zeros(spec.n_out, np.float32) if spec.bias is None else spec.bias
        wide = d.astype(np.float64)
        gains = np.stack([gain * greatest_charge(wide, wide), zero, gain * wide, zero])
        drive, read = np.stack([self._bias.astype(np.float64), zero]), np.stack([zero, gain.astype(np.float64)])
        silence = make_silence(_alpha(wide), drive, read, spec.threshold, gains)
        nothing = np.stack([zero, zero])
        own = make_silence(_alpha(d_own.astype(np.float64)), nothing, nothing, spec.threshold, gains)
        law = np.stack([d, d_own, gain, own_gain, spec.threshold])
        self._law = (spec.weight, self._bias, law, silence.powers, own.powers, silence.bound, spec.tick_us)
        self.bound = silence.bound
        start = np.zeros(spec.n_out, np.float32)
        self.restless = bool(count_unsettled(start, start.copy(), silence.bound, np.float32(0)))

    def start(self) -> State:
        zeros = {name: np.zeros(self.n_out, np.float32) for name in ("p", "q", "p_own", "q_own")}
        return zeros | {"current": self._bias.copy()}

    def run(self, held: State, clock: np.ndarray, events: Events, room: Events) -> int:
        return self._kernel(*held.values(), clock, *self._law, events.t_us, events.unit, events.value, room.t_us, room.unit)


def _alpha(d: np.ndarray) -> np.ndarray:
    """(2, 2, n_out): p' = d p; q' = d (q + p)."""
    return np.stack([np.stack([d, np.zeros_like(d)]), np.stack([d, d])])
