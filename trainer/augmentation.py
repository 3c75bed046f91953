"""Augmentation: a recorded episode in, a changed one out, so that a small training set stands for more."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from pipeline.contract import Config
from pipeline.packet import Format, Packet


class Augmentation(Config):
    """Random changes to raw events, before the operators. All amounts are the greatest; 0 switches a change off.

    Space (streams of shape (2, H, W); x <- A (x - centre) + centre + shift, events that leave the image are dropped):
    rotation, zoom and shear of the image about its centre, then a shift. Streams of one dimension are shifted along it.
    Time: the whole episode is stretched, every event jittered. Then events are dropped and the polarity is flipped.
    Before all that, an episode may be blended with another of its class: of both each event is kept with probability 1/2, the
    other's moved so that the mean times agree (Nowotny, Turner, Knight 2022, "Loss shaping enhances exact gradient learning with
    EventProp", section on augmentation). After it, spikes at random times of random units are added: not to graded streams.
    """

    shift_px: float = Field(0.0, ge=0, description="shift along each axis, pixels (channels), uniform in +-")
    rotate_deg: float = Field(0.0, ge=0, le=180, description="rotation, degrees, uniform in +-")
    zoom: float = Field(0.0, ge=0, lt=1, description="relative change of size of each axis, uniform in +-")
    shear: float = Field(0.0, ge=0, lt=1, description="shear, pixels of x a pixel of y, uniform in +-")
    time_stretch: float = Field(0.0, ge=0, lt=1, description="relative change of duration, uniform in +-")
    time_jitter_ms: float = Field(0.0, ge=0, description="standard deviation of the jitter of every event, ms")
    drop: float = Field(0.0, ge=0, lt=1, description="share of events dropped, uniform in 0..drop")
    blend: float = Field(0.0, ge=0, le=1, description="probability to blend with another episode of the class")
    noise: float = Field(0.0, ge=0, description="spikes added, as a share of those that are there, uniform in 0..noise")
    flip_polarity: float = Field(0.0, ge=0, le=1, description="probability to exchange ON and OFF")

    def any(self) -> bool:
        return any(value > 0 for value in self.model_dump().values())

    def __call__(self, episode: Packet, rng: np.random.Generator, format: Format, others: Sequence[Packet] = ()) -> Packet:
        """The episode, changed. others: episodes of its class, to blend it with."""
        if self.blend and others and rng.random() < self.blend:
            episode = blended(episode, others[int(rng.integers(len(others)))], rng)
        t_us, unit, value, end_us = episode.t_us, episode.unit.astype(np.int64), episode.value, episode.end_us
        if self.drop:
            kept = rng.random(t_us.size) >= rng.uniform(0, self.drop)
            t_us, unit, value = t_us[kept], unit[kept], value if value is None else value[kept]
        unit, kept = self._moved(unit, rng, format.shape)
        if self.flip_polarity and len(format.shape) == 3 and format.shape[0] == 2 and rng.random() < self.flip_polarity:
            half = format.size // 2
            unit = (unit + half) % format.size
        t_us, unit, value = t_us[kept], unit[kept], value if value is None else value[kept]
        t_us, end_us = self._timed(t_us, episode.begin_us, end_us, rng)
        if self.noise and value is None:
            added = round(t_us.size * rng.uniform(0, self.noise))
            t_us = np.concatenate([t_us, rng.integers(episode.begin_us, end_us, added)])
            unit = np.concatenate([unit, rng.integers(0, format.size, added)])
        order = np.argsort(t_us, kind="stable")
        return dataclasses.replace(episode, end_us=end_us, t_us=t_us[order], unit=unit[order].astype(np.uint32),
                                   value=value if value is None else value[order])

    def _moved(self, unit: np.ndarray, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """The units where the changed image has them, and which of them lie inside of it."""
        if len(shape) == 1:
            moved = unit + round(rng.uniform(-self.shift_px, self.shift_px))
            return moved, (moved >= 0) & (moved < shape[0])
        height, width = shape[-2:]
        plane, y, x = unit // (height * width), unit // width % height, unit % width
        angle = np.deg2rad(rng.uniform(-self.rotate_deg, self.rotate_deg))
        zoom_y, zoom_x = 1 + rng.uniform(-self.zoom, self.zoom, 2)
        shear = rng.uniform(-self.shear, self.shear)
        shift_y, shift_x = rng.uniform(-self.shift_px, self.shift_px, 2)
        v, u = (y - (height - 1) / 2) * zoom_y, (x - (width - 1) / 2) * zoom_x
        u = u + shear * v
        moved_x = np.rint(np.cos(angle) * u - np.sin(angle) * v + (width - 1) / 2 + shift_x).astype(np.int64)
        moved_y = np.rint(np.sin(angle) * u + np.cos(angle) * v + (height - 1) / 2 + shift_y).astype(np.int64)
        inside = (moved_x >= 0) & (moved_x < width) & (moved_y >= 0) & (moved_y < height)
        return (plane * height + moved_y) * width + moved_x, inside

    def _timed(self, t_us: np.ndarray, begin_us: int, end_us: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        """Stretched and jittered times, kept inside the interval."""
        factor = 1 + rng.uniform(-self.time_stretch, self.time_stretch)
        end_us = max(begin_us + round((end_us - begin_us) * factor), begin_us + 1)
        jitter = rng.normal(0, self.time_jitter_ms * 1000, t_us.size) if self.time_jitter_ms else 0.0
        moved = np.rint(begin_us + (t_us - begin_us) * factor + jitter).astype(np.int64)
        return np.clip(moved, begin_us, end_us - 1), end_us


def blended(a: Packet, b: Packet, rng: np.random.Generator) -> Packet:
    """Half of the events of each, drawn at random, in the interval of `a`; those of `b` moved to the mean time of `a`, and
    dropped where that leaves it."""
    if not a.n or not b.n:
        return a
    moved = b.t_us + round(float(a.t_us.mean()) - float(b.t_us.mean()))
    of_a = rng.random(a.n) < 0.5
    of_b = (rng.random(b.n) < 0.5) & (moved >= a.begin_us) & (moved < a.end_us)
    t_us, unit = np.concatenate([a.t_us[of_a], moved[of_b]]), np.concatenate([a.unit[of_a], b.unit[of_b]])
    value = None if a.value is None or b.value is None else np.concatenate([a.value[of_a], b.value[of_b]])
    order = np.argsort(t_us, kind="stable")
    return dataclasses.replace(a, t_us=t_us[order], unit=unit[order], value=value if value is None else value[order])
