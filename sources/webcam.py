"""A webcam's frames in, by OpenCV; the address events that an event camera would have sent out, live."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.contract import Source, State
from pipeline.packet import Format, Packet
from sources.frame_camera import FramePixelConfig, grey_frames, opencv
from sources.live import LiveConfig, LiveSource, report_of

if TYPE_CHECKING:
    from sources.frame_pixels import FramePixels


class WebcamConfig(LiveConfig, FramePixelConfig):
    """A webcam, seen by the simulated pixels of `dvs_scene`, live. Read by OpenCV (extra `video`).

    Pixels and frames are those of the source `video`: events lie between two frames, each of which is stamped with the host's
    time of its arrival. So a packet is as long as a frame lasts, and comes when it is over.

    Out: spikes of shape (2, height, width), ON is index 1, y counts down, sorted by (t_us, unit). Stream time begins at 0 with
    the first frame. Times in us. A run that resumes goes on with what the camera sees then.
    Errors: no such camera, or one that another program uses; one that is unplugged; OpenCV that is not installed.

    Example: {type: webcam, device: 0, width: 128, height: 96, on_overload: latest}

    Source: as `video`.
    """

    type: Literal["webcam"] = "webcam"
    device: int = Field(0, ge=0, description="number of the camera, counted by the operating system")

    def check(self) -> Format:
        self.check_overload(self.format)
        return self.format

    def prepare(self) -> Callable[[State | None], Source]:
        from sources.frame_pixels import FramePixels

        format, cv2 = self.check(), opencv("webcam")
        return lambda state: Webcam(self, format, cv2, FramePixels(self), state)


class Webcam(LiveSource):
    """The source. It is the camera's only reader and closes it."""

    def __init__(self, config: WebcamConfig, format: Format, cv2: Any, pixels: FramePixels, state: State | None) -> None:
        super().__init__(config, format, state)
        self._config, self._cv2, self._pixels = config, cv2, pixels
        self._position.open = True
        self._frames = 0
        self._capture = cv2.VideoCapture(config.device)
        if not self._capture.isOpened():
            raise ValueError(f"webcam: camera {config.device} cannot be opened: plug it in, choose another device, or end "
                             "the program that uses it")

    def receive(self) -> None:
        config, origin_us, begin_s = self._config, self._position.end_us, 0.0
        end_us = origin_us
        for grey in grey_frames(self._cv2, self._capture, config.width, config.height):
            begin_s = begin_s or time.monotonic()
            begin_us, end_us = end_us, max(end_us + (self._frames > 0), origin_us + round((time.monotonic() - begin_s) * 1e6))
            events = self._pixels.see(grey, end_us)
            self._frames += 1
            if not self._queue.put(Packet(begin_us, end_us, events.t_us, events.unit)) or self._queue.closed:
                return
        raise ValueError(f"webcam: camera {config.device} sends no more frames: is it still plugged in?")

    def report(self) -> dict[str, Any]:
        """Events received, sent, discarded, queued; and the frames that they were made from."""
        return report_of(self._queue, frames=self._frames)

    def close(self) -> None:
        super().close()
        self._capture.release()
