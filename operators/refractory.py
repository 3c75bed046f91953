"""refractory: drops the events of a unit that fired a moment ago."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.addressing import NEVER, NO_OUT_VALUES
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format, Packet


class RefractoryConfig(OperatorConfig):
    """Drops an event of a unit within the refractory period of the last event of that unit that passed.

    Event (t, unit) passes if t - last >= period, last being the unit's last event that passed. Dropped events do not prolong
    the period, so a unit that fires without pause is thinned to one event a period.

    Takes spikes of any shape (each polarity of a pixel is a unit of its own). Out come fewer spikes of the same shape, over
    the same interval. Times in microseconds, the period in ms. ValueError: graded streams and decisions.

    Example: `{type: refractory, period_ms: 1}`

    After the absolute refractory period of neurons; as a filter: T. Delbruck, "Frame-free dynamic digital vision", 2008.
    """

    type: Literal["refractory"] = "refractory"
    period_ms: float = Field(1.0, gt=0, description="how long a unit is deaf after an event that passed, in ms")

    @property
    def period_us(self) -> int:
        return max(1, round(self.period_ms * 1000))

    def check(self, upstream: Format) -> Format:
        if upstream.kind != "spikes":
            raise ValueError(f"{self.type} takes spikes, got {upstream}")
        return upstream

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.refractory import refractory

        return lambda state: Refractory(refractory, self.period_us, upstream.size, state)


class Refractory:
    """Runs the filter. State: `last_us`, the last event that passed of each unit; `end_us`, the time reached."""

    def __init__(self, kernel: Callable[..., int], period_us: int, units: int, state: State | None) -> None:
        self._kernel = kernel
        self._period_us = period_us
        self._last_us = np.full(units, NEVER) if state is None else state["last_us"].copy()
        self._end_us = 0 if state is None else int(state["end_us"])

    def process(self, packet: Packet) -> Packet:
        self._end_us = packet.end_us
        if (n := packet.n) == 0:
            return packet
        t_us, unit = np.empty(n, np.int64), np.empty(n, np.uint32)
        kept = self._kernel(packet.t_us, packet.unit, self._period_us, self._last_us, t_us, unit, NO_OUT_VALUES)
        return Packet(packet.begin_us, packet.end_us, t_us[:kept], unit[:kept])

    def finish(self) -> Packet:
        return Packet(self._end_us, self._end_us)

    def snapshot(self) -> State:
        return {"last_us": self._last_us.copy(), "end_us": np.array(self._end_us)}
