"""The shell of layers that run on ticks: packets go in; a kernel runs the ticks that they close; the spikes come out.

A kind of neuron is a spec (pipeline/layer_spec/), a kernel (operators/kernels/), and a file here that joins them: a config
and a `Law`. What has to do with packets stands in this file alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from operators.lif import CURSOR, LAST, OPEN, STOP, UNSETTLED
from pipeline.contract import State
from pipeline.packet import NO_TIMES, NO_UNITS, NO_VALUES, Packet

LEAST_ROOM = 8192  # spikes that the output buffers take at least


class Events(NamedTuple):
    """The events of a packet: t_us (n,) int64, unit (n,) uint32, value (n,) float32, or (0,) where all are spikes."""

    t_us: np.ndarray
    unit: np.ndarray
    value: np.ndarray


class Law(Protocol):
    """What all operators of one layer share: its constants and its kernel. Nothing of it ever changes.

    n_out: spikes that one tick makes at most. tick_us: length of a tick, 1 in event mode. tail_ticks: ticks that the layer runs
    on after those of an episode, because it delays. operations: synaptic operations an event. graded: whether what it gives out
    has values. restless: whether a new episode's first ticks must be run without input too.
    """

    n_out: int
    tick_us: int
    tail_ticks: int
    operations: int
    graded: bool
    restless: bool

    def start(self) -> State:
        """The arrays of a new episode, by their names in a snapshot; not `ticks` and `clock`, which are the shell's."""

    def run(self, held: State, clock: np.ndarray, events: Events, room: Events) -> int:
        """Take in all events, run the ticks before clock[STOP], write their spikes to `room`; how many these are.

        held: the arrays of the episode, edited. clock (5,) int64, edited: the last tick begun (LAST), whether it is open (OPEN),
        whether the tick after it must be run without input too (UNSETTLED), the first tick not to close (STOP), the next
        event (CURSOR). Spikes are sorted by (t_us, unit). It stops before a tick that might not fit into the room.
        """


def operators_of(law: Law, lead_ticks: int = 0) -> Callable[[State | None], TickLayer]:
    """What `prepare` returns. lead_ticks: by how many ticks the output runs ahead, because no input acts any sooner."""
    rooms: list[Events] = []  # an operator takes one for a packet: new memory costs as much as a layer
    return lambda state: TickLayer(law, state, lead_ticks, rooms)


class TickLayer:
    """A layer at work on one episode. Its output clock stands lead_ticks after the last closed tick of its input."""

    def __init__(self, law: Law, state: State | None, lead_ticks: int, rooms: list[Events]) -> None:
        self._law, self._lead_ticks, self._rooms = law, lead_ticks, rooms
        self._tick_us = law.tick_us
        self._held = law.start()
        self._clock = np.zeros(5, np.int64)  # as the kernel has it
        self._clock[UNSETTLED] = law.restless
        self._started, self._end_us, self._out_us, self._events, self._spikes = 0, 0, 0, 0, 0
        if state is not None:
            self._held = {key: np.array(state[key]) for key in self._held}
            self._clock[:3] = state["ticks"]
            self._started, self._end_us, self._out_us, self._events, self._spikes = state["clock"].tolist()
        self._pending = bool(self._clock[OPEN] or self._clock[UNSETTLED])

    def process(self, packet: Packet) -> Packet:
        if not self._started:
            self._start(packet.begin_us // self._tick_us)
        self._end_us = end_us = packet.end_us
        return self._take(packet.t_us, packet.unit, packet.value, end_us // self._tick_us + self._lead_ticks)

    def finish(self) -> Packet:
        return self._take(NO_TIMES, NO_UNITS, None, -(-self._end_us // self._tick_us) + self._law.tail_ticks)

    def snapshot(self) -> State:
        clock = [self._started, self._end_us, self._out_us, self._events, self._spikes]
        held = {key: array.copy() for key, array in self._held.items()}
        return held | {"ticks": self._clock[:3].copy(), "clock": np.array(clock, np.int64)}

    def report(self) -> dict[str, Any]:
        return {"spikes": self._spikes, "synaptic_operations": self._events * self._law.operations}

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
            return self._empty(begin_us, end_us)
        self._events += n_events
        parts = self._run(Events(t_us, unit, NO_VALUES if value is None else value), stop)
        if not parts:
            return self._empty(begin_us, end_us)
        if len(parts) > 1:
            parts = [tuple(np.concatenate(column) for column in zip(*parts, strict=True))]
        return Packet(begin_us, end_us, parts[0][0], parts[0][1], parts[0][2] if self._law.graded else None)

    def _run(self, events: Events, stop: int) -> list[tuple[np.ndarray, ...]]:
        """The spikes of the ticks before `stop`: t_us, unit and, where graded, value; a roomful each."""
        law, clock = self._law, self._clock
        room = self._rooms.pop() if self._rooms else self._new_room()
        columns = (room.t_us, room.unit, room.value) if law.graded else (room.t_us, room.unit)
        clock[STOP], clock[CURSOR] = stop, 0
        parts: list[tuple[np.ndarray, ...]] = []
        full = True
        while full:
            n = law.run(self._held, clock, events, room)
            full = n + law.n_out > room.t_us.shape[0]
            if n:
                parts.append(tuple(column[:n].copy() for column in columns))
                self._spikes += n
        self._rooms.append(room)
        self._pending = bool(clock[OPEN] or clock[UNSETTLED])
        return parts

    def _new_room(self) -> Events:
        """Memory for what comes out of one call of the kernel."""
        length = max(self._law.n_out, LEAST_ROOM)
        values = np.empty(length, np.float32) if self._law.graded else NO_VALUES
        return Events(np.empty(length, np.int64), np.empty(length, np.uint32), values)

    def _empty(self, begin_us: int, end_us: int) -> Packet:
        return Packet(begin_us, end_us, value=NO_VALUES) if self._law.graded else Packet(begin_us, end_us)
