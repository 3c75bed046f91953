"""background_activity: removes the events that no neighbour supports, a sensor's noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from pydantic import Field

from operators.addressing import NEVER, NO_OUT_VALUES, padded_map, planes
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format, Packet


class BackgroundActivityConfig(OperatorConfig):
    """Keeps an event only if enough of the pixels around it had an event within the last window.

    Event (t, x, y) passes if at least `min_neighbours` of the 8 pixels around (x, y), itself not counted, had an event in
    [t - window, t]. Every event counts as support, whether it passed or not; all events of one microsecond support each
    other, in whatever order they come. Pixels at the border have fewer neighbours.

    Takes spikes of shape (channels, height, width), such as (2, H, W) of an event camera, or (n,), where the neighbours are
    the 2 next to a unit. Out come fewer spikes of the same shape, over the same interval. Times in us, the window in ms.
    ValueError: graded streams, other shapes, more neighbours than a pixel has.

    Example: `{type: background_activity, window_ms: 5}`

    After T. Delbruck, "Frame-free dynamic digital vision", Proc. Int. Symp. on Secure-Life Electronics, 2008.
    """

    type: Literal["background_activity"] = "background_activity"
    window_ms: float = Field(5.0, gt=0, description="how long an event supports its neighbours, in ms; more lets more pass")
    min_neighbours: int = Field(1, ge=1, le=8, description="how many neighbouring pixels must have fired")
    polarities: Literal["together", "apart"] = Field(
        "together", description="together: an event supports both polarities; apart: its own alone (likewise for other channels)"
    )

    @property
    def window_us(self) -> int:
        return max(1, round(self.window_ms * 1000))

    def check(self, upstream: Format) -> Format:
        _, height, width = planes(upstream, self.type)
        most = min(3, height) * min(3, width) - 1
        if self.min_neighbours > most:
            raise ValueError(f"{self.type}: min_neighbours is {self.min_neighbours}, a pixel of {upstream} has at most {most}")
        return upstream

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.background_activity import one_neighbour, several_neighbours

        self.check(upstream)
        channels, height, width = planes(upstream, self.type)
        lie, length = padded_map(channels, height, width, apart=self.polarities == "apart")
        fixed = (lie, 1 / width, 1 / height, self.window_us, self.min_neighbours)
        kernel = one_neighbour if self.min_neighbours == 1 else several_neighbours
        return lambda state: BackgroundActivity(kernel, fixed, length, state)


class BackgroundActivity:
    """Runs the filter.

    State: `map_us`, a map with a border of the newest event of each pixel or, where one neighbour is enough, of the newest
    event around each pixel; `end_us`, the time reached.
    """

    def __init__(self, kernel: Callable[..., int], fixed: tuple[Any, ...], length: int, state: State | None) -> None:
        self._kernel = kernel
        self._fixed = fixed
        self._map_us = np.full(length, NEVER) if state is None else state["map_us"].copy()
        self._end_us = 0 if state is None else int(state["end_us"])

    def process(self, packet: Packet) -> Packet:
        self._end_us = packet.end_us
        if (n := packet.n) == 0:
            return packet
        t_us, unit = np.empty(n, np.int64), np.empty(n, np.uint32)
        kept = self._kernel(packet.t_us, packet.unit, *self._fixed, self._map_us, t_us, unit, NO_OUT_VALUES)
        return Packet(packet.begin_us, packet.end_us, t_us[:kept], unit[:kept])

    def finish(self) -> Packet:
        return Packet(self._end_us, self._end_us)

    def snapshot(self) -> State:
        return {"map_us": self._map_us.copy(), "end_us": np.array(self._end_us)}
