"""A recorded event file, replayed: address events come out of it as packets, whatever its format."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, Source, State
from pipeline.packet import NO_VALUES, Format, Packet
from sources.cut import Events, cut
from sources.file_options import FileConfig
from sources.recordings import Recording, Stream

CHUNKS_A_MARK = 64  # of the index


class DvsFileConfig(FileConfig):
    """A recording of an event camera, of any format of docs/recordings.md, told by its content.

    Out: spikes of shape (2, height, width), ON is index 1, y counts down, in the recording's order, times as recorded (us).
    `stream: triggers` gives the edges of external triggers instead, spikes of shape (2, 32): falling and rising, by channel;
    `stream: exposures` the threshold crossings of an ATIS, of shape (2, height, width): first and second of a measurement.
    The first packet begins at the first event (or `from_s` after it); the last one ends 1 us after the last event (or exactly
    `to_s` after the first event, in silence where the recording is shorter). Each turn of `loop` is an episode of the same times.
    The file is read in pieces, so a recording of any length is replayed in constant memory.

    Errors: a file that is missing, empty, of no known format, without events, or cut off (see `truncated`); an event outside of
    the geometry; an event earlier than one before it (see `on_disorder`: `drop` leaves it out and counts it in Packet.lost,
    `{sort_within_ms: X}` sorts those that are at most X ms late and drops the others); `from_s` after the end; a stream that
    the file does not hold.

    Example: {type: dvs_file, path: recordings/hand.raw, packet_ms: 1, pace: realtime, from_s: 2, to_s: 5}

    Source: the formats' files in sources/formats name theirs.
    """

    type: Literal["dvs_file"] = "dvs_file"
    path: FilePath = Field(description="the recording")
    from_s: float = Field(0.0, ge=0, description="where to begin, s after the recording's first event")
    to_s: float | None = Field(None, gt=0, description="where to end, s after the recording's first event; none: at its end")
    loop: int | bool = Field(1, description="how many times to replay; true: without end")
    stream: Stream = Field("events", description="what to read of the file: its events, or triggers or exposures if it holds any")

    def open(self) -> Recording:
        return self.open_file(self.path, self.stream)

    def check(self) -> Format:
        if self.loop is not True and self.loop < 1:
            raise ValueError(f"loop must be at least 1, or true, got {str(self.loop).lower()}")
        if self.to_s is not None and self.to_s <= self.from_s:
            raise ValueError(f"to_s must lie after from_s, got {self.to_s:g} and {self.from_s:g}")
        recording = self.open()
        recording.check()
        return recording.format

    def prepare(self) -> Callable[[State | None], Source]:
        self.check()
        recording = self.open()
        recording.decoder()
        return lambda state: DvsFile(self, recording, state)


class DvsFile:
    """The source. Its position is the end of the last packet, and where the decoder stood before the oldest chunk still needed.

    What is before `from_s` is decoded once: then an index, kept in memory alone, tells where the next turn of a loop begins.

    State: episode, begun (whether begin_us and next_us are known), begin_us of the episode, next_us, position (the decoder's),
    bytes (size of the file), events and late so far.
    """

    def __init__(self, config: DvsFileConfig, recording: Recording, state: State | None) -> None:
        self.format = recording.format
        self._config, self._recording = config, recording
        self._episode = self._begin_us = self._next_us = self._events = self._late = 0
        self._begun = False
        self._position = np.empty(0, np.int64)  # empty: the start of the file
        self._chunks: deque[tuple[np.ndarray, int]] = deque()  # of those not handed out whole: the position before, newest time
        self._marks: list[tuple[int, np.ndarray]] = []  # the index: the greatest time before every so-many-th chunk, its position
        self._counts: dict[str, int] = {}
        self._streams: list[Iterator[Packet]] = []
        if state is not None:
            self._restore(state)

    def packets(self) -> Iterator[Packet]:
        stream = self._packets()
        self._streams.append(stream)
        return stream

    def snapshot(self) -> State:
        self._forget_handed_out()
        position = self._chunks[0][0] if self._chunks else self._position
        numbers = {"episode": self._episode, "begin_us": self._begin_us, "next_us": self._next_us,
                   "bytes": self._recording.header.size, "events": self._events, "late": self._late}
        return {"begun": np.array(self._begun), "position": position.copy(),
                **{name: np.array(number, np.int64) for name, number in numbers.items()}}

    def close(self) -> None:
        for stream in self._streams:
            stream.close()  # type: ignore[attr-defined]

    def report(self) -> dict[str, Any]:
        """Events handed out, late ones left out, and what else the file was seen to hold."""
        header = self._recording.header
        others = {name: count for name, count in self._counts.items() if name not in ("events", "backwards")}
        return {"format": header.format, "events": self._events, "late": self._late, "tail_bytes": header.tail_bytes, **others}

    def _packets(self) -> Iterator[Packet]:
        config, graded = self._config, self.format.kind == "graded"
        while config.loop is True or self._episode < config.loop:
            chunks = self._read()
            if not self._begun:
                chunks = self._begin(chunks)
            end_us = None if config.to_s is None else self._begin_us + _us(config.to_s) - _us(config.from_s)
            for packet in cut(chunks, self._begin_us, config.packet_us, config.max_events, end_us=end_us,
                              resume_us=self._next_us, episode=self._episode):
                self._next_us = packet.end_us
                self._events += packet.n
                self._late += packet.lost
                if packet.last:
                    self._rewind()
                yield replace(packet, value=NO_VALUES) if graded and packet.value is None else packet

    def _begin(self, chunks: Iterator[Events]) -> Iterator[Events]:
        """Settle where the episode begins, which takes its first event."""
        head: list[Events] = []
        for chunk in chunks:
            head.append(chunk)
            if chunk.t_us.size:
                self._begin_us = self._next_us = int(chunk.t_us[0]) + _us(self._config.from_s)
                self._begun = True
                return chain(head, chunks)
        raise ValueError(f"{self._recording.header.path}: the recording holds no events")

    def _read(self) -> Iterator[Events]:
        newest_us = None
        for number, chunk in enumerate(self._recording.replayed(self._position if self._position.size else None)):
            self._forget_handed_out()
            self._chunks.append((chunk.position, chunk.newest_us))
            if number % CHUNKS_A_MARK == 0 and (not self._marks or chunk.since_us > self._marks[-1][0]):
                self._marks.append((chunk.since_us, chunk.position))
            self._counts = chunk.counts
            newest_us = chunk.newest_us
            yield chunk.events
        if self._begun and newest_us is not None and newest_us < self._begin_us:
            length_s = (newest_us - self._begin_us) / 1e6 + self._config.from_s
            raise ValueError(
                f"{self._recording.header.path}: from_s {self._config.from_s:g} lies after the recording's end at {length_s:g} s")

    def _forget_handed_out(self) -> None:
        while len(self._chunks) > 1 and self._chunks[0][1] < self._next_us:
            self._chunks.popleft()

    def _rewind(self) -> None:
        """To the begin of the next turn: the last mark that all events of the turn come after."""
        self._episode += 1
        self._next_us = self._begin_us
        before = [position for since_us, position in self._marks if since_us < self._begin_us]
        self._position = before[-1] if before else np.empty(0, np.int64)
        self._chunks.clear()

    def _restore(self, state: State) -> None:
        size, saved = self._recording.header.size, int(state["bytes"])
        if size != saved:
            raise ValueError(f"{self._recording.header.path}: changed since the snapshot, from {saved} to {size} bytes")
        self._episode, self._begin_us, self._next_us = int(state["episode"]), int(state["begin_us"]), int(state["next_us"])
        self._events, self._late = int(state["events"]), int(state["late"])
        self._begun = bool(state["begun"])
        self._position = state["position"].copy()


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
