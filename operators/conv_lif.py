"""conv_lif: spikes or graded events of an image go in; the spikes of a convolutional layer of LIF neurons come out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, cast

import numpy as np
from pydantic import Field

from operators.lif import ceiling
from operators.model_layer import check_input, load_layer, read_layer
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import ConvLIFSpec
from pipeline.packet import NO_TIMES, NO_UNITS, NO_VALUES, Format, Packet

LAST, OPEN, STOP, CURSOR, TOUCHED, FED, RESTLESS, ADDED, FULL = range(9)  # the entries of the kernel's clock
LEAST_ROOM = 4096  # spikes that the output buffer takes at least
BUCKETS = 256  # to which cells are dealt out to be put in order
KEPT_TICKS, KEPT_ENTRIES = 1024, 2**17  # how far the tables of decays reach at most, and their greatest size


class ConvLIFConfig(OperatorConfig):
    """A convolutional layer of leaky integrate-and-fire neurons, run event by event: work follows the events, not the pixels.

    Tick k holds the events of [k tick, (k+1) tick), ticks being counted from stream time 0. At every tick, in this order:

        c[o, oy, ox] <- sum of weight[o, i, ky, kx] over the tick's spikes (i, y, x) with y = oy stride - padding + ky dilation
                        and the same for x; graded events: weight * value; channel i in the group of o
        c <- the maximum of c over each window, if the layer has a maximum between convolution and neurons
        v <- d v + b + c            d = exp(-tick / tau)
        where v >= threshold: a spike at k tick, and v <- v - threshold (reset: subtract) or v <- 0 (reset: to_zero)

    An event adds one patch of the kernel; a pixel is decayed, over its whole gap of n ticks by float32(float64(d)**n), when an
    event reaches it, and compared when the tick closes. A pixel still at its threshold after a reset fires at the next tick
    too. A layer whose tick is none is this law at 1 us, with float32(exp(-dt / tau)) over a gap dt. Where a bias b could bring
    a channel to its threshold in silence, its ticks are run.

    In: spikes or graded of the layer's shape (c_in, height, width), or flat, times in us, on no tick or on one that divides the
    layer's. Out: spikes of shape (c_out, height, width), stamped with the begin of their tick and given out in the packet that
    closes it. State: v float32, channels side by side, and the tick to which each pixel has decayed; with a maximum in between
    the sums of the open tick. Memory: 24 bytes a neuron, most of it room for spikes, and 32 a pixel and group; with a maximum
    4 more for each sum and 16 for each pixel and group of the sums.
    Cost: the patch, c_out kh kw / (stride^2 groups) additions, an event; c_out operations a touched pixel and tick.
    Errors: ValueError if the file is no model, the layer is not in it, or its shape or tick does not fit the stream.

    Example: {type: conv_lif, model: models/gesture.safetensors, layer: first}

    Source: the LIF of W. Gerstner and W. Kistler, Spiking Neuron Models (2002), section 4.1; event-driven convolution after
    L. Camunas-Mesa et al., An event-driven multi-kernel convolution processor module (IEEE JSSC 2012), section II.
    """

    type: Literal["conv_lif"] = "conv_lif"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the conv_lif layer in the model")

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "conv_lif")
        what = f"conv_lif layer {self.layer!r} of {self.model}"
        check_input(what, card.n_in, card.tick_us, upstream)
        check_shape(what, tuple(card.settings["shape_in"]), upstream)
        assert card.shape_out is not None, "a conv_lif layer is saved with its shape"
        return out_format(tuple(card.shape_out), card.tick_us, upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], ConvLIF]:
        self.check(upstream)
        return make(load_layer(self.model, self.layer, "conv_lif"), upstream)


def check_shape(what: str, shape_in: tuple[int, ...], upstream: Format) -> None:
    """ValueError unless the units of `upstream` lie as the layer called `what` takes them, in one row, or as the image of its
    only channel."""
    if len(upstream.shape) > 1 and (1, *upstream.shape)[-3:] != shape_in:
        raise ValueError(f"{what} takes shape {'x'.join(map(str, shape_in))}, got {upstream}; bring the stream to it")


def out_format(shape: tuple[int, ...], tick_us: int | None, upstream: Format) -> Format:
    return dataclasses.replace(upstream, kind="spikes", shape=shape, tick_us=tick_us, rate_hz=None)


def make(spec: ConvLIFSpec, upstream: Format) -> Callable[[State | None], ConvLIF]:
    """What `prepare` returns, for a spec at hand instead of a model file."""
    check_input("the conv_lif layer", spec.n_in, spec.tick_us, upstream)
    check_shape("the conv_lif layer", spec.shape_in, upstream)
    law = Law(spec)
    return lambda state: ConvLIF(law, state)


class Law:
    """What all operators of one layer share: the spec as the kernel takes it. Nothing of it ever changes."""

    sum_type: type = np.float32  # of what the open tick adds up, where that stands apart from v

    def __init__(self, spec: ConvLIFSpec) -> None:
        from operators.kernels.cells import fill_tables
        from operators.kernels.conv_lif import run_ticks

        self.run_ticks: Callable[..., int] = run_ticks
        self.pooled, self.n_out, self.c_out, self.tick_us = spec.pooled, spec.n_out, spec.c_out, spec.tick_us or 1
        self.c = spec.c_out // spec.groups
        pixels, sum_pixels = (int(np.prod(shape[1:])) for shape in (spec.shape_out, spec.shape_conv))
        self.cells, self.sums = pixels * spec.groups, sum_pixels * spec.groups if spec.pooled else 0
        event_mode, to_zero = int(spec.tick_us is None), int(spec.reset == "to_zero")
        self.modes = np.array([self.tick_us, event_mode, to_zero, self.c, pixels, sum_pixels], np.int64)
        rate = spec.tau_ms.astype(np.float64) * 1000 if event_mode else spec.decay().astype(np.float64)
        bias = np.empty(0, np.float32) if spec.bias is None else spec.bias
        ticks = max(2, min(KEPT_TICKS, KEPT_ENTRIES // spec.c_out))
        kept, driven = np.ones((ticks, spec.c_out), np.float32), np.zeros((ticks, bias.shape[0]), np.float32)
        fill_tables(rate, bias, event_mode, kept, driven)
        self.law = rate, bias, kept, driven
        nothing_kept = np.zeros((2, spec.c_out), np.float32)
        self.sum_law = np.zeros(spec.c_out), np.empty(0, np.float32), nothing_kept, np.empty((2, 0), np.float32)
        self.firing = spec.threshold, ceiling(cast(Any, spec))
        self.sites = sites_of(spec)
        self.windows = windows_of(spec)

    def run(self, events: tuple[np.ndarray, ...], clock: np.ndarray, sums: Any, cells: Any, scratch: Any, most: np.ndarray,
            out: Any) -> int:
        """The kernel on the arrays of an operator, which it edits; how many spikes there are."""
        return self.run_ticks(events, clock, self.modes, sums, self.sum_law, cells, self.law, self.sites, self.windows,
                              self.firing, scratch, most, out)


def sites_of(spec: ConvLIFSpec) -> tuple[np.ndarray, ...]:
    """Where patches go and where they are taken from, as the kernel's add_patches has it."""
    c_out, c_in, high, wide = spec.weight.shape
    groups, (_, height, width) = spec.groups, spec.shape_conv
    sizes = np.array([spec.shape_in[1] * spec.shape_in[2], spec.shape_in[2], high * wide], np.int64)
    order = sorted(range(wide), key=lambda kx: (kx * spec.dilation[1] % spec.stride[1], -kx))
    weight = spec.weight.reshape(groups, c_out // groups, c_in, high, wide)[..., order].transpose(0, 2, 3, 4, 1)
    row_starts, rows = reached(spec, 0, height, list(range(high)))
    rows = np.array([(oy * width, ky * wide) for oy, _, ky in rows.tolist()], np.int64).reshape(-1, 2)
    col_starts, cols = reached(spec, 1, width, order)
    group_first = np.arange(groups, dtype=np.int64).repeat(c_in) * (height * width)
    return sizes, np.ascontiguousarray(weight).ravel(), row_starts, rows, col_starts, cols, group_first


def reached(spec: ConvLIFSpec, axis: int, outputs: int, order: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Of each input row (axis 0) or column (1): the outputs that it reaches, and by which row or column of the kernel.

    Returns starts (n + 1,) and runs (m, 3): first output, number of outputs, place in `order` of the first one's kernel row or
    column; along a run both go up by one. Rows are not joined to runs.
    """
    stride, padding, dilation = spec.stride[axis], spec.padding[axis], spec.dilation[axis]
    starts, runs = [0], list[list[int]]()
    for position in range(spec.shape_in[1 + axis]):
        for out in range(outputs):
            k, rest = divmod(position + padding - out * stride, dilation)
            if rest or not 0 <= k < len(order):
                continue
            place = order.index(k)
            previous = runs[-1] if axis and len(runs) > starts[-1] else None
            if previous and [out, place] == [previous[0] + previous[1], previous[2] + previous[1]]:
                previous[1] += 1
            else:
                runs.append([out, 1, place])
        starts.append(len(runs))
    return np.array(starts, np.int64), np.array(runs, np.int64).reshape(-1, 3)


def windows_of(spec: ConvLIFSpec) -> tuple[np.ndarray, ...]:
    """The windows of the maximum, as the kernel's add_maxima has them; empty arrays without one."""
    none = np.empty(0, np.int64)
    if not spec.pooled:
        return none, none, none, none
    assert spec.pool_stride is not None, "set at construction"
    (_, high, wide), (_, height, width) = spec.shape_conv, spec.shape_out
    sizes = np.array([high * wide, wide, *spec.pool_size], np.int64)
    y, x = np.divmod(np.arange(height * width, dtype=np.int64), width)
    corners = y * spec.pool_stride[0] * wide + x * spec.pool_stride[1]
    inside = (np.arange(spec.pool_size[0])[:, None] * wide + np.arange(spec.pool_size[1])).ravel()
    pixels = (corners[:, None] + inside).ravel()
    order = np.argsort(pixels, kind="stable")
    starts = np.searchsorted(pixels[order], np.arange(high * wide + 1)).astype(np.int64)
    return sizes, corners, starts, (order // inside.shape[0]).astype(np.int64)


class ConvLIF:
    """The layer at work on one episode. Its output clock lags behind its input's to the last closed tick."""

    def __init__(self, law: Law, state: State | None) -> None:
        self._law, self._tick_us = law, law.tick_us
        self._v, self._last = np.zeros(law.n_out, np.float32), np.full(law.cells, -1, np.int64)
        self._sums: np.ndarray
        self._sums, self._fed_at = np.zeros(law.sums * law.c, law.sum_type), np.full(law.sums, -1, np.int64)
        self._clock = np.zeros(9, np.int64)  # as the kernel has it
        self._started, self._end_us, self._out_us, self._spikes = 0, 0, 0, 0
        if state is not None:
            for key, array in self._arrays().items():
                array[:] = state[key]
            self._started, self._end_us, self._out_us, self._spikes, *clock = state["clock"].tolist()
            self._clock[LAST], self._clock[OPEN], self._clock[ADDED] = clock
        self._touched, self._hot, self._fed = (np.zeros(n + 1, np.int64) for n in (law.cells, law.cells, law.sums))
        self._find_marked()
        room = max(law.n_out, LEAST_ROOM)
        found, other, buckets = (np.empty(n, np.int64) for n in (law.n_out, law.cells + 1, BUCKETS + 1))
        self._scratch = found, np.zeros(law.c_out, np.int64), self._hot, other, buckets
        self._most = np.empty(law.c, np.float32)
        self._out = np.empty(room, np.int64), np.empty(room, np.uint32)

    def process(self, packet: Packet) -> Packet:
        if not self._started:
            self._start(packet.begin_us // self._tick_us)
        self._end_us = end_us = packet.end_us
        return self._take(packet.t_us, packet.unit, packet.value, end_us // self._tick_us)

    def finish(self) -> Packet:
        return self._take(NO_TIMES, NO_UNITS, None, -(-self._end_us // self._tick_us))

    def snapshot(self) -> State:
        clock = [self._started, self._end_us, self._out_us, self._spikes, *self._clock[[LAST, OPEN, ADDED]].tolist()]
        return {key: array.copy() for key, array in self._arrays().items()} | {"clock": np.array(clock, np.int64)}

    def report(self) -> dict[str, Any]:
        return {"spikes": self._spikes, "synaptic_operations": int(self._clock[ADDED])}

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"v": self._v, "decayed_to": self._last, "sums": self._sums, "fed_at": self._fed_at}

    def _find_marked(self) -> None:
        """The cells that the open tick has touched, or those that the next must run: what follows from the arrays is not kept."""
        law, clock = self._law, self._clock
        if clock[OPEN]:
            for array, marked, count in ((self._last, self._touched, TOUCHED), (self._fed_at, self._fed, FED)):
                found = np.flatnonzero(array == clock[LAST])
                clock[count] = found.shape[0]
                marked[: found.shape[0]] = found
        else:
            least = law.firing[1].reshape(law.c_out // law.c, 1, law.c)
            found = np.flatnonzero((self._v.reshape(least.shape[0], -1, law.c) >= least).any(axis=2))
            clock[RESTLESS] = found.shape[0]
            self._hot[: found.shape[0]] = found

    def _start(self, tick: int) -> None:
        """Nothing happened before the tick in which the episode begins."""
        self._started = 1
        self._out_us = tick * self._tick_us
        self._clock[LAST] = tick - 1
        self._last[:] = self._fed_at[:] = tick - 1

    def _take(self, t_us: np.ndarray, unit: np.ndarray, value: np.ndarray | None, stop: int) -> Packet:
        """Take in events; the output up to the begin of tick `stop`."""
        begin_us = self._out_us
        self._out_us = end_us = stop * self._tick_us
        pending = self._clock[OPEN] or self._clock[RESTLESS]
        if not t_us.shape[0] and (end_us == begin_us or not pending):
            return Packet(begin_us, end_us)
        spikes = self._run((t_us, unit, NO_VALUES if value is None else value), stop)
        return Packet(begin_us, end_us, *spikes) if spikes else Packet(begin_us, end_us)

    def _run(self, events: tuple[np.ndarray, ...], stop: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The spikes of the ticks before `stop`, as t_us and unit; None if there are none."""
        law, clock = self._law, self._clock
        clock[STOP], clock[CURSOR], clock[FULL] = stop, 0, 1
        sums, cells = (self._sums, self._fed_at, self._fed), (self._v, self._last, self._touched)
        parts: list[tuple[np.ndarray, np.ndarray]] = []
        while clock[FULL]:
            n = law.run(events, clock, sums, cells, self._scratch, self._most, self._out)
            if n:
                parts.append((self._out[0][:n].copy(), self._out[1][:n].copy()))
                self._spikes += n
        if len(parts) > 1:
            return np.concatenate([t_us for t_us, _ in parts]), np.concatenate([unit for _, unit in parts])
        return parts[0] if parts else None
