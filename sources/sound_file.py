"""A sound file goes in, as recorded or resampled; one episode of its samples comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, ReplayConfig, Source, State
from pipeline.packet import NO_VALUES, Format, Packet
from sources.cut import Events, cut
from sources.sound_files import GREATEST_HZ, read_sound, recorded_rate_hz, sound_events


class SoundFileConfig(ReplayConfig):
    """A sound file (wav, flac, ogg, mp3, aiff ...) of any length, read as it is needed.

    Out: graded events of shape (1,), full scale being 1, at `rate_hz` samples/s (several channels are averaged, other rates
    resampled); sample i of the file is stamped round(i * 1e6 / rate_hz) us. An episode begins at `from_s` and
    ends 1 us after its last sample, or at `to_s` (filled with silence where the file is shorter); both are s of the file.

    Errors: a file that is missing, damaged or empty; from_s behind its end; a sample that is not a number.

    Example: {type: sound_file, path: digits.flac, rate_hz: 48000, pace: realtime}

    Source: libsndfile (E. de Castro Lopo), by the package soundfile; the SoX Resampler (R. Sykes), by the package soxr.
    """

    type: Literal["sound_file"] = "sound_file"
    path: FilePath = Field(description="the file")
    rate_hz: float | None = Field(
        None, ge=1000, le=GREATEST_HZ, description="the rate to resample to, samples/s; none: as recorded"
    )
    from_s: float = Field(0.0, ge=0, description="where to begin, s")
    to_s: float | None = Field(None, gt=0, description="where to end, s; none: at the file's end")
    loop: int = Field(1, ge=1, description="how many times to play it, an episode each")

    def check(self) -> Format:
        if self.to_s is not None and self.to_s <= self.from_s:
            raise ValueError(f"to_s must lie after from_s, got {self.to_s:g} and {self.from_s:g}")
        return Format("graded", (1,), rate_hz=self.rate_hz or recorded_rate_hz(self.path))

    def prepare(self) -> Callable[[State | None], Source]:
        format = self.check()
        recorded_rate_hz(self.path)
        return lambda state: SoundFile(self, format, state)


class SoundFile:
    """The source. Its position is (episode, end of the last packet): a resumed episode is read anew up to there.

    State: episode, next_us, samples handed out, bytes (size of the file).
    """

    def __init__(self, config: SoundFileConfig, format: Format, state: State | None) -> None:
        self.format = format
        self._config, self._bytes = config, Path(config.path).stat().st_size
        self._begin_us = round(config.from_s * 1e6)
        self._episode, self._next_us, self._samples = 0, self._begin_us, 0
        self._streams: list[Iterator[Packet]] = []
        if state is not None:
            if int(state["bytes"]) != self._bytes:
                raise ValueError(f"{config.path}: changed since the snapshot, from {int(state['bytes'])} to {self._bytes} bytes")
            self._episode, self._next_us, self._samples = (int(state[name]) for name in ("episode", "next_us", "samples"))

    def packets(self) -> Iterator[Packet]:
        stream = self._packets()
        self._streams.append(stream)
        return stream

    def snapshot(self) -> State:
        numbers = {"episode": self._episode, "next_us": self._next_us, "samples": self._samples, "bytes": self._bytes}
        return {name: np.array(number, np.int64) for name, number in numbers.items()}

    def close(self) -> None:
        for stream in self._streams:
            stream.close()  # type: ignore[attr-defined]

    def report(self) -> dict[str, Any]:
        return {"samples": self._samples}

    def _packets(self) -> Iterator[Packet]:
        config = self._config
        while self._episode < config.loop:
            for packet in cut(self._read(), self._begin_us, config.packet_us, config.max_events, end_us=self._end_us(),
                              resume_us=self._next_us, episode=self._episode):
                self._samples += packet.n
                ended = (self._episode + 1, self._begin_us)
                self._episode, self._next_us = ended if packet.last else (self._episode, packet.end_us)
                yield replace(packet, value=NO_VALUES) if packet.value is None else packet

    def _end_us(self) -> int | None:
        return None if self._config.to_s is None else round(self._config.to_s * 1e6)

    def _read(self) -> Iterator[Events]:
        rate_hz = self.format.rate_hz
        assert rate_hz is not None
        last_us = -1
        for events in sound_events(read_sound(self._config.path, rate_hz), rate_hz):
            last_us = int(events.t_us[-1]) if events.t_us.size else last_us
            yield events
        if last_us < self._begin_us:
            raise ValueError(f"{self._config.path}: from_s {self._config.from_s:g} lies behind the file's end at "
                             f"{(last_us + 1) / 1e6:g} s")  # fmt: skip

