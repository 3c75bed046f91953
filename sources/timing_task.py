"""Synthetic spike trains whose class lies in their timing alone: a task and a seed go in, labelled episodes come out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from pipeline.contract import Source, State
from pipeline.packet import Format
from sources.cut import Events
from sources.samples import Sample, SampledConfig, Samples

PAIRS, GROUP = 10, 20  # pairs or neurons of the interval tasks; neurons of a group of the coincidence task
PLANE, GAP = 10.0, 2.5  # half the side of the square that labels are drawn from; what is left free beside the border
NEURONS = 3 * GROUP  # of the largest task
RATES_HZ = np.array([2, 4, 6, 8, 10])
TOGETHER = ((0, 1), (0, 2), (1, 2))  # the groups that fire at one time, by class
NAMES = {"isi": ("below", "above"), "cross_channel_isi": ("below", "above"), "coincidence": ("a and b", "a and c", "b and c")}


class TimingTaskConfig(SampledConfig):
    """Samples whose class cannot be told from spike counts: it lies in intervals or coincidences.

    The interval tasks draw points (x, y) from [-10, 10]^2, none closer than 2.5 to the line y = -x / 2; the class is the side of
    the line. x sets how many pairs of spikes a second there are (2, 4, 6, 8 or 10), y the interval inside a pair, 1 ms to
    max_interval_ms, both linearly. Both classes are as likely at every x, and y is uniform on its side of the line, so that
    the number of pairs tells nothing: of points drawn uniformly from the square, as in the source, it tells 0.67 of the classes.

        isi                 10 neurons; each fires pairs at random times, the spikes of a pair being the interval apart
        cross_channel_isi   10 pairs of neurons; the second fires the interval after the first. A pair that runs over the end of
                            the episode goes on at its begin, so that either neuron alone fires at times uniform over the
                            episode, and as often as the other
        coincidence         3 groups of 20 neurons fire volleys at random times; the class is which two groups share them.
                            Each of their volleys is independent after all with probability `overlap`: at 1 nothing is left

    Out: spikes on no tick, times in whole ms, of shape (10,), (20,) or (60,), in episodes of [0, duration_ms). Sample i follows
    from (draw, i) alone. Errors: max_interval_ms that does not fit into duration_ms, in isi all pairs of a neuron.

    Example: {type: timing_task, task: cross_channel_isi, max_interval_ms: 200, samples: 2000, draw: 1}

    Source: Yu, Sun, Goodman et al., "Beyond rate coding: surrogate gradients enable spike timing learning in spiking neural
    networks" (2025), the synthetic tasks; equal classes at every x and pairs that run over the end are ours.
    """

    type: Literal["timing_task"] = "timing_task"
    task: Literal["isi", "cross_channel_isi", "coincidence"] = Field(description="what the class lies in")
    samples: int = Field(2000, ge=1, description="number of samples")
    draw: int = Field(0, ge=0, description="seed of the samples; another draw gives other samples of the same task")
    duration_ms: int = Field(1000, ge=10, description="length of an episode")
    max_interval_ms: int = Field(50, ge=2, description="longest interval of the interval tasks")
    volleys: int = Field(8, ge=1, description="volleys of a group in the coincidence task")
    overlap: float = Field(0.0, ge=0, le=1, description="share of the common volleys that are independent after all")

    @model_validator(mode="after")
    def _fits(self) -> TimingTaskConfig:
        if self.max_interval_ms >= self.duration_ms:
            raise ValueError(f"max_interval_ms must be below duration_ms {self.duration_ms}, got {self.max_interval_ms}")
        most = round(int(RATES_HZ.max()) * self.duration_ms / 1000)
        if self.task == "isi" and most * (self.max_interval_ms + 1) > self.duration_ms:
            raise ValueError(f"max_interval_ms may be at most {self.duration_ms // most - 1}, as {most} pairs must fit "
                             f"duration_ms {self.duration_ms}, got {self.max_interval_ms}")
        if self.volleys > self.duration_ms // 2:
            raise ValueError(f"at most {self.duration_ms // 2} volleys fit duration_ms {self.duration_ms}, got {self.volleys}")
        return self

    def check(self) -> Format:
        units = {"isi": PAIRS, "cross_channel_isi": 2 * PAIRS, "coincidence": 3 * GROUP}[self.task]
        return Format("spikes", (units,), names=NAMES[self.task])

    def prepare(self) -> Callable[[State | None], Source]:
        format = self.check()
        return lambda state: Samples(self, format, partial(_Drawn, self), state)


class _Drawn:
    """The samples, each drawn when it is read."""

    def __init__(self, config: TimingTaskConfig) -> None:
        self._config = config
        self.fingerprint = config.model_dump_json(exclude={"shuffle", "seed", "limit", "pace", "packet_ms"}).encode()

    def __len__(self) -> int:
        return self._config.samples

    def label(self, index: int) -> int:
        return int(self._labels[index])

    @cached_property
    def _labels(self) -> np.ndarray:
        return np.array([self._drawn(index)[0] for index in range(len(self))])

    def _drawn(self, index: int) -> tuple[int, np.ndarray, np.random.Generator]:
        """The class, the point in the plane, and the generator that goes on with the spikes."""
        rng = np.random.default_rng([self._config.draw, index])
        if self._config.task == "coincidence":
            return int(rng.integers(3)), np.zeros(2), rng
        label, x = int(rng.integers(2)), rng.uniform(-PLANE, PLANE)
        border, gap = -x / 2, GAP * np.hypot(1, 0.5)
        y = rng.uniform(border + gap, PLANE) if label else rng.uniform(-PLANE, border - gap)
        return label, np.array([x, y]), rng

    def read(self, index: int) -> Sample:
        config = self._config
        label, (x, y), rng = self._drawn(index)
        rate_hz = RATES_HZ[min(int((x + PLANE) / (2 * PLANE) * RATES_HZ.size), RATES_HZ.size - 1)]
        interval = round(1 + (y + PLANE) / (2 * PLANE) * (config.max_interval_ms - 1))
        if config.task == "isi":
            spikes = _pairs(rng, int(rate_hz), interval, config.duration_ms)
        elif config.task == "cross_channel_isi":
            spikes = _cross_pairs(rng, int(rate_hz), interval, config.duration_ms)
        else:
            spikes = _volleys(rng, label, config.volleys, config.overlap, config.duration_ms)
        ms, unit = np.concatenate(spikes, axis=1)
        ms, unit = divmod(np.unique(ms * NEURONS + unit), NEURONS)  # by time, then neuron; one spike of a neuron in a ms
        return Sample(Events(ms.astype(np.int64) * 1000, unit.astype(np.uint32)), config.duration_ms * 1000)

    def about(self, index: int) -> dict[str, str]:
        return {}

    def close(self) -> None:
        pass


def _pairs(rng: np.random.Generator, rate_hz: int, interval: int, duration: int) -> list[np.ndarray]:
    """[(ms, unit)] of pairs inside one neuron; no pair begins within an interval of another's begin, all such are as likely."""
    found, pairs = [], round(rate_hz * duration / 1000)
    for neuron in range(PAIRS):
        begins = np.sort(rng.choice(duration - pairs * interval, pairs, replace=False)) + interval * np.arange(pairs)
        found.append(np.stack([np.concatenate([begins, begins + interval]), np.full(2 * pairs, neuron)]))
    return found


def _cross_pairs(rng: np.random.Generator, rate_hz: int, interval: int, duration: int) -> list[np.ndarray]:
    """[(ms, unit)] of pairs across two neurons, each at a place of its own on the ring that the episode is closed to."""
    found = []
    for pair in range(PAIRS):
        begin = rng.choice(duration, round(rate_hz * duration / 1000), replace=False)
        for neuron, ms in ((2 * pair, begin), (2 * pair + 1, (begin + interval) % duration)):
            found.append(np.stack([ms, np.full(ms.size, neuron)]))
    return found


def _volleys(rng: np.random.Generator, label: int, volleys: int, overlap: float, duration: int) -> list[np.ndarray]:
    """[(ms, unit)] of three groups, two of which share their volleys."""
    times = [rng.choice(duration, volleys, replace=False) for _ in range(3)]
    first, second = TOGETHER[label]
    common = rng.random(volleys) >= overlap
    times[second] = np.where(common, times[first], times[second])
    neurons = np.arange(GROUP)
    return [np.stack([np.repeat(ms, GROUP), np.tile(neurons + GROUP * group, volleys)]) for group, ms in enumerate(times)]
