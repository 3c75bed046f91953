"""Opens a recorded event file of any known format: its header at once, its events in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.packet import Format
from sources.cut import Events, joined
from sources.formats import FORMATS
from sources.formats.header import Chunk, Decoder, Header, Peek, TableOptions, Truncated
from sources.formats.words import truncated

HEAD_BYTES = 1 << 16

OnDisorder = Literal["error", "drop"]
OnTruncated = Literal["error", "keep"]


@dataclass(frozen=True)
class Recording:
    """A recording whose header has been read, and how to take its faults.

    on_disorder: what to do with an event that is earlier than one before it: `error`, or `drop`: leave it out and count it.
    on_truncated: what to do about half a record at the end: `error`, or `keep` what is whole.
    """

    header: Header
    on_disorder: OnDisorder = "error"
    on_truncated: OnTruncated = "error"

    @property
    def format(self) -> Format:
        return Format("spikes", self.header.shape)

    def check(self) -> None:
        """Raise the ValueError that the header and the size alone foretell."""
        if self.header.tail_bytes and self.on_truncated == "error":
            raise Truncated(truncated(self.header, self.header.tail_bytes))

    def decoder(self) -> Decoder:
        """Imports and compiles what decoding this recording needs."""
        return next(row for row in FORMATS if row.name == self.header.format).load(self.header)

    def chunks(self, position: np.ndarray | None = None) -> Iterator[Chunk]:
        """The chunks from a position on (None: the start), their events in order of time."""
        try:
            for chunk in self.decoder()(self.header, position):
                yield chunk if chunk.ordered else self._put_in_order(chunk)
        except Truncated:
            if self.on_truncated == "error":
                raise

    def events(self) -> Events:
        """The whole recording in memory."""
        return joined([chunk.events for chunk in self.chunks()])

    def _put_in_order(self, chunk: Chunk) -> Chunk:
        t_us, unit, value, _ = chunk.events
        newest_us = np.maximum.accumulate(np.maximum(t_us, chunk.since_us))
        kept = t_us == newest_us
        if self.on_disorder == "error":
            first = int(np.argmin(kept))
            number = chunk.counts["events"] - t_us.size + first
            raise ValueError(
                f"{self.header.path}: event {number} runs backwards in time, from {newest_us[first]} to {t_us[first]} us; "
                "set on_disorder: drop to leave such events out"
            )
        events = Events(t_us[kept], unit[kept], None if value is None else value[kept], newest_us[~kept])
        return chunk._replace(events=events, ordered=True)


def open_recording(
    path: Path | str,
    width: int | None = None,
    height: int | None = None,
    on_disorder: OnDisorder = "error",
    on_truncated: OnTruncated = "error",
    table: TableOptions = TableOptions(),
) -> Recording:
    """Read a recording's header; its format is told by its content.

    width and height: for files that do not tell theirs. table: for tables of events that leave something open.
    """
    peek = _peek(Path(path), width, height)._replace(options=table)
    for row in FORMATS:
        header = row.recognise(peek)
        if header is not None:
            return Recording(replace(header, format=row.name), on_disorder, on_truncated)
    names = ", ".join(row.name for row in FORMATS)
    raise ValueError(f"{peek.path}: not a recording of a known format ({names}); it begins with {peek.head[:16]!r}")


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
