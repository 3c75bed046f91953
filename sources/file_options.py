"""The options of every source that replays recordings from files: what a file leaves open, and how to take its faults."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline.contract import ReplayConfig
from sources.disorder import ON_DISORDER, OnDisorder
from sources.formats.header import TableOptions, TimeUnit
from sources.recordings import OnTruncated, Recording, Stream, open_recording


class FileConfig(ReplayConfig):
    """What the user says of a recording, where it does not tell itself."""

    width: int | None = Field(None, ge=1, description="columns of the sensor, for a file whose header does not tell, pixels")
    height: int | None = Field(None, ge=1, description="rows of the sensor, likewise, pixels")
    on_disorder: OnDisorder = Field("error", description=ON_DISORDER)
    truncated: OnTruncated = Field("error", description="half a record at a file's end: error, or keep what is whole")
    time_unit: TimeUnit | None = Field(None, description="of the times of a table: s, ms, us or ns; none: find out")
    columns: dict[Literal["t", "x", "y", "p"], str | int] | None = Field(
        None, description="which column of a table holds t, x, y or p: its name, or its number from 0; none: find out"
    )
    delimiter: str | None = Field(None, min_length=1, max_length=1, description="between the fields of a text; none: find out")
    table: str | None = Field(None, description="path of the table inside an HDF5 file, or the topic of a bag; none: find out")
    channels: int | None = Field(None, ge=1, description="units of a table with columns t and unit that does not tell them")

    def open_file(self, path: Path, stream: Stream = "events") -> Recording:
        """The recording, opened as the options say."""
        columns: dict[str, str | int] | None = dict(self.columns) if self.columns else None  # type: ignore[arg-type]
        table = TableOptions(self.time_unit, columns, self.delimiter, self.table, self.channels)
        return open_recording(path, self.width, self.height, self.on_disorder, self.truncated, table, stream)
