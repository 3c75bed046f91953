"""lif: spikes or graded events go in; the spikes of a dense layer of leaky integrate-and-fire neurons come out."""

from __future__ import annotations

import ctypes
import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from pydantic import Field

from operators.model_layer import check_input, load_layer, read_layer
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import LIFSpec, QuantisedLIFSpec
from pipeline.packet import NO_TIMES, NO_UNITS, NO_VALUES, Format, Packet

LAST, OPEN, UNSETTLED, STOP, CURSOR = range(5)  # the entries of the kernel's clock
LEAST_ROOM = 8192  # spikes that the output buffer takes at least
KEPT_TICKS, KEPT_ENTRIES = 1024, 2**18  # how far the table of decays reaches at most, and its greatest size
LANES, COLUMNS = 64, 32  # what the kernel rounds the length of v, and of a row of weights, up to
MASKS = 64  # ticks whose spikes the kernel holds as masks before it writes them
ALIGNMENT = 64  # bytes, a line of the cache


class LIFConfig(OperatorConfig):
    """A dense layer of leaky integrate-and-fire neurons, run event by event: silence costs nothing and changes nothing.

    Tick k holds the events of [k tick, (k+1) tick), ticks being counted from stream time 0. At every tick, in this order:

        v <- d v + b + sum of weight[i] over the tick's spikes i     d = exp(-tick / tau); graded events: weight[i] * value
        where v >= threshold: a spike at k tick, and v <- v - threshold (reset: subtract) or v <- 0 (reset: to_zero)

    A gap of n ticks is one step with float32(float64(d)**n). Two spikes of one unit in one tick count twice. A neuron that is
    still at its threshold after a reset fires at the next tick too. A layer whose tick is none is this law at 1 us, with
    float32(exp(-dt / tau)) over a gap dt. A neuron with a bias b may fire in silence; then its ticks are run.

    In: spikes or graded, n_in units of any shape, times in us, on no tick or on one that divides the layer's.
    Out: spikes of shape (n_out,), stamped with the begin of their tick and given out in the packet that closes it.
    State: v (n_out,) float32, to which the events of the open tick are added as they come. Cost: n_out additions an event,
    n_out operations a tick with input.
    Errors: ValueError if the file is no model, the layer is not in it, or its size or tick does not fit the stream.

    Example: {type: lif, model: models/nmnist.safetensors, layer: hidden}

    Source: W. Gerstner and W. Kistler, Spiking Neuron Models (2002), section 4.1.
    """

    type: Literal["lif"] = "lif"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the lif layer in the model")

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "lif")
        check_input(f"lif layer {self.layer!r} of {self.model}", card.n_in, card.tick_us, upstream)
        return out_format(card.n_out, card.tick_us, upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], LIF]:
        self.check(upstream)
        return make(load_layer(self.model, self.layer, "lif"), upstream)


def out_format(n_out: int, tick_us: int | None, upstream: Format) -> Format:
    return dataclasses.replace(upstream, kind="spikes", shape=(n_out,), tick_us=tick_us, rate_hz=None)


def make(spec: LIFSpec, upstream: Format) -> Callable[[State | None], LIF]:
    """What `prepare` returns, for a spec at hand instead of a model file."""
    check_input("the lif layer", spec.n_in, spec.tick_us, upstream)
    law = Law(spec)
    return lambda state: LIF(law, state)


