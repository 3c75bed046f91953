"""flatten: events of any shape go in; the same events come out, their units in one row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np

from pipeline.contract import OperatorConfig, State
from pipeline.packet import NO_VALUES, Format, Packet


class FlattenConfig(OperatorConfig):
    """Tells what follows that the units lie in one row: shape (n,), n being the product of the shape, in C order.

    Addresses, times in us and values stay as they are. Layers that are dense take any shape of the right size; what looks at
    pixels does not, and what takes one row alone needs this. ValueError: decisions.

    Example: {type: flatten}
    """

    type: Literal["flatten"] = "flatten"

    def check(self, upstream: Format) -> Format:
        if upstream.kind == "decisions":
            raise ValueError(f"{self.type} takes spikes or graded events, got {upstream}; place it before the readout")
        return dataclasses.replace(upstream, shape=(upstream.size,))

    def prepare(self, upstream: Format) -> Callable[[State | None], Flatten]:
        self.check(upstream)
        from operators.kernels.order import order_runs

        return lambda state: Flatten(order_runs, upstream.kind == "graded", state)


class Flatten:
    """Passes events on, those of one microsecond in the order of their units. State: `end_us`, the time reached."""

    def __init__(self, order: Callable[..., None], graded: bool, state: State | None) -> None:
        self._order, self._graded = order, graded
        self._end_us = 0 if state is None else int(state["end_us"])

    def process(self, packet: Packet) -> Packet:
        self._end_us = packet.end_us
        unit = packet.unit.copy()
        value = np.empty(0, np.float32) if packet.value is None else packet.value.copy()
        self._order(packet.t_us.copy(), unit, value, packet.n)
        return Packet(packet.begin_us, packet.end_us, packet.t_us, unit, value if self._graded else None)

    def finish(self) -> Packet:
        return Packet(self._end_us, self._end_us, value=NO_VALUES if self._graded else None)

    def snapshot(self) -> State:
        return {"end_us": np.array(self._end_us)}
