"""A recording of packets, made by the sink `record`, replayed: each packet comes out as it went in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, ReplayConfig, Source, State
from pipeline.packet import NO_VALUES, Format, Packet
from pipeline.packet_log import PacketLog, parts_of


class RecordedConfig(ReplayConfig):
    """A recording made by the sink `record`: any stream, its packets as they were, at any pace.

    Out: what was recorded: kind, shape (C order), names; every packet with its interval (us), events, episode, label, lost, last.
    A recording that rotated (run-00000.spkl, run-00001.spkl, ...) is read whole when its plain name (run.spkl) is given.
    One whose process was killed is read up to its last whole packet; if an episode was under way, an empty packet with `last`
    ends it. `from_s` skips the packets that end earlier, `to_s` leaves out those that begin later, in time of the stream since
    its first packet. Each turn of `loop` has the same times and labels; its episodes are numbered on from those before.
    packet_ms and max_events do not apply: packets are not cut.

    Errors: a file that is missing, of another kind or version, or damaged before its last record, with the byte where.

    Example: {type: recorded, path: out/run.spkl, pace: realtime}

    Source: write-ahead logs: Gray, Reuter 1992, "Transaction Processing: Concepts and Techniques", chapter 9.
    """

    type: Literal["recorded"] = "recorded"
    path: FilePath = Field(description="the recording, or the name that its rotated parts share")
    from_s: float = Field(0.0, ge=0, description="where to begin, s of stream time after the beginning of the recording")
    to_s: float | None = Field(None, gt=0, description="where to end, likewise; none: at the recording's end")
    loop: int | bool = Field(1, description="how many times to replay; true: without end")

    def check(self) -> Format:
        for name in ("packet_ms", "max_events"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"recorded hands packets out as they were recorded: leave out {name}")
        if self.loop is not True and self.loop < 1:
            raise ValueError(f"loop must be at least 1, or true, got {str(self.loop).lower()}")
        if self.to_s is not None and self.to_s <= self.from_s:
            raise ValueError(f"to_s must lie after from_s, got {self.to_s:g} and {self.from_s:g}")
        formats = []
        for path in parts_of(self.path):
            log = PacketLog(path)
            log.close()
            formats.append(log.format)
        if any(format != formats[0] for format in formats):
            raise ValueError(f"{self.path}: its parts hold different streams: give one of them by its own name")
        return formats[0]

    def prepare(self) -> Callable[[State | None], Source]:
        format = self.check()
        return lambda state: Recorded(self, format, state)


class Recorded:
    """The source.

    State: turn, part and byte offset of the next packet, stream time before it, the episode under way, the number of the turn's
    first episode and one more than the greatest so far.
    """

    def __init__(self, config: RecordedConfig, format: Format, state: State | None) -> None:
        self.format = format
        self._config, self._parts = config, parts_of(config.path)
        self._streams: list[Iterator[Packet]] = []
        self._tail_bytes = 0
        self._turn, self._part, self._offset = 0, 0, -1  # -1: the part's first packet
        self._passed_us = self._first_episode = self._next_episode = 0
        self._open: tuple[int, int, int] | None = None  # of the episode under way: end_us so far, episode, label
        if state is not None:
            self._turn, self._part, self._offset = (int(state[name]) for name in ("turn", "part", "offset"))
            self._passed_us, self._first_episode, self._next_episode = (
                int(state[name]) for name in ("passed_us", "first_episode", "next_episode"))
            self._open = tuple(state["open"].tolist()) if bool(state["is_open"]) else None

    def packets(self) -> Iterator[Packet]:
        stream = self._packets()
        self._streams.append(stream)
        return stream

    def _packets(self) -> Iterator[Packet]:
        loop = self._config.loop
        while loop is True or self._turn < loop:
            for packet in self._one_turn():
                self._open = None if packet.last else (packet.end_us, packet.episode, packet.label)
                self._next_episode = max(self._next_episode, packet.episode + 1)
                yield packet
            self._turn, self._part, self._offset = self._turn + 1, 0, -1
            self._passed_us, self._first_episode = 0, self._next_episode

    def _one_turn(self) -> Iterator[Packet]:
        from_us, any_yet = round(self._config.from_s * 1e6), self._offset >= 0 or self._part > 0
        for packet, since_us in self._read():
            if self._config.to_s is not None and since_us >= round(self._config.to_s * 1e6):
                break
            if self._passed_us <= from_us and from_us:
                continue
            any_yet = True
            yield replace(packet, episode=packet.episode + self._first_episode) if self._first_episode else packet
        if from_us and not any_yet:
            length_s, from_s = self._passed_us / 1e6, self._config.from_s
            raise ValueError(f"{self._config.path}: from_s {from_s:g} lies after the recording's end at {length_s:g} s")
        if self._open is not None:
            end_us, episode, label = self._open
            value = None if self.format.kind == "spikes" else NO_VALUES
            yield Packet(end_us, end_us, value=value, episode=episode, last=True, label=label)

    def _read(self) -> Iterator[tuple[Packet, int]]:
        """The packets of all parts from where it stands on, and the stream time before each."""
        while self._part < len(self._parts):
            log = PacketLog(self._parts[self._part])
            try:
                for packet, past in log.entries(None if self._offset < 0 else self._offset):
                    since_us, self._offset = self._passed_us, past
                    self._passed_us += packet.end_us - packet.begin_us
                    yield packet, since_us
            finally:
                log.close()
            self._tail_bytes += log.tail_bytes * (self._turn == 0)
            self._part, self._offset = self._part + 1, -1

    def snapshot(self) -> State:
        numbers = {"turn": self._turn, "part": self._part, "offset": self._offset, "passed_us": self._passed_us,
                   "first_episode": self._first_episode, "next_episode": self._next_episode}
        return {"is_open": np.array(self._open is not None), "open": np.array(self._open or (0, 0, 0), np.int64),
                **{name: np.array(number, np.int64) for name, number in numbers.items()}}

    def close(self) -> None:
        for stream in self._streams:
            stream.close()  # type: ignore[attr-defined]

    def report(self) -> dict[str, Any]:
        """Parts, and the bytes of half a packet at their ends."""
        return {"parts": len(self._parts), "tail_bytes": self._tail_bytes}
