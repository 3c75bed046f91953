"""flicker: removes the events of lamps and screens, which go on and off at a steady frequency."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from operators.addressing import NEVER
from operators.event_filter import EventFilter
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format


class FlickerConfig(OperatorConfig):
    """Silences an area of the sensor while its polarity turns from off to on at a frequency between min_hz and max_hz.

    A rise is an ON event that follows an OFF event of the same area, at least half of 1 / max_hz after the rise before. Two rises
    in a row that are 1 / max_hz to 1 / min_hz apart are a period; another distance, or a time of 1 / min_hz without a rise,
    starts the count anew. From the rise that completes `cycles` periods in a row, all events of the area are dropped until the
    count starts anew. Frequencies above the band are not taken for one inside it. `dropped` of the report counts the events.

    Lamps flicker at twice the frequency of the mains: at 100 Hz or 120 Hz, and the default band holds both. `area` is the side of
    the square blocks of pixels that are judged as one: 1 judges each pixel by itself.

    Takes spikes of shape (2, height, width), ON being index 1. Out come fewer of them, over the same interval. Times in us,
    frequencies in Hz, lengths in pixels. ValueError: other streams, min_hz above max_hz.

    Example: `{type: flicker, min_hz: 90, max_hz: 130, cycles: 3}`

    After the anti-flicker filters that sensors have built in, which compare successive periods of a pixel with a band.
    """

    type: Literal["flicker"] = "flicker"
    min_hz: float = Field(90.0, gt=0, le=100_000, description="the lowest frequency that is removed, in Hz")
    max_hz: float = Field(130.0, gt=0, le=100_000, description="the highest frequency that is removed, in Hz")
    cycles: int = Field(3, ge=1, le=1000, description="how many periods in a row prove it; more spare more of what moves")
    area: int = Field(1, ge=1, description="side of the blocks of pixels that are judged as one, in pixels")

    @model_validator(mode="after")
    def _is_a_band(self) -> FlickerConfig:
        if self.min_hz >= self.max_hz:
            raise ValueError(f"min_hz {self.min_hz:g} must lie below max_hz {self.max_hz:g}")
        return self

    def check(self, upstream: Format) -> Format:
        if upstream.kind != "spikes" or len(upstream.shape) != 3 or upstream.shape[0] != 2:
            raise ValueError(f"flicker takes spikes of shape (2, height, width), off and on, got {upstream}")
        return upstream

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.flicker import flicker

        self.check(upstream)
        _, height, width = upstream.shape
        columns = -(-width // self.area)
        rows = -(-height // self.area)
        area_of = (np.arange(height) // self.area)[:, None] * columns + np.arange(width) // self.area
        shortest_us, longest_us = round(1e6 / self.max_hz), round(1e6 / self.min_hz)
        fixed = (area_of.astype(np.int64).ravel(), shortest_us, longest_us, (shortest_us + 1) // 2, self.cycles)
        fresh = {
            "rise_us": np.full(rows * columns, NEVER),
            "periods": np.zeros(rows * columns, np.int64),
            "polarity": np.zeros(rows * columns, np.uint8),
            "dropped": np.zeros(1, np.int64),
        }
        return lambda state: EventFilter(flicker, fixed, fresh, state, counts=["dropped"])
