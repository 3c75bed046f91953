"""A recording of packets, made by the sink `record`, replayed: each packet comes out as it went in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
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
    ends it. `from_s` skips the packets that end earlier, in time of the stream since its first packet.
    packet_ms and max_events do not apply: packets are not cut.

    Errors: a file that is missing, of another kind or version, or damaged before its last record, with the byte where.

    Example: {type: recorded, path: out/run.spkl, pace: realtime}

    Source: write-ahead logs: Gray, Reuter 1992, "Transaction Processing: Concepts and Techniques", chapter 9.
    """

    type: Literal["recorded"] = "recorded"
    path: FilePath = Field(description="the recording, or the name that its rotated parts share")
    from_s: float = Field(0.0, ge=0, description="where to begin, s of stream time after the beginning of the recording")

    def check(self) -> Format:
        for name in ("packet_ms", "max_events"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"recorded hands packets out as they were recorded: leave out {name}")
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
    """The source. State: part and byte offset of the next packet, stream time before it, and the episode under way."""

    def __init__(self, config: RecordedConfig, format: Format, state: State | None) -> None:
        self.format = format
        self._config, self._parts = config, parts_of(config.path)
        self._stack = ExitStack()
        self._tail_bytes = 0
        self._part, self._offset = 0, -1  # -1: the part's first packet
        self._passed_us = 0
        self._open: tuple[int, int, int] | None = None  # of the episode under way: end_us so far, episode, label
        if state is not None:
            self._part, self._offset, self._passed_us = (int(state[name]) for name in ("part", "offset", "passed_us"))
            self._open = tuple(state["open"].tolist()) if bool(state["is_open"]) else None

    def packets(self) -> Iterator[Packet]:
        from_us, any_yet = round(self._config.from_s * 1e6), self._offset >= 0 or self._part > 0
        while self._part < len(self._parts):
            log = PacketLog(self._parts[self._part])
            self._stack.callback(log.close)
            for packet, past in log.entries(None if self._offset < 0 else self._offset):
                self._offset = past
                self._passed_us += packet.end_us - packet.begin_us
                if self._passed_us <= from_us and from_us:
                    continue
                self._open = None if packet.last else (packet.end_us, packet.episode, packet.label)
                any_yet = True
                yield packet
            self._tail_bytes += log.tail_bytes
            log.close()
            self._part, self._offset = self._part + 1, -1
        if from_us and not any_yet:
            length_s = self._passed_us / 1e6
            from_s = self._config.from_s
            raise ValueError(f"{self._config.path}: from_s {from_s:g} lies after the recording's end at {length_s:g} s")
        if self._open is not None:
            end_us, episode, label = self._open
            self._open = None
            value = None if self.format.kind == "spikes" else NO_VALUES
            yield Packet(end_us, end_us, value=value, episode=episode, last=True, label=label)

    def snapshot(self) -> State:
        numbers = {"part": self._part, "offset": self._offset, "passed_us": self._passed_us}
        return {"is_open": np.array(self._open is not None), "open": np.array(self._open or (0, 0, 0), np.int64),
                **{name: np.array(number, np.int64) for name, number in numbers.items()}}

    def close(self) -> None:
        self._stack.close()

    def report(self) -> dict[str, Any]:
        """Parts, and the bytes of half a packet at their ends."""
        return {"parts": len(self._parts), "tail_bytes": self._tail_bytes}
