"""Events or decisions in, an Arrow IPC file out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline.contract import FilePath, Sink, SinkConfig, State
from pipeline.packet import Format
from sinks.files import make_folder
from sinks.table_file import TableFile


class ArrowConfig(SinkConfig):
    """Writes one row a decision, or one row an event, to an Arrow IPC file (also called Feather version 2).

    In: any stream, its shape and format in the metadata as JSON. Columns: those of the sink `parquet`: t_us, class, ... of
    decisions; t (us), x, y, p or unit, ... of events. Batches of about a million rows, compressed by LZ4.

    Guarantee: that of `parquet`: packets are recorded beside the file (PATH.spkl), which is made of them when the stream ends,
    whole or not at all; a run that resumes cuts the recording back to the checkpoint, so no row is missing or twice.
    Errors: on resume, a recording that is missing or too short; a path that cannot be written.

    Example: {type: arrow, path: out/events.arrow}

    Source: Apache Arrow, "Columnar format", section IPC file format.
    """

    type: Literal["arrow"] = "arrow"
    path: FilePath = Field(description="the file; missing folders are made")

    def check(self, upstream: Format) -> None:
        pass

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        make_folder("arrow", self.path)
        return partial(TableFile, "arrow", self.path, upstream, stream, write_arrow)


def write_arrow(path: Path, recordings: list[Path]) -> None:
    """The rows of recordings as one Arrow IPC file."""
    import pyarrow as pa

    from sinks.arrow_tables import arrow_schema, arrow_tables
    from sinks.table_file import format_of

    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(str(path), arrow_schema(format_of(recordings)), options=options) as writer:
        for table in arrow_tables(recordings):
            writer.write_table(table)
