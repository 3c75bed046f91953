"""Events or decisions in, a Parquet file out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pipeline.contract import FilePath, Sink, SinkConfig, State
from pipeline.packet import Format
from sinks.files import make_folder
from sinks.table_file import TableFile

PACKED = dict.fromkeys(("t", "t_us", "p", "episode", "label"), "DELTA_BINARY_PACKED")
PACKED |= dict.fromkeys(("x", "y", "unit", "value"), "BYTE_STREAM_SPLIT")


class ParquetConfig(SinkConfig):
    """Writes one row a decision, or one row an event, to a Parquet file.

    In: any stream. Columns of decisions: episode, t_us, class, name, confidence, scores (one per class), final, label; of events
    of shape (2, height, width): t (us), x, y, p (1: ON), episode, label; of other shapes unit (flat, C order) in place of x, y,
    p; value on graded streams. label is -1 where it is not known. The metadata holds the stream's format as JSON. Times
    are delta-packed, addresses byte-stream-split, all compressed by Zstandard.

    Guarantee: a Parquet file cannot be appended to, so packets are recorded beside it (PATH.spkl, as the sink `record` does) and
    the file is made of them when the stream ends: it appears whole or not at all. After a crash the recording is whole up to its
    last packet; a run that resumes cuts it back to the checkpoint and goes on, so no row is missing or twice. Where checkpoints
    are taken the recording stays, as long as they may be gone on from; else it is removed.
    Errors: on resume, a recording that is missing or too short; a path that cannot be written.

    Example: {type: parquet, path: out/decisions.parquet}

    Source: Apache Parquet, "File format" and "Encodings".
    """

    type: Literal["parquet"] = "parquet"
    path: FilePath = Field(description="the file; missing folders are made")

    def check(self, upstream: Format) -> None:
        pass

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        make_folder("parquet", self.path)
        return partial(TableFile, "parquet", self.path, upstream, stream, write_parquet)


def write_parquet(path: Path, recordings: list[Path]) -> None:
    """The rows of recordings as one Parquet file, a row group for each million."""
    from pyarrow import parquet

    from sinks.arrow_tables import arrow_tables

    writer = None
    try:
        for table in arrow_tables(recordings):
            if writer is None:
                writer = parquet.ParquetWriter(path, table.schema, **_options(table.schema.names))
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _options(names: list[str]) -> dict[str, Any]:
    """A column is either packed by an encoding or by a dictionary."""
    encodings = {name: PACKED[name] for name in names if name in PACKED}
    return {"compression": "zstd", "column_encoding": encodings, "use_dictionary": ["name"] if "name" in names else False}
