"""undistort: moves events to where they would be without the distortion of the lens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from operators.addressing import planes
from operators.event_filter import EventFilter
from pipeline.contract import FilePath, Operator, OperatorConfig, State
from pipeline.packet import Format

KINDS = ("spikes", "graded")
STEPS = 100  # of the fixed-point iteration; lenses in use need a dozen
CLOSE_PIXELS = 0.01  # a pixel whose place is not found as closely as this has none

Focal = Annotated[float, Field(gt=0)]


class UndistortConfig(OperatorConfig):
    """Moves every event to the pixel where an ideal pinhole camera would have seen it.

    A point (a, b) = ((x - cx) / fx, (y - cy) / fy) of the ideal picture is seen, r^2 being a^2 + b^2, at

        a' = a (1 + k1 r^2 + k2 r^4 + k3 r^6) + 2 p1 a b + p2 (r^2 + 2 a^2)
        b' = b (1 + k1 r^2 + k2 r^4 + k3 r^6) + p1 (r^2 + 2 b^2) + 2 p2 a b

    This is solved for (a, b) once for every pixel; the result, rounded to the nearest pixel, is a table. Events that come to lie
    outside of the sensor are dropped and counted (`dropped` of the report); two that come to lie on one pixel stay two.

    `table` gives the places instead: a .npy file of shape (height, width, 2) with x, y for every pixel; places outside of the
    sensor and NaN drop the pixel's events.

    Takes spikes or graded events (values go along) of shape (channels, height, width). Out comes the same shape, over the same
    interval. Lengths in pixels; k1 and so on have no unit. ValueError: other shapes; neither camera nor table; a table that
    does not fit.

    Example: `{type: undistort, camera: [320, 320, 173, 130], distortion: [-0.35, 0.12, 0, 0, 0]}`

    Source: D. C. Brown, Decentering distortion of lenses (1966), with the names and the order of OpenCV's calibration.
    """

    type: Literal["undistort"] = "undistort"
    camera: tuple[Focal, Focal, float, float] | None = Field(None, description="the camera matrix: [fx, fy, cx, cy] in pixels")
    distortion: tuple[float, float, float, float, float] = Field(
        (0.0, 0.0, 0.0, 0.0, 0.0), description="[k1, k2, p1, p2, k3], in OpenCV's order"
    )
    table: FilePath | None = Field(None, description=".npy file (height, width, 2) of x, y: where each pixel goes; for camera")

    @model_validator(mode="after")
    def _has_one_source(self) -> UndistortConfig:
        if (self.camera is None) == (self.table is None):
            raise ValueError("give either camera (with distortion) or table")
        return self

    def check(self, upstream: Format) -> Format:
        if len(upstream.shape) != 3:
            raise ValueError(f"undistort takes events of shape (channels, height, width), got {upstream}")
        planes(upstream, self.type, KINDS)
        return upstream

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.look_up import NOWHERE, look_up

        self.check(upstream)
        channels, height, width = upstream.shape
        x, y = self._places(height, width)
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)  # nan is not
        pixel_to = np.where(inside, y * width + x, 0).astype(np.int64).ravel()
        starts = np.arange(channels, dtype=np.int64)[:, None] * (height * width)
        unit_to = np.where(inside.ravel(), starts + pixel_to, NOWHERE).astype(np.uint32).ravel()
        graded, fresh = upstream.kind == "graded", {"dropped": np.zeros(1, np.int64)}
        return lambda state: EventFilter(look_up, (unit_to,), fresh, state, graded=graded, counts=["dropped"])

    def _places(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """The column and the row of every pixel's place, whole numbers or NaN: two arrays (height, width) float64."""
        if self.table is not None:
            x, y = np.moveaxis(_read_table(self.table, height, width), 2, 0)
        else:
            assert self.camera is not None
            x, y = undistorted(height, width, self.camera, self.distortion)
        return np.floor(x + 0.5), np.floor(y + 0.5)


def undistorted(
    height: int, width: int, camera: tuple[float, ...], distortion: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel lies in the ideal picture, in pixels: x and y, (height, width) float64; NaN where nothing maps there."""
    fx, fy, cx, cy = camera
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    seen_a, seen_b = (columns - cx) / fx, (rows - cy) / fy
    a, b = seen_a.copy(), seen_b.copy()
    with np.errstate(all="ignore"):  # where no place exists the iteration runs away; those are left out below
        for _ in range(STEPS):
            radial, tangential_a, tangential_b = _distortion(a, b, distortion)
            a, b = (seen_a - tangential_a) / radial, (seen_b - tangential_b) / radial
        radial, tangential_a, tangential_b = _distortion(a, b, distortion)
        off = np.hypot((a * radial + tangential_a - seen_a) * fx, (b * radial + tangential_b - seen_b) * fy)
        found = off < CLOSE_PIXELS
        return np.where(found, a * fx + cx, np.nan), np.where(found, b * fy + cy, np.nan)


def _distortion(a: np.ndarray, b: np.ndarray, distortion: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The radial factor, and the tangential shift of a and of b."""
    k1, k2, p1, p2, k3 = distortion
    square = a * a + b * b
    radial = 1 + square * (k1 + square * (k2 + square * k3))
    return radial, 2 * p1 * a * b + p2 * (square + 2 * a * a), p1 * (square + 2 * b * b) + 2 * p2 * a * b


def _read_table(path: Path, height: int, width: int) -> np.ndarray:
    try:
        table = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"undistort: {path}: no such table") from None
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"undistort: {path}: not a .npy file of numbers ({error})") from None
    if not isinstance(table, np.ndarray) or table.dtype.kind not in "iuf" or table.shape != (height, width, 2):
        got = f"{table.shape} {table.dtype}" if isinstance(table, np.ndarray) else "an archive of several arrays"
        raise ValueError(f"undistort: {path}: a table is {(height, width, 2)} numbers x, y, got {got}")
    return table.astype(np.float64)
