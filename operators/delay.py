"""delay: events go in; the same events come out later, each unit's by the delay of that unit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from operators.model_layer import check_input, load_layer, read_layer
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import DelaySpec
from pipeline.packet import NO_TIMES, NO_UNITS, NO_VALUES, Format, Packet

LEAST_ROOM = 256  # events that can be held at first; the room doubles when it is used up
SLOTS, LEAST_SHIFT = 512, 5  # the slots of the wheel, and the least length of one: 2^5 us
SLOT, COUNT, QUIET, NEXT = 0, 2, 3, 2  # where the kernel keeps its earliest slot, the number held, the time up to which
# nothing is due; and the row of its chains
GREATEST_MS = 1e12
ALL_US, NOTHING_US = 2**62, -(2**62)  # times after and before all others

Events = tuple[np.ndarray, np.ndarray, np.ndarray]  # t_us (n,) int64, unit (n,) uint32, value (n,) float32; (0,) for spikes
Columns = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # the same as a packet takes it: value None for spikes


class DelayConfig(OperatorConfig):
    """Axonal delays: an event of unit i at t comes out at t + delay[i], values are carried along.

    The delays are those of a model's layer, one for all units (delay_ms), or one a unit in the order of the units (delays_ms).
    Events come out sorted by (t, unit), and those that are equal in both in the order in which they came in. The output clock
    runs ahead of the input's by the least delay, so nothing waits for longer than its delay. When the episode ends
    everything held is given out, and the output ends at the input's end plus the greatest delay.

    In: spikes or graded events, n units of any shape, times in us. Out: the same kind and shape, on the same tick if it is
    known before the run that every delay is a multiple of it; the delays in a model file are read when the run begins.
    Any length of delay. Memory: 52 bytes for each event that may be held at once (graded 60), the room doubling as needed, and
    8 kB; the events held are the input's rate times the delay. Cost: a few operations an event, whatever the delay and the
    packets, and the sorting of those that come out together.
    Errors: ValueError unless there is one delay for every unit and none is negative.

    Example: {type: delay, model: models/nmnist.safetensors, layer: hidden_delay}
    Example: {type: delay, delay_ms: 5}

    Source: R. Brown, Calendar queues, Communications of the ACM 31 (1988): the wheel of time slots that holds the events.
    """

    type: Literal["delay"] = "delay"
    model: FilePath | None = Field(None, description="model file (.safetensors) that holds the layer; needs layer")
    layer: str | None = Field(None, description="name of the delay layer in the model")
    delay_ms: float | None = Field(None, ge=0, le=GREATEST_MS, description="one delay for all units, in place of a model")
    delays_ms: tuple[float, ...] | None = Field(None, description="the delay of each unit, in place of a model")

    @model_validator(mode="after")
    def _one_kind_of_delay(self) -> DelayConfig:
        given = [name for name in ("model", "delay_ms", "delays_ms") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a delay needs exactly one of model, delay_ms and delays_ms, got {' and '.join(given) or 'none'}")
        if (self.model is None) != (self.layer is None):
            raise ValueError("model and layer belong together: give both or none")
        if self.delays_ms is not None and not (self.delays_ms and 0 <= min(self.delays_ms) <= max(self.delays_ms) <= GREATEST_MS):
            raise ValueError(f"delays_ms must hold one delay of 0 to {GREATEST_MS:g} for each unit")
        return self

    def check(self, upstream: Format) -> Format:
        if self.model is None or self.layer is None:
            return checked(self._given(upstream), upstream)
        card = read_layer(self.model, self.layer, "delay")
        check_input(f"delay layer {self.layer!r} of {self.model}", card.n_in, None, upstream)
        return on_grid(card.grid_us, upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], Delay]:
        self.check(upstream)
        if self.model is None or self.layer is None:
            return make(self._given(upstream), upstream)
        return make(load_layer(Path(self.model), self.layer, "delay"), upstream)

    def _given(self, upstream: Format) -> DelaySpec:
        delays_ms = np.full(upstream.size, self.delay_ms) if self.delays_ms is None else np.array(self.delays_ms)
        return DelaySpec(np.rint(delays_ms * 1000).astype(np.int64))


def checked(spec: DelaySpec, upstream: Format) -> Format:
    """The Format of `upstream` delayed by `spec`; ValueError if it does not fit."""
    check_input("the delay", spec.n_in, None, upstream)
    return on_grid(int(np.gcd.reduce(spec.delay_us)), upstream)


def on_grid(grid_us: int | None, upstream: Format) -> Format:
    """The Format of `upstream` behind delays that are multiples of grid_us: on the same tick if they are multiples of it."""
    tick_us = upstream.tick_us
    kept = tick_us is not None and grid_us is not None and grid_us % tick_us == 0
    return dataclasses.replace(upstream, tick_us=tick_us if kept else None, rate_hz=None)


def make(spec: DelaySpec, upstream: Format) -> Callable[[State | None], Delay]:
    """What `prepare` returns, for a spec at hand instead of a config."""
    checked(spec, upstream)
    from operators.kernels.delay import delay

    return lambda state: Delay(delay, spec.delay_us, upstream.kind == "graded", state)


class Delay:
    """The delays at work on one episode, and the events that are on their way."""

    def __init__(self, kernel: Callable[..., int], delay_us: np.ndarray, graded: bool, state: State | None) -> None:
        self._least_us, self._greatest_us = int(delay_us.min()), int(delay_us.max())
        self._no_values = NO_VALUES if graded else None
        self._started, self._out_us = 0, 0
        held: Events = (NO_TIMES, NO_UNITS, NO_VALUES)
        if state is not None:
            self._started, self._out_us = state["clock"].tolist()
            held = (state["held_t_us"], state["held_unit"], state["held_value"])
        self._wheel = _Wheel(kernel, delay_us, graded, held, self._out_us)

    def process(self, packet: Packet) -> Packet:
        if not self._started:
            self._start(packet.begin_us)
        begin_us = self._out_us
        self._out_us = end_us = packet.end_us + self._least_us
        if not packet.t_us.shape[0] and end_us <= self._wheel.quiet_us:
            return Packet(begin_us, end_us, NO_TIMES, NO_UNITS, self._no_values)
        value = NO_VALUES if packet.value is None else packet.value
        return Packet(begin_us, end_us, *self._wheel.turn(packet.t_us, packet.unit, value, end_us))

    def finish(self) -> Packet:
        begin_us = self._out_us
        if self._started:
            self._out_us += self._greatest_us - self._least_us
        return Packet(begin_us, self._out_us, *self._wheel.turn(NO_TIMES, NO_UNITS, NO_VALUES, ALL_US))

    def snapshot(self) -> State:
        t_us, unit, value = self._wheel.contents()
        clock = np.array([self._started, self._out_us], np.int64)
        return {"clock": clock, "held_t_us": t_us, "held_unit": unit, "held_value": value}

    def _start(self, begin_us: int) -> None:
        """Nothing is due before the begin and the least delay; the output begins where the input does."""
        self._started = 1
        self._out_us = begin_us
        self._wheel.start(begin_us + self._least_us)


class _Wheel:
    """The arrays that the kernel works on: room for the events held, the wheel that orders them, and room for what comes out."""

    def __init__(self, kernel: Callable[..., int], delay_us: np.ndarray, graded: bool, held: Events, out_us: int) -> None:
        self._kernel, self._graded = kernel, graded
        self._delay_us = delay_us.copy()  # numba takes a writable array faster than a read-only one
        self._least_us = int(delay_us.min())
        span_us = int(delay_us.max()) - self._least_us
        self._shift = max(LEAST_SHIFT, (2 * span_us // SLOTS).bit_length())  # all delays lie within half a turn
        self._lay_out(held, out_us, LEAST_ROOM)

    def start(self, out_us: int) -> None:
        self._marks[SLOT] = out_us >> self._shift

    def turn(self, t_us: np.ndarray, unit: np.ndarray, value: np.ndarray, before_us: int) -> Columns:
        """Takes in events and gives out those due before `before_us`."""
        if self._n_held + t_us.shape[0] > self._room:
            self._lay_out(self.contents(), self._slot_us(), 2 * (self._n_held + t_us.shape[0]))
        n = self._call(t_us, unit, value, self._delay_us, self._least_us, before_us)
        out_t_us, out_unit, out_value = self._out
        if not n:
            return NO_TIMES, NO_UNITS, NO_VALUES if self._graded else None
        return out_t_us[:n].copy(), out_unit[:n].copy(), out_value[:n].copy() if self._graded else None

    def contents(self) -> Events:
        """Everything held, in the order in which it will come out. It stays held."""
        slot_us = self._slot_us()
        t_us, unit, value = self.turn(NO_TIMES, NO_UNITS, NO_VALUES, ALL_US)
        events = t_us, unit, NO_VALUES if value is None else value
        self._lay_out(events, slot_us, self._room)
        return events

    def _slot_us(self) -> int:
        """Where the earliest slot that is not emptied begins."""
        return int(self._marks[SLOT]) << self._shift

    def _lay_out(self, held: Events, out_us: int, room: int) -> None:
        """New arrays with room for `room` events, the events `held` in their places."""
        self._room = room = max(room, held[0].shape[0])
        values = room if self._graded else 0
        self._held = np.empty((5, room), np.int64)
        self._held[NEXT] = np.arange(1, room + 1)  # the chain of free places; the last is never passed
        self._held_value = np.empty(values, np.float32)
        self._wheel = np.full((2, SLOTS), -1, np.int64)
        self._marks = np.array([out_us >> self._shift, 0, 0, 0], np.int64)
        self._out = np.empty(room, np.int64), np.empty(room, np.uint32), np.empty(values, np.float32)
        nothing_due = np.zeros(self._delay_us.shape[0], np.int64)
        self._call(*held, nothing_due, NOTHING_US, NOTHING_US)

    def _call(self, t_us: np.ndarray, unit: np.ndarray, value: np.ndarray, delay_us: np.ndarray, least_us: int,
              before_us: int) -> int:
        n = self._kernel(t_us, unit, value, delay_us, least_us, self._shift, before_us,
                         self._held, self._held_value, self._wheel, self._marks, *self._out)
        _, _, self._n_held, quiet_us = self._marks.tolist()
        self.quiet_us = quiet_us if self._n_held else ALL_US
        return n
