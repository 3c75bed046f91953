"""The motions of the simulated camera's scenes: an episode's number goes in, its motion and the view at any time come out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

SHIFTS = {  # the way in which the image moves, y counting down
    "right": (1, 0), "down_right": (1, 1), "down": (0, 1), "down_left": (-1, 1),
    "left": (-1, 0), "up_left": (-1, -1), "up": (0, -1), "up_right": (1, -1),
}
TURNS = {"clockwise": 1, "counter_clockwise": -1}
ZOOMS = {"approach": 1, "retreat": -1}
MOTIONS = (*SHIFTS, *TURNS, *ZOOMS)

TEXELS_PER_PIXEL = 2
LEVELS_PER_OCTAVE = 2


@dataclass(frozen=True)
class Motion:
    """How the image of a plane moves over a sensor of width x height pixels while an episode lasts.

    In each of the motions the root mean square over the sensor of the image's speed is the same, so that no motion gives itself
    away by its number of events: a turn has the rate speed / radius, a zoom the scale exp(rate (t - length/2)), radius being
    the root mean square distance of the pixels from the motion's middle (x, y). Half-way the scale is 1.
    """

    name: str
    length_us: int
    speed_px_s: float
    middle_px: tuple[float, float]  # of turns and zooms
    turned: float  # rad: how the plane's texture lies at the start
    origin: tuple[float, float]  # texels: what lies under the middle at the start
    width: int
    height: int

    def warps(self, t_us: np.ndarray) -> np.ndarray:
        """The view at each time t_us (n,): (n, 7) f8, six numbers that lead from pixel to texel, and the level of blur."""
        t_s = t_us / 1e6
        log_scale = self._zoom_rate() * (t_s - self.length_us / 2e6)
        texels = TEXELS_PER_PIXEL * np.exp(-log_scale)
        angle = self.turned - TURNS.get(self.name, 0) * self._rate() * t_s
        cosine, sine = texels * np.cos(angle), texels * np.sin(angle)
        right, down = SHIFTS.get(self.name, (0, 0))
        distance = self.speed_px_s / math.hypot(right, down) * t_s if right or down else 0.0 * t_s
        x, y = self.middle_px[0] + right * distance, self.middle_px[1] + down * distance
        warps = np.empty((t_us.shape[0], 7))
        warps[:, 0], warps[:, 1], warps[:, 2] = cosine, -sine, self.origin[0] - cosine * x + sine * y
        warps[:, 3], warps[:, 4], warps[:, 5] = sine, cosine, self.origin[1] - sine * x - cosine * y
        warps[:, 6] = LEVELS_PER_OCTAVE * (self._greatest_log_scale() - log_scale).clip(0.0) / math.log(2)
        return warps

    def level_scales(self) -> np.ndarray:
        """The scale (1 at half-way) that each level of blur is made for: a single 1, or half an octave apart, falling."""
        levels = 1 + math.ceil(round(LEVELS_PER_OCTAVE * 2 * self._greatest_log_scale() / math.log(2), 9))
        return np.exp(self._greatest_log_scale()) * 2.0 ** (-np.arange(levels) / LEVELS_PER_OCTAVE)

    def _rate(self) -> float:
        x, y = self.middle_px[0] - (self.width - 1) / 2, self.middle_px[1] - (self.height - 1) / 2
        return self.speed_px_s / math.sqrt((self.width**2 + self.height**2) / 12 + x * x + y * y)

    def _zoom_rate(self) -> float:
        return ZOOMS.get(self.name, 0) * self._rate()

    def _greatest_log_scale(self) -> float:
        return abs(self._zoom_rate()) * self.length_us / 2e6


def motion_of(seed: int, episode: int, names: tuple[str, ...]) -> str:
    """The motion of an episode: each of the names once in every len(names) episodes, in an order drawn for each such block."""
    block, place = divmod(episode, len(names))
    order = np.random.default_rng((seed, 0, block)).permutation(len(names))
    return names[order[place]]
