"""EventFilter: packets go in; what a kernel makes of their events, at most one of each, comes out over the same interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from operators.addressing import NO_OUT_VALUES
from pipeline.contract import State
from pipeline.packet import NO_VALUES, Packet


class EventFilter:
    """Runs kernel(t_us, unit, value, *fixed, *kept, out_t_us, out_unit, out_value) -> the number of events given out.

    fixed: what never changes. fresh: the arrays that the kernel keeps between packets, by name, as an episode finds them.
    graded: whether events go out with values. counts: which of the arrays are counts, (1,), to be reported.
    State: the arrays of `fresh`, and `end_us`, the time reached.
    """

    def __init__(self, kernel: Callable[..., int], fixed: tuple[Any, ...], fresh: State, state: State | None, *,
                 graded: bool = False, counts: Sequence[str] = ()) -> None:
        self._kernel = kernel
        self._fixed = fixed
        self._kept = {key: (fresh if state is None else state)[key].copy() for key in fresh}
        self._arrays = tuple(self._kept.values())
        self._graded = graded
        self._counts = counts
        self._end_us = 0 if state is None else int(state["end_us"])

    def process(self, packet: Packet) -> Packet:
        self._end_us = packet.end_us
        if (n := packet.n) == 0:
            return Packet(packet.begin_us, packet.end_us, value=NO_VALUES if self._graded else None)
        t_us, unit = np.empty(n, np.int64), np.empty(n, np.uint32)
        value = np.empty(n, np.float32) if self._graded else NO_OUT_VALUES
        given = NO_VALUES if packet.value is None else packet.value
        kept = self._kernel(packet.t_us, packet.unit, given, *self._fixed, *self._arrays, t_us, unit, value)
        return Packet(packet.begin_us, packet.end_us, t_us[:kept], unit[:kept], value[:kept] if self._graded else None)

    def finish(self) -> Packet:
        return Packet(self._end_us, self._end_us, value=NO_VALUES if self._graded else None)

    def snapshot(self) -> State:
        return {key: array.copy() for key, array in self._kept.items()} | {"end_us": np.array(self._end_us)}

    def report(self) -> dict[str, Any]:
        return {key: int(self._kept[key][0]) for key in self._counts}
