"""Apache Arrow IPC files and Parquet: columns t, x, y, p, or t (t_us) and unit, and value on graded streams.

Arrow timestamps and durations tell their unit. The schema's metadata may tell the shape of the stream as JSON under the key
`spikeline`, as in {"shape": [2, 480, 640], "t": "us"}; without it the geometry is that of the first events.
A record batch, or a row group of Parquet, is held in memory at a time.

Source: Apache Arrow, "Arrow Columnar Format", "IPC File Format"; Apache Parquet, "File Format".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sources.formats.header import Decoder, Header, Peek, RecordingFormat
from sources.formats.tables import LOOKED_AT, Columns, ReadRows, decode_table, find_columns, table_header
from sources.formats.time_units import SAME, unit_of_name

if TYPE_CHECKING:
    import pyarrow

ARROW_MAGIC, PARQUET_MAGIC = b"ARROW1\x00\x00", b"PAR1"
MOST_ROWS = 1 << 26  # of a record batch or row group
INTEGERS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.int64}


class _Pieces:
    """The record batches or row groups of an open file, one in memory at a time."""

    def __init__(self, path: object, rows: list[int], read: Callable[[int], pyarrow.Table]) -> None:
        if any(not 0 <= n <= MOST_ROWS for n in rows):
            raise ValueError(f"{path}: a piece of {max(rows)} rows: pieces of at most {MOST_ROWS} can be read")
        self._path, self._read, self.sizes = path, read, rows
        self._starts = np.concatenate(([0], np.cumsum(rows, dtype=np.int64)))
        self._held: tuple[int, Any] = (-1, None)
        self.total = int(self._starts[-1])

    def rows(self, columns: dict[str, str], first: int, past: int) -> Columns:
        parts: list[dict[str, np.ndarray]] = []
        number = int(np.searchsorted(self._starts, first, "right")) - 1
        while first < past:
            table = self._table(number)
            start = int(self._starts[number])
            stop = min(past, int(self._starts[number + 1]))
            if stop > first:
                cut = first - start, stop - start
                parts.append({key: _numbers(self._path, table, name, *cut) for key, name in columns.items()})
            first, number = max(first, stop), number + 1
        if not parts:
            return Columns.of(columns, lambda name: np.empty(0, np.int64))
        return Columns(**{key: np.concatenate([part[key] for part in parts]) for key in columns})

    def _table(self, number: int) -> pyarrow.Table:
        if self._held[0] != number:
            table = self._read(number)
            if table.num_rows != self.sizes[number]:
                raise ValueError(f"{self._path}: piece {number} has {table.num_rows} rows, {self.sizes[number]} were told")
            self._held = number, table
        return self._held[1]


def _numbers(path: object, table: pyarrow.Table, name: str, first: int, past: int) -> np.ndarray:
    import pyarrow as pa

    column = table.column(name).slice(first, past - first)
    if column.null_count:
        raise ValueError(f"{path}: column {name} has an empty cell among rows {first} to {past} of a piece")
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    elif pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    array = column.to_numpy()
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{path}: column {name} must hold numbers, not {kind}")
    return array


@contextmanager
def _opened(path: object, format: str, sizes: list[int] | None = None) -> Iterator[tuple[pyarrow.Schema, _Pieces]]:
    """The schema and the pieces of a file; whatever the library finds wrong is one line. sizes: of the pieces, if known."""
    import pyarrow as pa

    try:
        if format == "parquet":
            from pyarrow import parquet

            with parquet.ParquetFile(str(path), page_checksum_verification=True) as file:
                sizes = sizes or [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
                yield file.schema_arrow, _Pieces(path, sizes, lambda number: file.read_row_group(number, use_threads=False))
        else:
            with pa.OSFile(str(path), "rb") as raw, pa.ipc.open_file(raw) as reader:
                sizes = sizes or _batch_sizes(raw)

                def read(number: int) -> pyarrow.Table:
                    batch = reader.get_batch(number)
                    batch.validate(full=True)
                    return pa.Table.from_batches([batch])

                yield reader.schema, _Pieces(path, sizes, read)
    except (pa.ArrowException, OSError, MemoryError, IndexError, KeyError, TypeError, OverflowError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: a damaged or cut off {format} file ({' '.join(str(error).split())[:100]})") from None
    except ValueError as error:  # the library's own are ValueErrors too
        if str(error).startswith(f"{path}: "):
            raise
        raise ValueError(f"{path}: a damaged or cut off {format} file ({' '.join(str(error).split())[:100]})") from None


def _batch_sizes(raw: pyarrow.NativeFile) -> list[int]:
    """The rows of every batch: they stand in the batches alone, of which only the first column is decoded."""
    import pyarrow as pa

    reader = pa.ipc.open_file(raw, options=pa.ipc.IpcReadOptions(included_fields=[0], use_threads=False))
    return [reader.get_batch(number).num_rows for number in range(reader.num_record_batches)]


def _recognise(format: str, magic: bytes, peek: Peek) -> Header | None:
    if not peek.head.startswith(magic):
        return None
    with _opened(peek.path, format) as (schema, pieces):
        columns = find_columns(peek, schema.names)
        if columns is None:
            names = ", ".join(schema.names)
            raise ValueError(f"{peek.path}: columns t, x, y and p (or t and unit) are wanted, there are {names}: set columns")
        told = _told(peek, schema)
        look = pieces.rows(columns, 0, min(pieces.total, LOOKED_AT))
        unit = _time_unit(schema, columns["t"]) or told.get("t")
        details = {"columns": columns, "piece_rows": pieces.sizes}
        return table_header(peek, format, pieces.total, look, time_unit=unit, shape=told.get("shape"), details=details)


def _told(peek: Peek, schema: pyarrow.Schema) -> dict[str, Any]:
    text = (schema.metadata or {}).get(b"spikeline")
    if text is None:
        return {}
    try:
        told = json.loads(text)
        shape = [int(n) for n in told["shape"]]
        return {"shape": shape} | ({"t": told["t"]} if told.get("t") in ("s", "ms", "us", "ns") else {})
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{peek.path}: the metadata 'spikeline' must be JSON with a shape, got {text[:60]!r}") from None


def _time_unit(schema: pyarrow.Schema, name: str) -> str | None:
    import pyarrow as pa

    kind = schema.field(name).type
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return SAME.get(kind.unit, kind.unit)
    return unit_of_name(name)[1]


@contextmanager
def _open_table(header: Header) -> Iterator[ReadRows]:
    with _opened(header.path, header.format, header.details["piece_rows"]) as (_, pieces):
        yield lambda first, past: pieces.rows(header.details["columns"], first, past)


def load(header: Header) -> Decoder:
    return partial(decode_table, open_table=_open_table)


ARROW = RecordingFormat("arrow", partial(_recognise, "arrow", ARROW_MAGIC), load)
PARQUET = RecordingFormat("parquet", partial(_recognise, "parquet", PARQUET_MAGIC), load)
