"""What the sources `video` and `webcam` share: the options of their pixels, and frames read by OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from pipeline.packet import Format


class FramePixelConfig(BaseModel):
    """The pixels of the event camera that looks at the frames."""

    width: int = Field(ge=1, le=4096, description="columns of the sensor, pixels: frames are scaled to it")
    height: int = Field(ge=1, le=4096, description="rows of the sensor, pixels")
    threshold_on: float = Field(0.25, ge=0.01, description="rise of log intensity that makes an ON event")
    threshold_off: float = Field(0.25, ge=0.01, description="fall of log intensity that makes an OFF event")
    mismatch: float = Field(0.03, ge=0, description="standard deviation of the pixels' thresholds, log intensity")
    refractory_us: int = Field(500, ge=0, description="time for which a pixel is blind after an event, us")
    seed: int = Field(0, ge=0, description="of the pixels' thresholds")

    @property
    def format(self) -> Format:
        return Format("spikes", (2, self.height, self.width))


def opencv(source: str) -> Any:
    """The package, told to leave the errors to us."""
    try:
        import cv2
    except ImportError:
        raise ValueError(f"{source}: needs OpenCV: pip install 'spikeline[video]'") from None
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


def grey_frames(cv2: Any, capture: Any, width: int, height: int) -> Iterator[np.ndarray]:
    """Every frame that can be read, (height, width) u8, each pixel the mean of those that it covers."""
    while True:
        there, frame = capture.read()
        if not there:
            return
        grey = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        yield grey if grey.shape == (height, width) else cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
