"""What a recorded event file holds: the figures that `spikeline info` shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.packet import NO_UNITS
from sources.cut import Events
from sources.disorder import in_order
from sources.formats.header import Chunk, TableOptions
from sources.recordings import open_recording
from sources.survey import Survey


def inspect(
    path: Path | str,
    width: int | None = None,
    height: int | None = None,
    table: TableOptions = TableOptions(),
    on_survey: Callable[[Survey], None] = lambda survey: None,
) -> dict[str, Any]:
    """The figures of one recording, JSON values by name. Reads the whole file, in constant memory.

    Faults that a replay may be told to accept are counted here: half a record at the end (tail_bytes), and events that run
    backwards in time (backwards, and by how much at most: backwards_most_us), which the other figures leave out. Wraps of the
    file's time counter are counted (wraps), and events that one of the same microsecond, place and polarity stands before
    (duplicates);
    a file that cannot be read at all is a ValueError. Times are None where there is no event.
    on_survey gets what the figures of rates, gaps and hot pixels were taken from, once all is read: a picture can be made of it.
    """
    recording = open_recording(path, width, height, on_disorder="drop", on_truncated="keep", table=table)
    header = recording.header
    rows, columns = header.shape[-2:] if len(header.shape) > 1 else (1, header.shape[0])
    pixels = rows * columns
    counts: dict[str, int] = {}
    first_us = last_us = None
    events = on_events = 0
    duplicates, survey = _Duplicates(recording.format.size), Survey(recording.format.shape)
    lateness = _Lateness()
    for chunk in in_order(lateness.watch(recording.decoded()), "drop", header.path):
        t_us = chunk.events.t_us
        if t_us.size:
            first_us = int(t_us[0]) if first_us is None else first_us
            last_us = int(t_us[-1])
        events += t_us.size
        on_events += int((chunk.events.unit >= pixels).sum())
        counts = chunk.counts
        duplicates.count_in(chunk.events)
        survey.add(chunk.events)
    on_survey(survey)
    duration_us = 0 if first_us is None or last_us is None else last_us - first_us
    return {
        "file": str(header.path),
        "bytes": header.size,
        "format": header.format,
        "shape": list(header.shape),
        "width": columns,
        "height": rows,
        "geometry_from": header.geometry_from,
        "events": events,
        "on_events": on_events if survey.is_camera else None,
        "first_t_us": first_us,
        "last_t_us": last_us,
        "duration_us": duration_us,
        "duration_s": duration_us / 1e6,
        "mean_rate_hz": events * 1e6 / duration_us if duration_us else None,
        **survey.figures(),
        "duplicates": duplicates.count,
        "backwards_most_us": lateness.most_us,
        "tail_bytes": header.tail_bytes,
        **{name: count for name, count in counts.items() if name != "events"},
        "header": header.details,
    }


class _Lateness:
    """How far an event lies behind the greatest time before it, at most: what sort_within_ms must be to lose none."""

    def __init__(self) -> None:
        self.most_us = 0

    def watch(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """The same chunks; their events in the order of the file."""
        for chunk in chunks:
            if not chunk.ordered:
                newest_us = np.maximum.accumulate(np.maximum(chunk.events.t_us, chunk.since_us))
                self.most_us = max(self.most_us, int((newest_us - chunk.events.t_us).max()))
            yield chunk


class _Duplicates:
    """Counts events that one of the same time and unit stands before."""

    def __init__(self, units: int) -> None:
        self.count = 0
        self._units = units
        self._newest_us = 0
        self._seen = NO_UNITS  # those of the newest microsecond, each once

    def count_in(self, events: Events) -> None:
        """Events in order of time, none earlier than those before."""
        t_us, unit = events.t_us, events.unit
        if not t_us.size:
            return
        if self._seen.size and t_us[0] == self._newest_us:
            t_us, unit = np.concatenate((np.full(self._seen.size, self._newest_us), t_us)), np.concatenate((self._seen, unit))
        if int(t_us[-1]) - int(t_us[0]) < 2**62 // self._units:
            keys = np.sort((t_us - t_us[0]) * self._units + unit)
            self.count += int((keys[1:] == keys[:-1]).sum())
        else:
            order = np.lexsort((unit, t_us))
            self.count += int(((t_us[order][1:] == t_us[order][:-1]) & (unit[order][1:] == unit[order][:-1])).sum())
        self._newest_us = int(t_us[-1])
        self._seen = np.unique(unit[t_us.searchsorted(self._newest_us) :])
