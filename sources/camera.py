"""What sources of cameras share: an adapter reads the driver's batches, packets that meet come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from pydantic import Field

from pipeline.contract import Source, State
from pipeline.packet import Format
from sources.sensor import SensorConfig, SensorSource

GREATEST_US = 1 << 62


class Batch(NamedTuple):
    """Events as a driver hands them over: columns of one length, of any integer type, in the sensor's time."""

    t_us: np.ndarray
    x: np.ndarray
    y: np.ndarray
    on: np.ndarray
    gaps: int = 0  # how often the driver says that it had to drop some, nobody knows how many


class Camera(Protocol):
    """A camera that is open."""

    size: tuple[int, int]  # columns, rows

    def read(self, wait_s: float) -> Batch | None: ...  # None: nothing came for so long
    def figures(self) -> dict[str, Any]: ...
    def close(self) -> None: ...


class CameraConfig(SensorConfig):
    """The options of every camera."""

    serial: str | None = Field(None, min_length=1, description="serial number of the camera; none: the first that is found")
    width: int = Field(ge=1, le=32767, description="columns of the sensor, pixels")
    height: int = Field(ge=1, le=32767, description="rows of the sensor, pixels")

    def opened(self) -> Camera:
        """ValueError if there is no such camera, ImportError's line if its package is missing."""
        raise NotImplementedError

    def check(self) -> Format:
        format = Format("spikes", (2, self.height, self.width))
        self.check_overload(format)
        return format

    def prepare(self) -> Callable[[State | None], Source]:
        format = self.check()
        return lambda state: CameraSource(self, format, self.opened(), state)


class CameraSource(SensorSource):
    """The source. It is the camera's only reader and closes it."""

    def __init__(self, config: CameraConfig, format: Format, camera: Camera, state: State | None) -> None:
        super().__init__(config, format, state)
        self._config, self._camera = config, camera
        self._outside = self._gaps = 0
        self._open = True
        if camera.size != (config.width, config.height):
            self.close()
            raise ValueError(f"{config.type}: the camera has {camera.size[0]} x {camera.size[1]} pixels, the options say "
                             f"{config.width} x {config.height}: set width and height to that")

    def figures(self) -> dict[str, Any]:
        return {"events_outside": self._outside, "gaps": self._gaps} | self._camera.figures()

    def close(self) -> None:
        if self._open:
            self._open = False
            super().close()
            self._camera.close()

    def listen(self) -> None:
        while not self._queue.closed:
            batch = self._camera.read(self._config.wait_s)
            goes_on = self.silence("the camera sent nothing", "is it covered?") if batch is None else self._take(batch)
            if not goes_on:
                return

    def _take(self, batch: Batch) -> bool:
        width, height = self._camera.size
        x, y, t_us = batch.x.astype(np.int64), batch.y.astype(np.int64), batch.t_us
        fits = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (t_us < GREATEST_US)
        unit = (((batch.on != 0) * height + y) * width + x)[fits].astype(np.uint32)
        outside = x.size - unit.size
        self._outside += outside
        self._gaps += batch.gaps
        return self.take(t_us[fits].astype(np.int64), unit, outside + batch.gaps)
