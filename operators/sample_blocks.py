"""SampleBlocks: packets of sampled sound go in; blocks of consecutive samples come out, whatever the packets were."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from pipeline.contract import State
from pipeline.packet import Format, Packet

Block = tuple[int, np.ndarray]  # its number, and its samples (block,) float32


def sound_rate_hz(upstream: Format, component: str, least_hz: float = 0.0, greatest_hz: float = math.inf) -> float:
    """The sampling rate of one channel of sound; ValueError if that is not what `upstream` is."""
    if upstream.kind != "graded" or upstream.size != 1 or upstream.rate_hz is None:
        raise ValueError(f"{component} takes one channel of sampled sound (graded events of shape 1 with a rate), got {upstream}")
    if not least_hz <= upstream.rate_hz <= greatest_hz:
        raise ValueError(f"{component} takes {least_hz:g} to {greatest_hz:g} samples/s, got {upstream.rate_hz:g}: set the "
                         "source's rate_hz, 48000 if nothing speaks against it")
    return upstream.rate_hz


def stamp_us(sample: int, rate_hz: float) -> int:
    """The time of a sample."""
    return round(sample * 1e6 / rate_hz)


def first_sample(t_us: int, rate_hz: float) -> int:
    """The first sample that is stamped t_us or later."""
    sample = math.floor((t_us - 1) * rate_hz / 1e6)
    while stamp_us(sample, rate_hz) < t_us:
        sample += 1
    return sample


class SampleBlocks:
    """Block k holds the samples k n to (k + 1) n - 1, sample i being stamped round(i 1e6 / rate_hz). What is missing is 0.

    A block is over once the time of its last sample has passed; the first one is that in which the episode begins.
    State: `pending`, the samples of the open block; `sample_clock`: started, the open block, the first sample, the time reached.
    """

    def __init__(self, rate_hz: float, n: int, state: State | None) -> None:
        self._rate_hz, self._n = rate_hz, n
        self._pending = np.zeros(n, np.float32) if state is None else state["pending"].copy()
        clock: list[int] = [0, 0, 0, 0] if state is None else state["sample_clock"].tolist()
        self._started, self.block, self.first, self.end_us = clock

    def start(self, begin_us: int) -> bool:
        """Whether the episode begins here."""
        if self._started:
            return False
        self._started, self.first, self.end_us = 1, first_sample(begin_us, self._rate_hz), begin_us
        self.block = self.first // self._n
        return True

    def put(self, packet: Packet) -> Iterator[Block]:
        """The blocks that are over with this packet."""
        self.end_us = packet.end_us
        sample = self._numbers(packet.t_us)
        at = 0
        while True:
            begin = self.block * self._n
            stop = int(sample.searchsorted(begin + self._n))
            if stop > at and packet.value is not None:
                self._pending[sample[at:stop] - begin] = packet.value[at:stop]
            if stamp_us(begin + self._n - 1, self._rate_hz) >= packet.end_us:
                return
            at = stop
            yield self.close()

    def close(self) -> Block:
        """The open block, as far as it has come; the next one is open then."""
        taken = self.block, self._pending
        self._pending = np.zeros(self._n, np.float32)
        self.block += 1
        return taken

    def snapshot(self) -> State:
        clock = np.array([self._started, self.block, self.first, self.end_us], np.int64)
        return {"pending": self._pending.copy(), "sample_clock": clock}

    def _numbers(self, t_us: np.ndarray) -> np.ndarray:
        """The first sample that is stamped t_us or later: of a time that is a sample's, that sample."""
        sample = np.floor((t_us - 1) * (self._rate_hz / 1e6)).astype(np.int64)
        for _ in range(2):
            sample += np.rint(sample * 1e6 / self._rate_hz) < t_us
        return sample
