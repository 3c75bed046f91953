"""What the events of a recording look like as a whole: counts by pixel, rates over time, silences, a thin sample of all events.

Events come in pieces; memory is limited, however long the recording lasts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sources.cut import Events

GAP_US = 10_000  # a silence of at least this counts as a gap
BINS = 1024  # most bins of time; each is twice as long once they no longer reach
FIRST_BIN_US = 1000
SAMPLE = 20_000  # most events kept for a raster
MOST_UNITS = 1 << 26  # of which each is counted

HOT_EVENTS, HOT_FACTOR = 100, 10  # a hot pixel has so many events, and so many times those of its second busiest neighbour
HOTTEST = 10  # named one by one


class HotPixel(NamedTuple):
    x: int
    y: int
    events: int


class Survey:
    """Gathers events; `figures` are JSON values by name.

    shape: of the stream. counts (units,): events of each unit, or None where there are too many units.
    rates (2, bins): events of each bin of `bin_us` from `first_us` on, by polarity (all in row 1 where the shape has none).
    sample_t_us, sample_unit: every n-th event.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.is_camera = len(shape) == 3 and shape[0] == 2
        size = int(np.prod(shape))
        self.counts = np.zeros(size, np.int64) if size <= MOST_UNITS else None
        self._plane = size // 2 if self.is_camera else 0
        self.events, self.first_us, self._newest_us = 0, 0, 0
        self.rates, self.bin_us = np.zeros((2, BINS), np.int64), FIRST_BIN_US
        self.gaps, self.longest_gap_us, self.longest_gap_from_us = 0, 0, 0
        self._stride, self._sample = 1, [np.empty((2, 0), np.int64)]
        self._sampled = 0

    def add(self, events: Events) -> None:
        """Events in order of time, none earlier than those before."""
        t_us, unit = events.t_us, events.unit
        if not t_us.size:
            return
        if not self.events:
            self.first_us = self._newest_us = int(t_us[0])
        if self.counts is not None:
            np.add.at(self.counts, unit, 1)
        self._add_gaps(t_us)
        self._add_rates(t_us, unit)
        self._add_sample(t_us, unit)
        self.events += t_us.size
        self._newest_us = int(t_us[-1])

    @property
    def sample(self) -> np.ndarray:
        """(2, n) int64: t_us and unit of every so many-th event."""
        return np.concatenate(self._sample, axis=1)

    @property
    def picture(self) -> np.ndarray | None:
        """(height, width) events of each pixel, both polarities together; None where this is no camera."""
        if self.counts is None or not self.is_camera:
            return None
        return self.counts.reshape(self.shape).sum(axis=0)

    def hot_pixels(self) -> list[HotPixel]:
        """Pixels that fire far more often than those around them, the busiest first."""
        picture = self.picture
        if picture is None:
            return []
        padded = np.pad(picture, 1)
        height, width = picture.shape
        shifts = [(dy, dx) for dy in range(3) for dx in range(3) if (dy, dx) != (1, 1)]
        around = np.stack([padded[dy : dy + height, dx : dx + width] for dy, dx in shifts])
        second = np.partition(around, 6, axis=0)[6]
        y, x = np.nonzero((picture >= HOT_EVENTS) & (picture >= HOT_FACTOR * second))
        found = [HotPixel(int(column), int(row), int(picture[row, column])) for row, column in zip(y, x, strict=True)]
        return sorted(found, key=lambda pixel: -pixel.events)

    def figures(self) -> dict[str, Any]:
        duration_us = self._newest_us - self.first_us
        by_polarity = self.rates.sum(axis=1)
        polarities = {"off_rate_hz": by_polarity[0], "on_rate_hz": by_polarity[1]} if self.is_camera else {}
        hot = self.hot_pixels()
        return {
            **{name: float(count * 1e6 / duration_us) if duration_us else None for name, count in polarities.items()},
            "peak_rate_hz": float(self.rates.sum(axis=0).max() * 1e6 / self.bin_us) if self.events else None,
            "peak_rate_over_us": self.bin_us,
            "gaps": self.gaps,
            "gaps_of_at_least_us": GAP_US,
            "longest_gap_us": self.longest_gap_us,
            "longest_gap_from_us": self.longest_gap_from_us if self.longest_gap_us else None,
            "hot_pixels": len(hot) if self.picture is not None else None,
            "hottest_pixels": [pixel._asdict() for pixel in hot[:HOTTEST]],
        }

    def _add_gaps(self, t_us: np.ndarray) -> None:
        silences = np.diff(t_us, prepend=self._newest_us)
        at = int(silences.argmax())
        if silences[at] >= GAP_US:
            self.gaps += int((silences >= GAP_US).sum())
        if silences[at] > self.longest_gap_us:
            self.longest_gap_us = int(silences[at])
            self.longest_gap_from_us = int(t_us[at]) - self.longest_gap_us

    def _add_rates(self, t_us: np.ndarray, unit: np.ndarray) -> None:
        while (int(t_us[-1]) - self.first_us) // self.bin_us >= BINS:
            self.rates[:, : BINS // 2] = self.rates[:, ::2] + self.rates[:, 1::2]
            self.rates[:, BINS // 2 :] = 0
            self.bin_us *= 2
        bins = (t_us - self.first_us) // self.bin_us + BINS * (unit >= self._plane)
        self.rates += np.bincount(bins, minlength=2 * BINS).reshape(2, BINS)

    def _add_sample(self, t_us: np.ndarray, unit: np.ndarray) -> None:
        part = slice(-self.events % self._stride, None, self._stride)
        self._sample.append(np.stack((t_us[part], unit[part].astype(np.int64))))
        self._sampled += self._sample[-1].shape[1]
        while self._sampled > SAMPLE:
            self._sample = [self.sample[:, ::2]]
            self._sampled = self._sample[0].shape[1]
            self._stride *= 2
