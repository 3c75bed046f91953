"""Opens a recorded event file of any known format: its header at once, its events in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.packet import Format
from sources.cut import Events, joined
from sources.disorder import OnDisorder, in_order
from sources.formats import FORMATS
from sources.formats.header import LONGEST_SILENCE_US, TRIGGER_SHAPE, Chunk, Decoder, Header, Peek, TableOptions, Truncated
from sources.formats.words import truncated

HEAD_BYTES = 1 << 16

OnTruncated = Literal["error", "keep"]
Stream = Literal["events", "triggers", "exposures"]


@dataclass(frozen=True)
class Recording:
    """A recording whose header has been read, and how to take its faults.

    on_disorder: what to do with an event that is earlier than one before it, see sources/disorder.py.
    on_truncated: what to do about half a record at the end: `error`, or `keep` what is whole.
    """

    header: Header
    on_disorder: OnDisorder = "error"
    on_truncated: OnTruncated = "error"

    @property
    def format(self) -> Format:
        return Format(self.header.kind, self.header.shape)

    def check(self) -> None:
        """Raise the ValueError that the header and the size alone foretell."""
        if self.header.tail_bytes and self.on_truncated == "error":
            raise Truncated(truncated(self.header, self.header.tail_bytes))

    def decoder(self) -> Decoder:
        """Imports and compiles what decoding this recording needs."""
        return next(row for row in FORMATS if row.name == self.header.format).load(self.header)

    def chunks(self, position: np.ndarray | None = None) -> Iterator[Chunk]:
        """The chunks from a position on (None: the start), their events in order of time."""
        return in_order(self.decoded(position), self.on_disorder, self.header.path)

    def events(self) -> Events:
        """The whole recording in memory."""
        return joined([chunk.events for chunk in self.chunks()])

    def decoded(self, position: np.ndarray | None = None) -> Iterator[Chunk]:
        """The same, their events in the order of the file."""
        chunk = None
        try:
            for chunk in self.decoder()(self.header, position):
                yield chunk
        except Truncated as error:
            if self.on_truncated == "error":
                raise
            if chunk is not None and error.tail_bytes:
                counts = chunk.counts | {"tail_bytes": error.tail_bytes}
                yield chunk._replace(events=Events(), since_us=chunk.newest_us, ordered=True, counts=counts)

    def replayed(self, position: np.ndarray | None = None) -> Iterator[Chunk]:
        """The same as `chunks`, but an error where an event is so far ahead that packets up to it would not end."""
        newest_us = None
        for chunk in self.chunks(position):
            t_us = chunk.events.t_us
            if t_us.size:
                newest_us = int(t_us[0]) if newest_us is None else newest_us
                if t_us[-1] - newest_us > LONGEST_SILENCE_US:
                    self._check_silence(np.append(newest_us, t_us))
                newest_us = int(t_us[-1])
            yield chunk

    def _check_silence(self, t_us: np.ndarray) -> None:
        at = int(np.diff(t_us).argmax())
        if t_us[at + 1] - t_us[at] > LONGEST_SILENCE_US:
            raise ValueError(f"{self.header.path}: the time jumps ahead from {t_us[at]} to {t_us[at + 1]} us, more than a day: "
                             "the file is damaged, or its unit of time is another")


def open_recording(
    path: Path | str,
    width: int | None = None,
    height: int | None = None,
    on_disorder: OnDisorder = "error",
    on_truncated: OnTruncated = "error",
    table: TableOptions = TableOptions(),
    stream: Stream = "events",
) -> Recording:
    """Read a recording's header; its format is told by its content.

    width and height: for files that do not tell theirs. table: for tables of events that leave something open.
    stream: what to read of the file, where it holds more than events.
    """
    peek = _peek(Path(path), width, height)._replace(options=table)
    for row in FORMATS:
        header = row.recognise(peek)
        if header is not None:
            return Recording(_of_stream(replace(header, format=row.name), stream), on_disorder, on_truncated)
    names = ", ".join(row.name for row in FORMATS)
    raise ValueError(f"{peek.path}: not a recording of a known format ({names}); it begins with {peek.head[:16]!r}")


def _of_stream(header: Header, stream: Stream) -> Header:
    if stream == "events":
        return header
    if stream not in header.streams:
        held = " and ".join(("events", *header.streams))
        raise ValueError(f"{header.path}: no {stream} can be read from this {header.format} file, only {held}")
    return replace(header, stream=stream, kind="spikes", shape=TRIGGER_SHAPE if stream == "triggers" else header.shape)


def _peek(path: Path, width: int | None, height: int | None) -> Peek:
    if (width is None) != (height is None):
        raise ValueError(f"{path}: set both width and height, or neither")
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
            size = file.seek(0, 2)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()
        raise ValueError(f"{path}: {reason}") from None
    if not size:
        raise ValueError(f"{path}: the file is empty")
    return Peek(path, size, head, None if width is None or height is None else (width, height))
