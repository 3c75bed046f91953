"""Events that run backwards in time: chunks go in as they are decoded, chunks in order of time come out.

An event is out of order if it is earlier than one before it in the file. What becomes of it is decided by the events before it
alone, never by how these are cut into chunks, so a recording may be resumed anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.contract import Config
from sources.cut import Events, joined
from sources.formats.header import Chunk


class SortWithin(Config):
    """Sort events that are out of order; one that is later than sort_within_ms is left out and counted as lost."""

    sort_within_ms: float = Field(gt=0, description="how long events are held back for earlier ones, ms")

    @property
    def within_us(self) -> int:
        return max(1, round(self.sort_within_ms * 1000))


OnDisorder = Literal["error", "drop"] | SortWithin
ON_DISORDER = "an event earlier than one before it: error, drop (counted as lost), or {sort_within_ms: X}: sort, drop later ones"


def in_order(chunks: Iterable[Chunk], on_disorder: OnDisorder, path: Path) -> Iterator[Chunk]:
    """The chunks with their events in order of time.

    error: an event out of order is a ValueError. drop: it is left out, and noted in late_us. sort_within_ms: it is put where it
    belongs, if the greatest time before it in the file is no more than that ahead of it, else left out likewise. Then the events
    of a chunk come out with a later one, but still after all chunks whose newest_us lies before them.
    """
    if isinstance(on_disorder, SortWithin):
        yield from _sorted(chunks, on_disorder.within_us)
        return
    for chunk in chunks:
        yield chunk if chunk.ordered else _without_late(chunk, on_disorder, path)


def _without_late(chunk: Chunk, on_disorder: OnDisorder, path: Path) -> Chunk:
    t_us = chunk.events.t_us
    newest_us = np.maximum.accumulate(np.maximum(t_us, chunk.since_us))
    late = t_us < newest_us
    if on_disorder == "error":
        first = int(np.argmax(late))
        number = chunk.counts["events"] - t_us.size + first
        raise ValueError(
            f"{path}: event {number} runs backwards in time, from {newest_us[first]} to {t_us[first]} us; "
            "set on_disorder: drop to leave such events out, or {sort_within_ms: 10} to sort those that are at most so late"
        )
    return chunk._replace(events=_leave_out(chunk.events, late, newest_us), ordered=True)


def _leave_out(events: Events, late: np.ndarray, newest_us: np.ndarray) -> Events:
    t_us, unit, value, _ = events
    return Events(t_us[~late], unit[~late], None if value is None else value[~late], newest_us[late])


def _sorted(chunks: Iterable[Chunk], within_us: int) -> Iterator[Chunk]:
    held, chunk = Events(), None
    for chunk in chunks:
        events = chunk.events
        if not chunk.ordered:
            newest_us = np.maximum.accumulate(np.maximum(events.t_us, chunk.since_us))
            events = _leave_out(events, events.t_us < newest_us - within_us, newest_us)
        both = _merged(held, events)
        ready = int(both.t_us.searchsorted(chunk.newest_us - within_us))  # nothing earlier than that is still to come
        released, held = _part(both, slice(ready)), _part(both, slice(ready, None))
        yield chunk._replace(events=released._replace(late_us=events.late_us), ordered=True)
    if chunk is not None and held.t_us.size:
        yield chunk._replace(events=held, ordered=True)


def _merged(held: Events, events: Events) -> Events:
    """Both, in order of time; events of one time stay in the order of the file."""
    both = joined([part for part in (held, events) if part.t_us.size])
    if (both.t_us[1:] < both.t_us[:-1]).any():
        order = both.t_us.argsort(kind="stable")
        both = Events(both.t_us[order], both.unit[order], None if both.value is None else both.value[order])
    return both


def _part(events: Events, part: slice) -> Events:
    return Events(events.t_us[part], events.unit[part], None if events.value is None else events.value[part])
