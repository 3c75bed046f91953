"""TickEncoder: packets go in; what a kernel gives for every tick comes out once the tick is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from operators.addressing import NO_OUT_VALUES
from pipeline.contract import State
from pipeline.packet import NO_TIMES, NO_UNITS, NO_VALUES, Packet

EVENT, TICK, UNIT = 0, 1, 2  # the places of marks that this file knows; a kernel may use the fourth
ROOM = 8192  # events of the output buffer


class TickEncoder:
    """Runs kernel(t_us, unit, value, marks, tick_us, until, *fixed, kept, out_t_us, out_unit, out_value) -> events given out.

    Tick k holds [k * tick_us, (k+1) * tick_us) from stream time 0. The first output begins where the tick of the first input
    does; outputs end with the last tick that is over, and at the end of the episode the open tick counts as over.

    fixed: what never changes. fresh: the array that the kernel keeps, as an episode finds it.
    State: `kept`, that array; `marks`, (4,) int64 of the kernel; `clock`: started, the time reached, begin of the next output.
    """

    def __init__(self, kernel: Callable[..., int], tick_us: int, fixed: tuple[Any, ...], fresh: np.ndarray,
                 state: State | None, *, graded: bool = False) -> None:
        self._kernel = kernel
        self._tick_us = tick_us
        self._fixed = fixed
        self._kept = (fresh if state is None else state["kept"]).copy()
        self._marks = np.zeros(4, np.int64) if state is None else state["marks"].copy()
        clock: list[int] = [0, 0, 0] if state is None else state["clock"].tolist()
        self._started, self._end_us, self._out_us = clock
        self._graded = graded
        self._out = np.empty(ROOM, np.int64), np.empty(ROOM, np.uint32), np.empty(ROOM, np.float32) if graded else NO_OUT_VALUES

    def process(self, packet: Packet) -> Packet:
        if not self._started:
            self._started = 1
            self._marks[TICK] = packet.begin_us // self._tick_us
            self._out_us = packet.begin_us // self._tick_us * self._tick_us
        self._end_us = packet.end_us
        given = NO_VALUES if packet.value is None else packet.value
        return self._close(packet.t_us, packet.unit, given, packet.end_us // self._tick_us)

    def finish(self) -> Packet:
        return self._close(NO_TIMES, NO_UNITS, NO_VALUES, -(-self._end_us // self._tick_us))

    def snapshot(self) -> State:
        clock = np.array([self._started, self._end_us, self._out_us], np.int64)
        return {"kept": self._kept.copy(), "marks": self._marks.copy(), "clock": clock}

    def _close(self, t_us: np.ndarray, unit: np.ndarray, value: np.ndarray, until: int) -> Packet:
        """Takes in the events and gives out the ticks before `until`."""
        begin_us, self._out_us = self._out_us, until * self._tick_us
        if not t_us.shape[0] and begin_us == self._out_us:
            return Packet(begin_us, begin_us, value=NO_VALUES if self._graded else None)
        self._marks[EVENT] = 0
        pieces: list[tuple[np.ndarray, ...]] = []
        done = False
        while not done:
            n = self._kernel(t_us, unit, value, self._marks, self._tick_us, until, *self._fixed, self._kept, *self._out)
            pieces.append(tuple(column[:n].copy() for column in self._out))
            done = self._marks[TICK] == until
        out_t_us, out_unit, out_value = pieces[0] if len(pieces) == 1 else map(np.concatenate, zip(*pieces, strict=True))
        return Packet(begin_us, self._out_us, out_t_us, out_unit, out_value if self._graded else None)
