"""Data sets of labelled samples, each short enough to be held whole: one sample goes in, one labelled episode comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple, Protocol
from zlib import crc32

import numpy as np
from pydantic import Field

from pipeline.contract import ReplayConfig, State
from pipeline.packet import NO_VALUES, Format, Packet
from sources.cut import Events, cut


class SampledConfig(ReplayConfig):
    """The options of every source of labelled samples: which of them, and in which order."""

    shuffle: bool = Field(False, description="whether to draw the order of all samples from seed")
    seed: int = Field(0, ge=0, description="of the order")
    limit: int | None = Field(None, ge=1, description="most episodes in all; none: every sample once")

    def order(self, samples: int) -> np.ndarray:
        """The numbers of the samples, in the order of the episodes."""
        order = np.random.default_rng(self.seed).permutation(samples) if self.shuffle else np.arange(samples)
        return order[: self.limit]


class Sample(NamedTuple):
    events: Events  # times from the sample's begin on
    end_us: int | None = None  # None: one microsecond after the last event


class Reader(Protocol):
    """An opened data set."""

    fingerprint: bytes  # changes when the data do

    def __len__(self) -> int: ...
    def label(self, index: int) -> int: ...
    def read(self, index: int) -> Sample: ...
    def about(self, index: int) -> dict[str, str]: ...  # what else is known of a sample, to be counted in the report
    def close(self) -> None: ...


class Samples:
    """The source. Its position is (episode, end of the last packet): a resumed sample is read anew up to there.

    State: episode, next_us, order (a checksum of the samples and their order), events so far.
    """

    def __init__(self, config: SampledConfig, format: Format, open_reader: Callable[[], Reader], state: State | None) -> None:
        self.format = format
        self._config, self._reader = config, open_reader()
        self._order = config.order(len(self._reader))
        self._checksum = crc32(self._reader.fingerprint, crc32(self._order.astype("<i8").tobytes()))
        self._episode = self._next_us = self._events = 0
        self._streams: list[Iterator[Packet]] = []
        if state is not None:
            if int(state["order"]) != self._checksum:
                raise ValueError("the samples or their order have changed since the snapshot")
            self._episode, self._next_us, self._events = (int(state[name]) for name in ("episode", "next_us", "events"))

    def packets(self) -> Iterator[Packet]:
        stream = self._packets()
        self._streams.append(stream)
        return stream

    def snapshot(self) -> State:
        numbers = {"episode": self._episode, "next_us": self._next_us, "order": self._checksum, "events": self._events}
        return {name: np.array(number, np.int64) for name, number in numbers.items()}

    def close(self) -> None:
        for stream in self._streams:
            stream.close()  # type: ignore[attr-defined]
        self._reader.close()

    def report(self) -> dict[str, Any]:
        """Samples and events handed out, and how many of the samples shared each thing that is known of them."""
        shared: dict[str, Counter[str]] = {}
        for index in self._order[: self._episode].tolist():
            for name, value in self._reader.about(index).items():
                shared.setdefault(name, Counter())[value] += 1
        return {"samples": self._episode, "events": self._events, **{name: dict(sorted(c.items())) for name, c in shared.items()}}

    def _packets(self) -> Iterator[Packet]:
        config, graded = self._config, self.format.kind == "graded"
        while self._episode < len(self._order):
            index = int(self._order[self._episode])
            events, end_us = self._reader.read(index)
            if end_us is None and not events.t_us.size:
                raise ValueError(f"sample {index} holds no events; set end_ms to take such a sample as silence")
            for packet in cut([events], 0, config.packet_us, config.max_events, end_us=end_us, resume_us=self._next_us,
                              episode=self._episode, label=self._reader.label(index)):  # fmt: skip
                self._events += packet.n
                self._episode, self._next_us = (self._episode + 1, 0) if packet.last else (self._episode, packet.end_us)
                yield replace(packet, value=NO_VALUES) if graded and packet.value is None else packet
