"""quantised_lif: spikes go in; the spikes of a dense layer of leaky integrate-and-fire neurons with few-bit weights come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from pydantic import Field

from operators.lif import KEPT_TICKS, LANES, MASKS, aligned, ceiling, out_format, padded, rounded_up
from operators.model_layer import check_input, load_layer, read_layer
from operators.synaptic_delay import same_as_one
from operators.tick_layer import Events, TickLayer, operators_of
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import QuantisedLIFSpec
from pipeline.packet import Format

MOST_EVENTS = {1: 127, 2: 127, 4: 18, 8: 256}  # whose codes fit into a byte's sum, at 8 bits into two bytes', by bits a weight


class QuantisedLIFConfig(OperatorConfig):
    """A dense layer of leaky integrate-and-fire neurons with weights of 1 bit, three values, 4 or 8 bits and one scale a neuron.

    At every tick, in this order, tick k holding the events of [k tick, (k+1) tick):

        n = sum of code[i] over the tick's spikes i, a whole number;  v <- d v + b + scale n      d = exp(-tick / tau)
        where v >= threshold: a spike at k tick, and v <- v - threshold (reset: subtract) or v <- 0 (reset: to_zero)

    It is the law of lif for the weights scale code, but that the scale multiplies the whole sum once: so the result does not
    depend on the order of a tick's spikes, and is that of scale (x @ code) to the bit. A gap of m ticks is one step with
    float32(float64(d)**m). Event mode (tick none), and a bias b that may make a neuron fire in silence: as in lif.

    In: spikes, n_in units of any shape, times in us, on no tick or on one that divides the layer's.
    Out: spikes of shape (n_out,), stamped with the begin of their tick and given out in the packet that closes it.
    State: v float32 and sums int32, the open tick's n, both of n_out rounded up to 64. Cost: n_out additions of bytes an event,
    n_out operations a tick with input. Memory: `bits` a weight in the file, scales aside, and at work, n_out rounded up to 64, a
    bit a weight at 1 bit (1/32 of float32), else a byte.
    Errors: ValueError if the file is no model, the layer is not in it, its size or tick does not fit the stream, or on graded
    events.

    Example: {type: quantised_lif, model: models/nmnist.safetensors, layer: hidden}

    Source: M. Rastegari et al., "XNOR-Net: ImageNet classification using binary convolutional neural networks", ECCV 2016.
    """

    type: Literal["quantised_lif"] = "quantised_lif"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the quantised_lif layer in the model")

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "quantised_lif")
        takes(f"quantised_lif layer {self.layer!r} of {self.model}", card.n_in, card.tick_us, upstream)
        return out_format(card.n_out, card.tick_us, upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], TickLayer]:
        self.check(upstream)
        return make(load_layer(self.model, self.layer, "quantised_lif"), upstream)


def takes(what: str, n_in: int, tick_us: int | None, upstream: Format) -> None:
    check_input(what, n_in, tick_us, upstream)
    if upstream.kind != "spikes":
        raise ValueError(f"{what} adds whole numbers and takes spikes alone, got {upstream}; a lif layer takes graded events")


def make(spec: QuantisedLIFSpec, upstream: Format) -> Callable[[State | None], TickLayer]:
    """What `prepare` returns, for a spec at hand instead of a model file."""
    takes("the quantised_lif layer", spec.n_in, spec.tick_us, upstream)
    return operators_of(Law(spec))


class Law:
    """The arrays of the spec as the kernel takes them, and its working memory."""

    graded = False
    tail_ticks = 0

    def __init__(self, spec: QuantisedLIFSpec) -> None:
        from operators.kernels import lif, quantised_lif

        self.run_ticks: Callable[..., int] = quantised_lif.run_ticks
        self.rooms: list[tuple[np.ndarray, ...]] = []  # an operator takes one for a packet: new memory costs as much as a layer
        self.tick_us, self.operations, event_mode = spec.tick_us or 1, spec.n_out, int(spec.tick_us is None)
        self.lanes = rounded_up(spec.n_out, LANES)
        self.n_out = self.lanes + quantised_lif.SLACK  # room that the kernel needs for one tick
        self.codes = words(spec) if spec.bits == 1 else rows(spec)
        self.of_sums: Any = np.int16 if spec.bits == 8 else np.int8
        self.sums = (int(spec.bits == 1), MOST_EVENTS[spec.bits])
        self.scale, self.threshold = padded(spec.scale, self.lanes, 0), padded(spec.threshold, self.lanes, np.inf)
        self.ceiling = padded(ceiling(spec), self.lanes, np.inf)
        self.restless = bool((self.ceiling <= 0).any())  # where the bias alone reaches the threshold
        self.bias = np.empty(0, np.float32) if spec.bias is None else padded(spec.bias, self.lanes, 0)
        rate = same_as_one(spec.tau_ms.astype(np.float64) * 1000 if event_mode else spec.decay().astype(np.float64))
        self.rate = rate if rate.size == 1 else padded(rate, self.lanes, 0)
        self.kept = np.empty((KEPT_TICKS if rate.size == 1 else 2, self.rate.size), np.float32)
        lif.fill_kept(self.rate, event_mode, self.kept)
        self.modes = (self.tick_us, event_mode, int(spec.reset == "to_zero"))

    def start(self) -> State:
        memory = aligned((2, self.lanes))
        return {"v": memory[0], "sums": memory[1].view(np.int32)}

    def run(self, held: State, clock: np.ndarray, events: Events, room: Events) -> int:
        memory = self.rooms.pop() if self.rooms else self.room()
        n = self.run_ticks(held["v"], held["sums"], clock, self.codes, memory[0], *self.sums, self.scale, self.threshold,
                           self.ceiling, self.bias, self.rate, self.kept, *self.modes, events.t_us, events.unit, *memory[1:],
                           room.t_us, room.unit)
        self.rooms.append(memory)
        return int(n)

    def room(self) -> tuple[np.ndarray, ...]:
        """What the kernel works in: sums of a tick, all 0 before and after; masks of spikes, and their times."""
        few = aligned((self.lanes,), self.of_sums)
        return few, np.empty((MASKS, self.lanes // 64), np.uint64), np.empty(MASKS, np.int64)


def words(spec: QuantisedLIFSpec) -> np.ndarray:
    """The signs of 64 units, or of 128 where their number is a multiple, as operators/lanes.py has them; a last row of zeros."""
    n_bytes = rounded_up(spec.n_out, LANES) // 8
    packed = np.zeros((spec.n_in + 1, n_bytes), np.uint8)
    packed[:-1, : spec.packed.shape[1]] = spec.packed
    signs = packed.view("<u8").astype(np.uint64)
    if signs.shape[1] % 2:
        return np.ascontiguousarray(signs.T)
    return np.ascontiguousarray(signs.reshape(spec.n_in + 1, -1, 2).transpose(1, 0, 2))


def rows(spec: QuantisedLIFSpec) -> np.ndarray:
    """(n_in + 1, lanes) int8: the codes as operators/lanes.py has them, and a last row of zeros."""
    array = aligned((spec.n_in + 1, rounded_up(spec.n_out, LANES)), np.int8)
    array[:-1, : spec.n_out] = spec.codes()
    return array