class Law:
    """What all operators of one layer share: the arrays of the spec as the kernel takes them, which never change.

    And working memory, `rooms`: an operator takes one for a packet and gives it back, since new memory costs as much as a layer.
    """

    def __init__(self, spec: LIFSpec) -> None:
        from operators.kernels import lif as kernels

        self.run_ticks = kernels.run_ticks
        self.n_out, self.tick_us = spec.n_out, spec.tick_us or 1
        self.lanes = rounded_up(spec.n_out, LANES)
        self.slack, self.room = kernels.SLACK, max(self.lanes, LEAST_ROOM)
        self.rooms: list[tuple[np.ndarray, ...]] = []
        self.weight = rows(spec.weight)
        self.threshold, self.ceiling = (padded(array, self.lanes, np.inf) for array in (spec.threshold, ceiling(spec)))
        self.restless = bool((self.ceiling <= 0).any())  # where the bias alone reaches the threshold
        self.bias = np.empty(0, np.float32) if spec.bias is None else padded(spec.bias, self.lanes, 0)
        event_mode = int(spec.tick_us is None)
        self.modes = (self.tick_us, event_mode, int(spec.reset == "to_zero"), np.float32(0))
        rate = spec.tau_ms.astype(np.float64) * 1000 if event_mode else spec.decay().astype(np.float64)
        self.rate = rate[:1] if (rate == rate[0]).all() else padded(rate, self.lanes, 0)
        self.kept = np.empty((max(2, min(KEPT_TICKS, KEPT_ENTRIES // self.rate.size)), self.rate.size), np.float32)
        kernels.fill_kept(self.rate, event_mode, self.kept)

    def take_room(self) -> tuple[np.ndarray, ...]:
        """Masks of spikes, their times, and what comes out: t_us and unit. Whoever takes it puts it back into `rooms`."""
        if self.rooms:
            return self.rooms.pop()
        masks, length = (MASKS, self.lanes // 64), self.room + self.slack
        return np.empty(masks, np.uint64), np.empty(MASKS, np.int64), np.empty(length, np.int64), np.empty(length, np.uint32)


def rounded_up(n: int, step: int) -> int:
    return -(-n // step) * step


def padded(values: np.ndarray, length: int, filler: float) -> np.ndarray:
    """`values` with `filler` behind them, up to the length."""
    array = aligned((length,), values.dtype.type)
    array[:] = filler
    array[: values.shape[0]] = values
    return array


def aligned(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """Zeros that begin at a line of the cache: loads of whole vectors then touch one line each."""
    memory = np.zeros(math.prod(shape) * np.dtype(dtype).itemsize + ALIGNMENT, np.uint8)
    begin = -ctypes.addressof(ctypes.c_char.from_buffer(memory.data)) % ALIGNMENT  # twice as fast as numpy's own ways
    return np.ndarray(shape, dtype, memory, begin)


def rows(weight: np.ndarray) -> np.ndarray:
    """weight (n_in, n_out) as the kernel takes it: rows that begin at lines of the cache, and a last row whose addition changes
    nothing, -0.0: v + -0.0 is v bit for bit, as v + 0.0 is not where v is -0.0."""
    n_in, n_out = weight.shape
    columns = rounded_up(n_out, COLUMNS)
    array = aligned((n_in + 1, columns))
    array[:] = -0.0
    array[:n_in, :n_out] = weight
    return array


def ceiling(spec: LIFSpec | QuantisedLIFSpec) -> np.ndarray:
    """(n_out,) float32: no neuron below this can reach its threshold without input; -inf where the bias alone drives it there.

    In silence v moves from where it is towards r = b / (1 - d) and never beyond, so max(v, r) < threshold is the bound. With a
    bias both are held below it by more than the rounding of a sum over ticks, 2^-23 / (1 - d), could ever make up.
    """
    if spec.bias is None:
        return spec.threshold
    d, b, threshold = (array.astype(np.float64) for array in (spec.decay(), spec.bias, spec.threshold))
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.where(b > 0, b / (1 - d), 0.0)
        margin = np.where(b == 0, 0.0, 2.0**-21 * np.maximum(rest, threshold) / (1 - d))
    margin = np.where((d == 1) & (b <= 0), 0.0, margin)
    safe = rest + margin < threshold
    return np.where(safe, threshold - np.where(safe, margin, 0.0), -np.inf).astype(np.float32)


class LIF:
    """The layer at work on one episode. Its output clock lags behind its input's to the last closed tick."""

    def __init__(self, law: Law, state: State | None) -> None:
        self._law = law
        self._tick_us = law.tick_us
        self._v = aligned((law.lanes,))  # zeros behind the n_out membranes
        self._clock = np.zeros(5, np.int64)  # as the kernel has it
        self._started, self._end_us, self._out_us, self._events, self._spikes = 0, 0, 0, 0, 0
        self._clock[UNSETTLED] = law.restless
        if state is not None:
            self._v[: law.n_out] = state["v"]
            self._clock[:3] = state["ticks"]
            self._started, self._end_us, self._out_us, self._events, self._spikes = state["clock"].tolist()
        self._pending = bool(self._clock[OPEN] or self._clock[UNSETTLED])

    def process(self, packet: Packet) -> Packet:
        if not self._started:
            self._start(packet.begin_us // self._tick_us)
        self._end_us = end_us = packet.end_us
        return self._take(packet.t_us, packet.unit, packet.value, end_us // self._tick_us)

    def finish(self) -> Packet:
        return self._take(NO_TIMES, NO_UNITS, None, -(-self._end_us // self._tick_us))

    def snapshot(self) -> State:
        clock = [self._started, self._end_us, self._out_us, self._events, self._spikes]
        return {"v": self._v[: self._law.n_out].copy(), "ticks": self._clock[:3].copy(), "clock": np.array(clock, np.int64)}

    def report(self) -> dict[str, Any]:
        return {"spikes": self._spikes, "synaptic_operations": self._events * self._law.n_out}

    def _start(self, tick: int) -> None:
        """Nothing happened before the tick in which the episode begins."""
        self._started = 1
        self._out_us = tick * self._tick_us
        self._clock[LAST] = tick - 1

    def _take(self, t_us: np.ndarray, unit: np.ndarray, value: np.ndarray | None, stop: int) -> Packet:
        """Take in events; the output up to the begin of tick `stop`."""
        begin_us = self._out_us
        self._out_us = end_us = stop * self._tick_us
        n_events = t_us.shape[0]
        if not n_events and (end_us == begin_us or not self._pending):
            return Packet(begin_us, end_us)
        self._events += n_events
        spikes = self._run(t_us, unit, NO_VALUES if value is None else value, stop)
        return Packet(begin_us, end_us, *spikes) if spikes else Packet(begin_us, end_us)

    def _run(self, t_us: np.ndarray, unit: np.ndarray, value: np.ndarray, stop: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The spikes of the ticks before `stop`, as t_us and unit; None if there are none."""
        law, clock = self._law, self._clock
        clock[STOP], clock[CURSOR] = stop, 0
        parts: list[tuple[np.ndarray, np.ndarray]] = []
        full, room = True, law.take_room()
        while full:
            n = law.run_ticks(self._v, clock, law.weight, law.threshold, law.ceiling, law.bias, law.rate, law.kept, *law.modes,
                              t_us, unit, value, *room)
            full = n + law.lanes > law.room
            if n:
                parts.append((room[2][:n].copy(), room[3][:n].copy()))
                self._spikes += n
        law.rooms.append(room)
        self._pending = bool(clock[OPEN] or clock[UNSETTLED])
        if len(parts) > 1:
            return np.concatenate([t_us for t_us, _ in parts]), np.concatenate([unit for _, unit in parts])
        return parts[0] if parts else None
