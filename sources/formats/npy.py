"""NumPy .npy: a structured vector with fields t, x, y, p (as tonic, faery and OpenEB save them), or an (n, 4) matrix.

Source: NumPy documentation, "numpy.lib.format"; no pickled object is ever loaded.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO, NamedTuple

import numpy as np

from sources.formats.header import Decoder, Header, Peek, RecordingFormat
from sources.formats.tables import LOOKED_AT, Columns, ReadRows, decode_table, find_columns, find_order, table_header
from sources.formats.time_units import unit_of_name

MAGIC = b"\x93NUMPY"
MOST_BYTES = 1024  # of a row with fields
MOST_COLUMNS = 64  # of a matrix


class Layout(NamedTuple):
    """Where an array lies, and how."""

    offset: int
    shape: tuple[int, ...]
    by_columns: bool  # Fortran order
    dtype: np.dtype


def read_layout(path: object, file: BinaryIO | io.BytesIO) -> Layout:
    """The header of an array, read from the start of a file."""
    try:
        version = np.lib.format.read_magic(file)  # type: ignore[arg-type]
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(file)  # type: ignore[arg-type]
    except Exception as error:  # the header is a Python literal: a damaged one raises whatever its parser does
        raise ValueError(f"{path}: a NumPy array with a damaged header ({' '.join(str(error).split())[:80]})") from None
    if dtype.hasobject or not 0 < dtype.itemsize <= MOST_BYTES or any(n < 0 for n in shape) or shape[1:2] > (MOST_COLUMNS,):
        raise ValueError(f"{path}: an array of {dtype} and shape {shape} holds no events")
    return Layout(file.tell(), shape, by_columns, dtype)


def recognise(peek: Peek) -> Header | None:
    if not peek.head.startswith(MAGIC):
        return None
    layout = read_layout(peek.path, io.BytesIO(peek.head))
    offset, shape, by_columns, dtype = layout
    if len(shape) != (2 if dtype.names is None else 1) or (dtype.names is None and dtype.kind not in "iuf"):
        raise ValueError(f"{peek.path}: an array of {dtype} and shape {shape} is no table of events: (n,) with fields, or (n, 4)")
    row_bytes = dtype.itemsize * (shape[1] if dtype.names is None else 1)
    if not row_bytes:
        raise ValueError(f"{peek.path}: an array of shape {shape} holds no events")
    rows, tail_bytes = shape[0], 0
    if peek.size - offset < rows * row_bytes:
        if by_columns and dtype.names is None:
            raise ValueError(f"{peek.path}: cut off, and its columns stand one after the other: nothing can be kept")
        rows, tail_bytes = divmod(peek.size - offset, row_bytes)
        tail_bytes = tail_bytes or row_bytes  # whole rows are missing: as bad as half a row
    header = Header(peek.path, "npy", peek.size, offset, (2, 1, 1), "", details={"rows": rows})
    with _reader(header, layout) as read:
        first = read(0, min(rows, LOOKED_AT))
    chosen, look = find_table_columns(peek, first)
    unit = unit_of_name(str(chosen["t"]))[1] if dtype.names is not None else None
    details = {"dtype": str(dtype), "columns": dict(chosen)}
    return table_header(peek, "npy", rows, look, time_unit=unit, tail_bytes=tail_bytes, details=details)


def find_table_columns(peek: Peek, first: np.ndarray) -> tuple[dict[str, str] | dict[str, int], Columns]:
    """The names (or numbers) of the columns of an array, whose first rows are given, and these rows."""
    if first.dtype.names is not None:
        by_name = find_columns(peek, first.dtype.names)
        if by_name is None:
            names = ", ".join(first.dtype.names)
            raise ValueError(f"{peek.path}: fields t, x, y and p are wanted, there are {names}: set columns")
        if bad := [name for name in by_name.values() if first.dtype[name].kind not in "iufb"]:
            raise ValueError(f"{peek.path}: field {bad[0]} must hold numbers, not {first.dtype[bad[0]]}")
        return by_name, pick(first, by_name)
    by_number = find_order(peek, first)
    if by_number is None:
        raise ValueError(f"{peek.path}: of {first.shape[1]} columns it is not clear which hold t, x, y and p: set columns")
    return by_number, pick(first, by_number)


def pick(rows: np.ndarray, chosen: dict[str, str] | dict[str, int]) -> Columns:
    if rows.dtype.names is not None:
        return Columns.of(chosen, lambda name: rows[name])
    return Columns.of(chosen, lambda number: rows[:, int(number)])


@contextmanager
def _reader(header: Header, layout: Layout) -> Iterator[Callable[[int, int], np.ndarray]]:
    """A function that reads rows as they are."""
    offset, shape, by_columns, dtype = layout
    columns = shape[1] if dtype.names is None else 1

    with open(header.path, "rb", buffering=0) as file:

        def exactly(at: int, count: int) -> np.ndarray:
            file.seek(at)
            wanted, parts = count * dtype.itemsize, []
            while wanted:
                part = file.read(wanted)
                if not part:
                    raise ValueError(f"{header.path}: byte {file.tell()} is gone: the file had {header.size} bytes when opened")
                parts.append(part)
                wanted -= len(part)
            return np.frombuffer(b"".join(parts), dtype, count)

        def read(first: int, past: int) -> np.ndarray:
            n = past - first
            if dtype.names is not None:
                return exactly(offset + first * dtype.itemsize, n)
            if by_columns:
                lots = [exactly(offset + (column * shape[0] + first) * dtype.itemsize, n) for column in range(columns)]
                return np.stack(lots, axis=1)
            return exactly(offset + first * columns * dtype.itemsize, n * columns).reshape(n, columns)

        yield read


@contextmanager
def _open_table(header: Header) -> Iterator[ReadRows]:
    with open(header.path, "rb") as file:
        layout = read_layout(header.path, file)
    with _reader(header, layout) as read:
        yield lambda first, past: pick(read(first, past), header.details["columns"])


def load(header: Header) -> Decoder:
    return partial(decode_table, open_table=_open_table)


NPY = RecordingFormat("npy", recognise, load)
