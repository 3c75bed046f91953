"""A video file in; the address events that an event camera would have sent out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, ReplayConfig, Source, State
from pipeline.packet import Format, Packet
from sources.cut import Events, cut
from sources.frame_camera import FramePixelConfig, grey_frames, opencv

if TYPE_CHECKING:
    from sources.frame_pixels import FramePixels

LEAST_HZ, GREATEST_HZ = 0.01, 100_000.0


class VideoConfig(ReplayConfig, FramePixelConfig):
    """A video file, seen by the simulated pixels of `dvs_scene`: one episode. Read by OpenCV (extra `video`).

    Each pixel fires ON when its log intensity has risen by its ON threshold since its last event, OFF when it has fallen by its
    OFF threshold, and then is blind for `refractory_us`. Intensity is the frames' grey value, scaled to width x height by area,
    logarithmic above 20 of 255, linear below; between two frames it goes straight from one to the other, and an event
    is stamped with the microsecond of the crossing. Frame k is at k / frame_hz, which is the file's unless given: few frames a
    second, or fast motion, give bursts that no event camera would.

    Out: spikes of shape (2, height, width), ON is index 1, y counts down, sorted by (t_us, unit). The episode begins at 0 and
    ends with its last event. A run that resumes sees the video anew up to there, faster than real time. Times in us.
    Errors: a file that is none or cannot be read as a video, one with no rate, a single frame; OpenCV that is not installed.

    Example: {type: video, path: hand.mp4, width: 128, height: 96, pace: realtime}

    Source: Y. Hu, S.-C. Liu, T. Delbruck, v2e: From Video Frames to Realistic DVS Events (2021), section 3; pixel and
    interpolation as in `dvs_scene`.
    """

    type: Literal["video"] = "video"
    path: FilePath = Field(description="the video file")
    frame_hz: float | None = Field(None, ge=LEAST_HZ, le=GREATEST_HZ, description="frames a second; none: as the file says")

    def check(self) -> Format:
        if not self.path.is_file():
            raise ValueError(f"video: {self.path}: no such file")
        return self.format

    def prepare(self) -> Callable[[State | None], Source]:
        from sources.frame_pixels import FramePixels

        format, cv2 = self.check(), opencv("video")
        frame_hz = self._frame_hz(cv2)
        return lambda state: Video(self, format, cv2, frame_hz, FramePixels, state)

    def _frame_hz(self, cv2: Any) -> float:
        capture = cv2.VideoCapture(str(self.path))
        try:
            if not capture.isOpened():
                raise ValueError(f"video: {self.path}: OpenCV cannot read it as a video")
            told_hz = capture.get(cv2.CAP_PROP_FPS)
        finally:
            capture.release()
        if self.frame_hz is not None:
            return self.frame_hz
        if not (math.isfinite(told_hz) and LEAST_HZ <= told_hz <= GREATEST_HZ):
            raise ValueError(f"video: {self.path}: tells no rate of frames ({told_hz:g}): give frame_hz")
        return float(told_hz)


class Video:
    """The source. Its position is the end of the last packet handed out, -1 once the episode has ended."""

    def __init__(self, config: VideoConfig, format: Format, cv2: Any, frame_hz: float, pixels: type[FramePixels],
                 state: State | None) -> None:
        self.format = format
        self._config, self._cv2, self._frame_hz, self._pixels = config, cv2, frame_hz, pixels
        self._at_us = 0 if state is None else int(state["at_us"])
        self._frames = 0
        self._captures: list[Any] = []

    def packets(self) -> Iterator[Packet]:
        if self._at_us < 0:
            return
        config = self._config
        for packet in cut(self._events(), 0, config.packet_us, config.max_events, resume_us=self._at_us):
            self._at_us = -1 if packet.last else packet.end_us
            yield packet

    def snapshot(self) -> State:
        return {"at_us": np.array(self._at_us, np.int64)}

    def report(self) -> dict[str, Any]:
        return {"frames": self._frames, "frame_hz": self._frame_hz}

    def close(self) -> None:
        for capture in self._captures:
            capture.release()

    def _events(self) -> Iterator[Events]:
        """The events of the whole video, frame by frame."""
        config, pixels = self._config, self._pixels(self._config)
        capture = self._cv2.VideoCapture(str(config.path))
        self._captures.append(capture)
        self._frames = 0
        for grey in grey_frames(self._cv2, capture, config.width, config.height):
            yield pixels.see(grey, round(self._frames * 1e6 / self._frame_hz))
            self._frames += 1
        if self._frames < 2:
            raise ValueError(f"video: {config.path}: holds {self._frames} frames that can be read, and nothing moves in so few")
