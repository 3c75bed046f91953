"""orient: turns, mirrors or transposes the picture of a sensor."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.addressing import planes
from operators.event_filter import EventFilter
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format

KINDS = ("spikes", "graded")


class OrientConfig(OperatorConfig):
    """Gives every event the place that it has on a turned or mirrored sensor, for a camera that is mounted another way.

    A pixel (x, y) of a sensor of W x H goes to

        rotate_90 (clockwise)   (H-1-y, x)        flip_horizontal   (W-1-x, y)
        rotate_180              (W-1-x, H-1-y)    flip_vertical     (x, H-1-y)
        rotate_270              (y, W-1-x)        transpose         (y, x)

    x counts from the left, y from the top. Channels stay as they are; no event is lost.

    Takes spikes or graded events (values go along) of shape (channels, H, W). Out comes the same shape, or (channels, W, H)
    for quarter turns and transpose, over the same interval. Lengths in pixels. ValueError: other shapes.

    Example: `{type: orient, how: rotate_90}`
    """

    type: Literal["orient"] = "orient"
    how: Literal["rotate_90", "rotate_180", "rotate_270", "flip_horizontal", "flip_vertical", "transpose"] = Field(
        description="what is done to the picture; turns are clockwise"
    )

    def check(self, upstream: Format) -> Format:
        if len(upstream.shape) != 3:
            raise ValueError(f"orient takes events of shape (channels, height, width), got {upstream}")
        channels, height, width = planes(upstream, self.type, KINDS)
        return dataclasses.replace(upstream, shape=(channels, width, height) if self._swaps else upstream.shape)

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.crop_pool import crop_pool

        channels, out_height, out_width = self.check(upstream).shape
        _, height, width = upstream.shape
        x, y = np.arange(width, dtype=np.int64), np.arange(height, dtype=np.int64)
        if self.how in ("rotate_180", "rotate_270", "flip_horizontal"):
            x = x[::-1]
        if self.how in ("rotate_90", "rotate_180", "flip_vertical"):
            y = y[::-1]
        column_to, row_to = (x * out_width, y) if self._swaps else (x, y * out_width)
        starts = np.arange(channels, dtype=np.int64)[:, None] * (out_height * out_width)
        fixed = (np.uint32(width), (starts + row_to).ravel(), np.ascontiguousarray(column_to))
        return lambda state: EventFilter(crop_pool, fixed, {}, state, graded=upstream.kind == "graded")

    @property
    def _swaps(self) -> bool:
        """Whether rows become columns."""
        return self.how in ("rotate_90", "rotate_270", "transpose")
