"""A recording in, the same events in another format out: what `spikeline convert` does, for programs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from sources.cut import Events
from sources.encoders import ENCODERS
from sources.encoders.writer import Encoder, Target, TimeTooLate
from sources.formats.header import Chunk
from sources.recordings import Recording, open_recording

NO_DATA = {"events", "backwards", "late", "incomplete", "unknown_words", "wraps", "resets", "clock_resets",
           "duplicates", "tail_bytes", "packets", "lost"}
"""Counts of a recording that do not tell of data besides its events."""

Progress = Callable[[int], None]


def convert(
    source: Path | str,
    target: Path | str,
    *,
    format: str | None = None,
    from_s: float = 0.0,
    to_s: float | None = None,
    force: bool = False,
    on_progress: Progress = lambda events: None,
    **options: Any,
) -> dict[str, Any]:
    """Write the events of `source` to `target`; the figures of what was done.

    format: a name in the table of encoders; None: what the suffix of `target` means. from_s, to_s: s after the first event.
    options: those of `open_recording`. on_progress is told the number of events written so far.
    The target appears whole or not at all. One that exists is replaced only if `force`.
    A format that cannot hold the times as they are gets them counted from the first event: `t0_us` tells what was taken off.
    """
    source, target = Path(source), Path(target)
    encoder = find_encoder(target, format)
    recording = open_recording(source, **options)
    recording.check()
    encoder.check(recording.format)
    _check_target(source, target, force)
    interval_s = from_s, to_s
    try:
        return _written(recording, encoder, target, interval_s, on_progress, always_shift=False)
    except TimeTooLate:
        return _written(recording, encoder, target, interval_s, on_progress, always_shift=True)


def find_encoder(target: Path, format: str | None) -> Encoder:
    """The encoder that a format's name or a file's suffix means."""
    rows = [row for row in ENCODERS if (row.name == format if format is not None else row.suffix == target.suffix.lower())]
    if rows:
        return rows[0]
    if format is not None:
        raise ValueError(f"--format {format}: not a format that can be written: {', '.join(row.name for row in ENCODERS)}")
    suffixes = ", ".join(dict.fromkeys(row.suffix for row in ENCODERS))
    raise ValueError(f"{target}: its suffix names no format that can be written ({suffixes}): correct it, or set --format")


def _check_target(source: Path, target: Path, force: bool) -> None:
    if target.is_dir():
        raise ValueError(f"{target}: is a folder, wanted a file")
    if not target.exists():
        return
    if target.samefile(source):
        raise ValueError(f"{target}: is the recording itself: choose another file")
    if not force:
        raise ValueError(f"{target}: exists already: choose another file, or replace it with --force")


def _written(
    recording: Recording, encoder: Encoder, target: Path, interval_s: tuple[float, float | None], on_progress: Progress,
    always_shift: bool,
) -> dict[str, Any]:
    """Write to a file beside the target and put it into the target's place once it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        figures = _write(recording, encoder, partial, interval_s, on_progress, always_shift)
        _to_disk(partial)
        os.replace(partial, target)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()
    return {"file": str(target), "format": encoder.name, "bytes": target.stat().st_size, "keeps_t0": encoder.keeps_t0, **figures}


def _write(
    recording: Recording, encoder: Encoder, path: Path, interval_s: tuple[float, float | None], on_progress: Progress,
    always_shift: bool,
) -> dict[str, Any]:
    counts: dict[str, int] = {}
    pieces = _pieces(recording.chunks(), interval_s, counts)
    first = next((piece for piece in pieces if piece.t_us.size), None)
    first_us = None if first is None else int(first.t_us[0])
    shifted = first_us is not None and (always_shift or not _holds(encoder, first_us))
    t0_us = first_us if shifted and first_us is not None else 0
    writer = encoder.make(Target(path, recording.header.shape, t0_us))
    events = late = 0
    last_us = None
    try:
        for piece in chain([] if first is None else [first], pieces):
            late += piece.late_us.size
            if piece.t_us.size:
                writer.write(piece._replace(t_us=piece.t_us - t0_us) if t0_us else piece)
                events, last_us = events + piece.t_us.size, int(piece.t_us[-1])
                on_progress(events)
    finally:
        writer.close()
    left_out = {name: count for name, count in counts.items() if count and name not in NO_DATA}
    lost = counts.get("lost", 0)
    return {"events": events, "first_t_us": first_us, "last_t_us": last_us, "t0_us": t0_us, "lost": lost,
            "late": max(0, late - lost), "left_out": left_out}


def _holds(encoder: Encoder, first_us: int) -> bool:
    return encoder.first_us is None or 0 <= first_us < encoder.first_us


def _pieces(chunks: Iterator[Chunk], interval_s: tuple[float, float | None], counts: dict[str, int]) -> Iterator[Events]:
    """The events of an interval that is counted from the first event. `counts` gets those of the last chunk read."""
    begin_us = end_us = None
    for chunk in chunks:
        counts.update(chunk.counts)
        events = chunk.events
        if begin_us is None and events.t_us.size:
            first_us = int(events.t_us[0])
            begin_us = first_us + round(interval_s[0] * 1e6)
            end_us = None if interval_s[1] is None else first_us + round(interval_s[1] * 1e6)
        yield _between(events, begin_us, end_us)
        if end_us is not None and events.t_us.size and events.t_us[-1] >= end_us:
            return


def _between(events: Events, begin_us: int | None, end_us: int | None) -> Events:
    first = 0 if begin_us is None else int(events.t_us.searchsorted(begin_us))
    past = events.t_us.size if end_us is None else max(first, int(events.t_us.searchsorted(end_us)))
    if (first, past) == (0, events.t_us.size):
        return events
    value = None if events.value is None else events.value[first:past]
    return Events(events.t_us[first:past], events.unit[first:past], value, events.late_us)


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
