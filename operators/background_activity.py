"""background_activity: removes the events that no neighbour supports, a sensor's noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from operators.addressing import LONGEST_WINDOW_MS, newest_map, padded_map, planes
from operators.event_filter import EventFilter
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format


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
    window_ms: float = Field(
        5.0, gt=0, le=LONGEST_WINDOW_MS, description="how long an event supports its neighbours, in ms; more lets more pass"
    )
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
        from operators.kernels.background_activity import background_activity

        self.check(upstream)
        channels, height, width = planes(upstream, self.type)
        lie, length = padded_map(channels, height, width, apart=self.polarities == "apart")
        fixed = (lie, 1 / width, 1 / height, self.window_us, self.min_neighbours)
        return lambda state: EventFilter(background_activity, fixed, newest_map(length), state)

