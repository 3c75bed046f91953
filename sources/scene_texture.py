"""The textures of the simulated camera's scenes: a random generator goes in, a plane of log intensity comes out, at any blur.

A texture closes on itself at its edges, so that no motion ever runs out of it, and it has structure at many sizes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from sources.kernels.paint import paint
from sources.scene_motion import TEXELS_PER_PIXEL

Kind = Literal["leaves", "clouds", "shapes"]
PIXEL_BLUR = 0.6  # standard deviation of what one pixel sees, in pixels
LARGEST = 1024  # texels along a side


class Texture:
    """One random texture of a kind, seen through pixels of finite size.

    leaves: opaque discs and boxes of all sizes, hiding one another (the dead leaves model: sizes fall off as r^-3, so the picture
    looks alike at every scale). clouds: noise of amplitude 1 / frequency, alike at every scale too
    up to a size of 12 pixels.
    shapes: scattered bright and dark discs and boxes on faint clouds.
    The log intensity has mean 0 and, as seen at scale 1, the standard deviation `contrast`.
    """

    def __init__(self, kind: Kind, side: int, contrast: float, draw: np.random.Generator) -> None:
        plane = {"leaves": _leaves, "clouds": _clouds, "shapes": _shapes}[kind](side, draw)
        self.side = side
        self._spectrum = np.fft.rfft2(plane)
        self._spectrum[0, 0] = 0.0
        self._spectrum *= contrast / max(float(self.blurred(1.0).std()), 1e-6)

    def blurred(self, scale: float) -> np.ndarray:
        """The texture (side, side) f4 as pixels see it when the image is magnified by `scale`: the same blur on the screen."""
        sigma = PIXEL_BLUR * TEXELS_PER_PIXEL / scale
        rows = np.fft.fftfreq(self.side)[:, None]
        columns = np.fft.rfftfreq(self.side)[None, :]
        blur = np.exp(-2 * (np.pi * sigma) ** 2 * rows**2) * np.exp(-2 * (np.pi * sigma) ** 2 * columns**2)
        return np.fft.irfft2(self._spectrum * blur, s=(self.side, self.side)).astype(np.float32)


def side_for(width: int, height: int) -> int:
    """The side of the texture for a sensor of width x height pixels: a power of two, in texels."""
    return int(min(LARGEST, 2 ** np.ceil(np.log2(max(64, 2 * TEXELS_PER_PIXEL * max(width, height))))))


def _leaves(side: int, draw: np.random.Generator) -> np.ndarray:
    radius = _radii(3.0, side, draw)
    value = draw.uniform(-1.0, 1.0, radius.shape)
    return _painted(np.zeros((side, side)), radius, value, draw)


def _clouds(side: int, draw: np.random.Generator) -> np.ndarray:
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency = np.maximum(frequency, 1 / (12 * TEXELS_PER_PIXEL))  # clouds larger than the view would leave it blank
    return np.fft.irfft2(np.fft.rfft2(draw.standard_normal((side, side))) / frequency, s=(side, side))


def _shapes(side: int, draw: np.random.Generator) -> np.ndarray:
    clouds = _clouds(side, draw)
    radius = _radii(0.5, side, draw)
    value = draw.choice((-1.0, 1.0), radius.shape[0]) * draw.uniform(0.6, 1.2, radius.shape[0])
    clouds *= 0.2 / clouds.std()
    return _painted(clouds, radius, value, draw)


def _radii(cover: float, side: int, draw: np.random.Generator) -> np.ndarray:
    """Radii in texels, of a density that falls off as r^-3; discs of these would cover the plane `cover` times."""
    smallest, largest = 0.6 * TEXELS_PER_PIXEL, 6.0 * TEXELS_PER_PIXEL
    mean_square = 2 * np.log(largest / smallest) / (smallest**-2 - largest**-2)
    n = round(cover * side * side / (np.pi * mean_square))
    return np.asarray((smallest**-2 - draw.random(n) * (smallest**-2 - largest**-2)) ** -0.5)


def _painted(plane: np.ndarray, radius: np.ndarray, value: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Half of the shapes are discs, half are boxes of about the same area."""
    n = radius.shape[0]
    turn = draw.uniform(0.0, np.pi, n)
    stretch = draw.uniform(0.6, 1.4, n)
    disc = draw.random(n) < 0.5
    shapes = np.empty((n, 7))
    shapes[:, :2] = draw.uniform(0.0, plane.shape[0], (n, 2))
    shapes[:, 2] = np.where(disc, radius, 0.9 * radius * stretch)
    shapes[:, 3] = np.where(disc, 0.0, 0.9 * radius / stretch)
    shapes[:, 4], shapes[:, 5], shapes[:, 6] = np.cos(turn), np.sin(turn), value
    paint(shapes, plane)
    return plane
