"""The simulated camera at work: an episode's motion goes in, its events come out, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sources.cut import Events
from sources.kernels.dvs_pixel import NEVER, simulate, view
from sources.scene_motion import Motion
from sources.scene_texture import Texture, side_for

if TYPE_CHECKING:
    from sources.dvs_scene import DvsSceneConfig


class Recording:
    """One episode before the camera: its texture, its pixels and their noise, all drawn from (seed, episode)."""

    def __init__(self, config: DvsSceneConfig, motion: Motion, episode: int) -> None:
        self._motion, self._width, self._refractory_us = motion, config.width, config.refractory_us
        self._step_us = np.append(np.arange(0, motion.length_us, config.step_us, dtype=np.int64), motion.length_us)
        self._pixels = config.width * config.height
        draw = np.random.default_rng((config.seed, 2, episode))
        kind, contrast = config.textures[draw.integers(len(config.textures))], draw.uniform(*config.contrast)
        self._texture = Texture(kind, side_for(config.width, config.height), contrast, draw)
        self._camera(config, episode)
        self._noise(config, np.random.default_rng((config.seed, 3, episode)))

    def chunks(self, about_us: int) -> Iterator[Events]:
        """The events of the episode in order of (t_us, unit), in pieces of whole steps of about this length."""
        steps = self._step_us.shape[0] - 1
        at_once = max(1, min(steps, round(about_us * steps / self._motion.length_us)))
        scales = self._motion.level_scales()
        levels = np.zeros((scales.shape[0], self._texture.side, self._texture.side), np.float32)
        filled: set[int] = set()
        before, after, blind_until_us = np.empty(self._pixels), np.empty(self._pixels), np.full(self._pixels, -1, np.int64)
        reference = np.empty(0)
        keys = np.empty(4 * self._pixels + self._noise_us.shape[0], np.int64)
        noise_next, first = self._noise_first.copy(), 0
        while first < steps:
            stop = min(steps, first + at_once)
            warps = self._motion.warps(self._step_us[first : stop + 1])
            for level in sorted(set(range(int(warps[:, 6].min()), int(np.ceil(warps[:, 6].max())) + 1)) - filled):
                levels[level] = self._texture.blurred(scales[level])
                filled.add(level)
            if first == 0:
                view(levels, warps[0], self._width, before)
                reference = before.copy()
            n, reached = simulate(0, stop - first, self._step_us[first : stop + 1], warps, levels, self._width,
                                  self._threshold_on, self._threshold_off, self._refractory_us,
                                  self._noise_us, self._noise_on, noise_next,
                                  before, after, reference, blind_until_us, keys)
            if reached == 0:
                keys = np.empty(2 * keys.shape[0], np.int64)
            first += reached
            yield self._events(np.sort(keys[:n]))

    def _events(self, keys: np.ndarray) -> Events:
        t_us = keys // (2 * self._pixels)
        return Events(t_us, (keys - t_us * (2 * self._pixels)).astype(np.uint32))

    def _camera(self, config: DvsSceneConfig, episode: int) -> None:
        """Thresholds and hot pixels, of this episode's camera or of the one that sees all."""
        seeds = (config.seed, 4, episode) if config.camera_seed is None else (config.camera_seed, 5, 0)
        draw = np.random.default_rng(seeds)
        self._threshold_on = mismatched(config.threshold_on, config.mismatch, self._pixels, draw)
        self._threshold_off = mismatched(config.threshold_off, config.mismatch, self._pixels, draw)
        self._hot = draw.random(self._pixels) < config.hot_fraction

    def _noise(self, config: DvsSceneConfig, draw: np.random.Generator) -> None:
        """All noise of the episode, pixel after pixel, each pixel's in order and closed by NEVER."""
        rate_hz = config.noise_hz + config.hot_hz * self._hot
        count = draw.poisson(rate_hz * (self._motion.length_us / 1e6))
        pixel = np.repeat(np.arange(self._pixels), count)
        t_us = draw.integers(0, self._motion.length_us, pixel.shape[0])
        past = np.cumsum(count + 1)
        self._noise_us = np.full(past[-1], NEVER, np.int64)
        self._noise_us[np.arange(pixel.shape[0]) + pixel] = t_us[np.lexsort((t_us, pixel))]
        self._noise_on = draw.integers(0, 2, past[-1]).astype(np.uint8)
        self._noise_first = past - count - 1


def mismatched(threshold: float, mismatch: float, pixels: int, draw: np.random.Generator) -> np.ndarray:
    """Each pixel's threshold, normally distributed, at least a fifth of what was asked for."""
    return np.maximum(draw.normal(threshold, mismatch, pixels), 0.2 * threshold)
