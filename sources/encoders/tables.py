"""Arrow IPC files and Parquet, written: columns t (int64 us), x, y (uint16) and p (uint8) of cameras, else t and unit (uint32).

In Parquet times are delta-packed and addresses byte-stream-split before Zstandard: about 3 bytes an event of a 720p camera.
The schema's metadata holds the shape of the stream as JSON under the key `spikeline`.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from sources.cut import Events, joined
from sources.encoders.writer import Encoder, Target, columns_of

ROW_GROUP_EVENTS = 1 << 20
ENCODINGS = {"t": "DELTA_BINARY_PACKED", "x": "BYTE_STREAM_SPLIT", "y": "BYTE_STREAM_SPLIT", "p": "DELTA_BINARY_PACKED",
             "unit": "BYTE_STREAM_SPLIT", "value": "BYTE_STREAM_SPLIT"}  # fmt: skip


class TableWriter:
    """Gathers events into pieces of about a million, and hands these to a writer of tables."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._held: list[Events] = []
        self._count = 0
        self._writer: Any = None

    def write(self, events: Events) -> None:
        self._held.append(events)
        self._count += events.t_us.size
        if self._count >= ROW_GROUP_EVENTS:
            self._flush()

    def close(self) -> None:
        if self._count or self._writer is None:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        metadata = {"spikeline": json.dumps({"shape": self._target.shape, "t": "us"})}
        columns: dict[str, np.ndarray] = columns_of(joined(self._held), self._target.shape)
        table = pa.table(columns).replace_schema_metadata(metadata)
        if self._writer is None:
            self._writer = self._open(table.schema)
        self._writer.write_table(table)
        self._held, self._count = [], 0

    def _open(self, schema: Any) -> Any:
        raise NotImplementedError


class ParquetWriter(TableWriter):
    def _open(self, schema: Any) -> Any:
        from pyarrow import parquet

        encodings = {name: ENCODINGS[name] for name in schema.names}
        options = {"compression": "zstd", "use_dictionary": False, "column_encoding": encodings}
        return parquet.ParquetWriter(self._target.path, schema, **options)


class ArrowWriter(TableWriter):
    def _open(self, schema: Any) -> Any:
        import pyarrow as pa

        return pa.ipc.new_file(str(self._target.path), schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))


ARROW = Encoder("arrow", ".arrow", ArrowWriter, camera=None)
PARQUET = Encoder("parquet", ".parquet", ParquetWriter, camera=None)
