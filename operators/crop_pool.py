"""crop_pool: cuts a piece out of the sensor and makes it smaller."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from operators.addressing import planes
from operators.event_filter import EventFilter
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format

OUTSIDE = -(2**40)  # what row and column add up to is negative as soon as one of them is this

KINDS = ("spikes", "graded")
Region = tuple[int, int, int, int]  # x, y, width, height


class CropPoolConfig(OperatorConfig):
    """Crops to a region, then gives its events the addresses of a smaller sensor; a pooled pixel fires for every event.

    A pixel (x, y) of the region (x0, y0, w, h) becomes (floor((x - x0) * W / w), floor((y - y0) * H / h)), `to` being
    (channels, H, W): with a whole ratio, blocks of equal size; else of sizes that differ by one. Events outside are dropped,
    counts are natural: two events that fall on one pixel stay two. Channels stay as they are.

    Without `crop` the whole sensor is pooled, each axis by its own ratio. `crop: center` takes the greatest centred region
    whose sides are one and the same whole multiple of `to`: no distortion, blocks of equal size (1280 x 720 to 34 x 34:
    714 x 714, blocks of 21). Without `to` the region keeps its resolution.

    Takes spikes or graded events (values go along) of shape (channels, height, width), or (n,) with `to` of one number
    (neighbouring channels of a cochlea are pooled) and y0 = 0, h = 1; `to` of [1, 1, n] makes them an image of one row. Out
    comes shape `to`, over the same interval.
    Lengths in pixels, times in us. ValueError: other shapes, a region outside of the sensor, a `to` greater than the region.

    Example: `{type: crop_pool, crop: [0, 0, 340, 340], to: [2, 34, 34]}`

    The sum pooling of address events, as in sinabs and speck (spikes are added, never averaged).
    """

    type: Literal["crop_pool"] = "crop_pool"
    crop: tuple[NonNegativeInt, NonNegativeInt, PositiveInt, PositiveInt] | Literal["center"] | None = Field(
        None, description="the region to keep, [x, y, width, height] in pixels; center: see above; default all"
    )
    to: tuple[PositiveInt, ...] | None = Field(
        None, description="shape to pool to, [channels, height, width]; of a row [n], or [1, 1, n]; default the region's"
    )

    def check(self, upstream: Format) -> Format:
        channels, height, width = planes(upstream, self.type, KINDS)
        if self.to is None and not isinstance(self.crop, tuple):
            raise ValueError(f"{self.type} needs `to`, `crop: [x, y, width, height]` or both")
        if self.to is not None and (len(self.to) not in {len(upstream.shape), 3} or self._target(upstream)[0] != channels):
            of_image = f"[{channels}, height, width] (`polarity` folds channels)"
            wanted = "[n] or [1, 1, n]" if len(upstream.shape) == 1 else of_image
            raise ValueError(f"{self.type}: to must be {wanted} on {upstream}, got {list(self.to)}")
        if self.crop == "center" and len(upstream.shape) == 1:
            raise ValueError(f"{self.type}: crop: center needs height and width, got {upstream}; give [x, 0, width, 1]")
        x, y, w, h = self._region(upstream)
        if x + w > width or y + h > height:
            raise ValueError(f"{self.type}: crop [{x}, {y}, {w}, {h}] leaves the {width} x {height} sensor")
        _, to_height, to_width = self._target(upstream)
        if to_height > h or to_width > w:
            raise ValueError(f"{self.type}: to is {to_width} x {to_height} pixels, more than the {w} x {h} that it pools")
        sides = len(upstream.shape) if self.to is None else len(self.to)
        return dataclasses.replace(upstream, shape=self._target(upstream)[-sides:])

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.crop_pool import crop_pool

        self.check(upstream)
        channels, height, width = planes(upstream, self.type, KINDS)
        x, y, w, h = self._region(upstream)
        _, to_height, to_width = self._target(upstream)
        column_to = _pooled(width, x, w, to_width)
        row_to = _pooled(height, y, h, to_height)
        starts = np.arange(channels, dtype=np.int64)[:, None] * (to_height * to_width)
        row_to = np.where(row_to < 0, OUTSIDE, starts + row_to * to_width).ravel()
        fixed = (np.uint32(width), row_to, column_to)
        return lambda state: EventFilter(crop_pool, fixed, {}, state, graded=upstream.kind == "graded")

    def _target(self, upstream: Format) -> tuple[int, int, int]:
        """(channels, height, width) of what comes out."""
        if self.to is not None:
            channels, height, width = (1, 1, *self.to)[-3:]
            return channels, height, width
        _, _, w, h = self._region(upstream)
        return planes(upstream, self.type, KINDS)[0], h, w

    def _region(self, upstream: Format) -> Region:
        _, height, width = planes(upstream, self.type, KINDS)
        if isinstance(self.crop, tuple):
            return self.crop
        if self.crop is None or self.to is None:
            return 0, 0, width, height
        _, to_height, to_width = self._target(upstream)
        ratio = max(1, min(width // to_width, height // to_height))
        w, h = min(width, ratio * to_width), min(height, ratio * to_height)
        return (width - w) // 2, (height - h) // 2, w, h


def _pooled(length: int, begin: int, size: int, to: int) -> np.ndarray:
    """The new coordinate of each of `length` old ones, OUTSIDE where it is not in [begin, begin + size): (length,) int64."""
    inside = np.arange(length, dtype=np.int64) - begin
    return np.where((inside < 0) | (inside >= size), OUTSIDE, inside * to // size)
