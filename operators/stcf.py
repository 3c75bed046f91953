"""stcf: the spatio-temporal correlation filter, which removes events that too few others around them support."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from operators.addressing import LONGEST_WINDOW_MS, newest_map, padded_map, planes
from operators.event_filter import EventFilter
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format


class StcfConfig(OperatorConfig):
    """Keeps an event only if at least `support` pixels of its neighbourhood fired within the correlation time.

    Event (t, x, y) passes if, of the pixels (u, v) other than (x, y) with |u - x| <= radius and |v - y| <= radius, at least
    `support` had an event in [t - window, t] that came before it. Every event counts as support, whether it passed or not.
    `polarities: apart` counts those of its own polarity alone. More support removes more noise, and takes more of the signal's
    first events with it. background_activity differs in one thing: there, events of one microsecond support each other, so that
    the order in which a sensor sends them means nothing; here those that came before count, as published.

    Takes spikes of shape (channels, height, width), such as (2, H, W) of an event camera, or (n,), where the neighbourhood is
    the units to either side. Out come fewer spikes of the same shape, over the same interval. Times in us, the window in ms.
    ValueError: graded streams, other shapes, more support than a neighbourhood has pixels.

    Example: `{type: stcf, window_ms: 10, support: 2}`

    Source: S. Guo, T. Delbruck, Low cost and latency event camera background activity denoising, IEEE TPAMI 45 (2022), sec. 3.
    """

    type: Literal["stcf"] = "stcf"
    window_ms: float = Field(
        10.0, gt=0, le=LONGEST_WINDOW_MS, description="the correlation time, in ms: how long an event supports others"
    )
    support: int = Field(2, ge=1, description="how many pixels of the neighbourhood must have fired (k)")
    radius: int = Field(1, ge=1, le=7, description="how far the neighbourhood reaches, in pixels; 1: the 8 around")
    polarities: Literal["together", "apart"] = Field(
        "together", description="together: an event supports both polarities; apart: its own alone (likewise for other channels)"
    )

    def check(self, upstream: Format) -> Format:
        _, height, width = planes(upstream, self.type)
        side = 2 * self.radius + 1
        most = min(side, height) * min(side, width) - 1
        if self.support > most:
            raise ValueError(f"stcf: support is {self.support}, a pixel of {upstream} has at most {most} others around it")
        return upstream

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.stcf import stcf

        self.check(upstream)
        channels, height, width = planes(upstream, self.type)
        lie, length = padded_map(channels, height, width, self.polarities == "apart", self.radius)
        window_us = max(1, round(self.window_ms * 1000))
        fixed = (lie, 1 / width, 1 / height, window_us, self.support)
        return lambda state: EventFilter(stcf, fixed, newest_map(length), state)
