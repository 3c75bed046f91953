"""What a recorded event file holds: the figures that `spikeline info` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sources.formats.header import TableOptions
from sources.recordings import open_recording


def inspect(
    path: Path | str, width: int | None = None, height: int | None = None, table: TableOptions = TableOptions()
) -> dict[str, Any]:
    """The figures of one recording, JSON values by name. Reads the whole file, in constant memory.

    Faults that a replay may be told to accept are counted here: half a record at the end (tail_bytes), and events that run
    backwards in time (backwards), which the other figures leave out;
    a file that cannot be read at all is a ValueError. Times are None where there is no event.
    """
    recording = open_recording(path, width, height, on_disorder="drop", on_truncated="keep", table=table)
    header = recording.header
    pixels = header.shape[-2] * header.shape[-1]
    counts: dict[str, int] = {}
    first_us = last_us = None
    events = on_events = 0
    for chunk in recording.chunks():
        t_us = chunk.events.t_us
        if t_us.size:
            first_us = int(t_us[0]) if first_us is None else first_us
            last_us = int(t_us[-1])
        events += t_us.size
        on_events += int((chunk.events.unit >= pixels).sum())
        counts = chunk.counts
    duration_us = 0 if first_us is None or last_us is None else last_us - first_us
    return {
        "file": str(header.path),
        "bytes": header.size,
        "format": header.format,
        "width": header.shape[-1],
        "height": header.shape[-2],
        "geometry_from": header.geometry_from,
        "events": events,
        "on_events": on_events,
        "first_t_us": first_us,
        "last_t_us": last_us,
        "duration_us": duration_us,
        "duration_s": duration_us / 1e6,
        "mean_rate_hz": events * 1e6 / duration_us if duration_us else None,
        **{name: count for name, count in counts.items() if name != "events"},
        "tail_bytes": header.tail_bytes,
        "header": header.details,
    }
