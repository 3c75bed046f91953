"""Grey frames of a video go in, the address events that an event camera would have sent between them come out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sources.cut import Events
from sources.kernels.dvs_pixel import NEVER, fire
from sources.scene_camera import mismatched

if TYPE_CHECKING:
    from sources.frame_camera import FramePixelConfig

LINEAR_BELOW = 20.0  # of 255: darker, the logarithm would be of noise


class FramePixels:
    """The pixels of an event camera that looks at a video.

    A pixel's log intensity is f(y) = ln y for a grey value y > 20 of 255, y ln(20) / 20 below. Between two frames it goes
    straight from one value to the other; whenever it has moved by the pixel's threshold an event is fired, stamped with the
    microsecond of the crossing (`kernels.dvs_pixel.fire`).

    >>> from sources.frame_camera import FramePixelConfig
    >>> pixels = FramePixels(FramePixelConfig(width=1, height=1, threshold_on=0.5, mismatch=0, refractory_us=0))
    >>> black, white = np.full((1, 1), 30, np.uint8), np.full((1, 1), 200, np.uint8)
    >>> pixels.see(black, 0).t_us.size, pixels.see(white, 1000).t_us.tolist()
    (0, [263, 527, 790])

    Source: Y. Hu, S.-C. Liu, T. Delbruck, v2e: From Video Frames to Realistic DVS Events (2021), section 3 (the mapping);
    H. Rebecq, D. Gehrig, D. Scaramuzza, ESIM: an Open Event Camera Simulator (2018), section 3 (between two frames).
    """

    def __init__(self, options: FramePixelConfig) -> None:
        self._pixels = options.width * options.height
        draw = np.random.default_rng(options.seed)
        self._threshold_on = mismatched(options.threshold_on, options.mismatch, self._pixels, draw)
        self._threshold_off = mismatched(options.threshold_off, options.mismatch, self._pixels, draw)
        self._least_threshold = np.minimum(self._threshold_on, self._threshold_off)
        self._refractory_us = options.refractory_us
        self._before = self._reference = np.empty(0)  # before the first frame
        self._blind_until_us = np.full(self._pixels, -1, np.int64)
        self._no_noise = np.full(self._pixels, NEVER), np.zeros(self._pixels, np.uint8), np.arange(self._pixels)
        self._seen_us = 0

    def see(self, grey: np.ndarray, t_us: int) -> Events:
        """The events since the frame before, in order of (t_us, unit). grey (height, width) u8; t_us must grow."""
        after = LOG_INTENSITY[grey].ravel()
        if not self._before.size:
            self._before, self._reference, self._seen_us = after, after.copy(), t_us
            return Events()
        most = int((2.0 + np.abs(after - self._before) / self._least_threshold).sum())
        keys = np.empty(most, np.int64)
        n = fire(self._seen_us, t_us, self._before, after, self._threshold_on, self._threshold_off, self._refractory_us,
                 *self._no_noise, self._reference, self._blind_until_us, keys, 0)
        self._before, self._seen_us = after, t_us
        keys = np.sort(keys[:n])
        event_us = keys // (2 * self._pixels)
        return Events(event_us, (keys - event_us * (2 * self._pixels)).astype(np.uint32))


def _log_intensity() -> np.ndarray:
    y = np.arange(256, dtype=np.float64)
    table = np.where(y > LINEAR_BELOW, np.log(np.maximum(y, 1.0)), y * (math.log(LINEAR_BELOW) / LINEAR_BELOW))
    table.setflags(write=False)
    return table


LOG_INTENSITY = _log_intensity()  # by grey value
