"""NumPy .npz: arrays t, x, y, p of one length in a zip archive, or one structured array (`table` names it among several).

Source: NumPy documentation, "numpy.savez", "numpy.lib.format"; no pickled object is ever loaded.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from sources.formats.header import Decoder, Header, Peek, RecordingFormat
from sources.formats.npy import Layout, find_table_columns, pick, read_layout
from sources.formats.tables import LOOKED_AT, Columns, ReadRows, decode_table, find_columns, table_header
from sources.formats.time_units import unit_of_name

DAMAGED = (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, KeyError, IndexError, UnicodeDecodeError)


def recognise(peek: Peek) -> Header | None:
    if not peek.head.startswith(b"PK\x03\x04"):
        return None
    try:
        with ZipFile(peek.path) as archive:
            arrays = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
            if not arrays:
                raise ValueError(f"{peek.path}: a zip archive without NumPy arrays")
            return _header(peek, archive, arrays)
    except DAMAGED as error:
        raise _damaged(peek.path, error) from None


def _header(peek: Peek, archive: ZipFile, arrays: dict[str, str]) -> Header:
    chosen = None if peek.options.table else find_columns(peek, list(arrays))
    if chosen is None:
        return _structured(peek, archive, arrays)
    members = {key: arrays[name] for key, name in chosen.items()}
    with ExitStack() as stack:
        opened = {key: _Array(peek.path, stack.enter_context(archive.open(name))) for key, name in members.items()}
        lengths = {key: array.layout.shape for key, array in opened.items()}
        if len(set(lengths.values())) > 1 or any(array.layout.dtype.kind not in "iufb" for array in opened.values()):
            raise ValueError(f"{peek.path}: the arrays t, x, y and p must be numbers of one length, got {lengths}")
        if len(lengths["t"]) != 1:
            raise ValueError(f"{peek.path}: the arrays t, x, y and p must be vectors, got {lengths['t']}")
        rows = lengths["t"][0]
        look = Columns.of(opened, lambda array: array.read(0, min(rows, LOOKED_AT)))
    unit = unit_of_name(chosen["t"])[1]
    return table_header(peek, "npz", rows, look, time_unit=unit, details={"members": members},
                        shape=_told_shape(peek, archive, arrays))


def _structured(peek: Peek, archive: ZipFile, arrays: dict[str, str]) -> Header:
    wanted = peek.options.table
    if wanted is not None and wanted not in arrays:
        raise ValueError(f"{peek.path}: no array {wanted!r} in it: there are {', '.join(arrays)}")
    if wanted is None and len(arrays) > 1:
        raise ValueError(f"{peek.path}: arrays t, x, y and p are wanted, there are {', '.join(arrays)}: set table or columns")
    name = arrays[wanted or next(iter(arrays))]
    with archive.open(name) as member:
        array = _Array(peek.path, member)
        _, shape, by_columns, dtype = array.layout
        if len(shape) != (2 if dtype.names is None else 1) or (by_columns and dtype.names is None):
            raise ValueError(f"{peek.path}: {name}, {dtype} of shape {shape}, is no table of events: (n,) with fields, or (n, 4)")
        chosen, look = find_table_columns(peek, array.read(0, min(shape[0], LOOKED_AT)))
    unit = unit_of_name(str(chosen["t"]))[1] if dtype.names is not None else None
    details = {"members": {"table": name}, "columns": dict(chosen)}
    return table_header(peek, "npz", shape[0], look, time_unit=unit, details=details)


def _told_shape(peek: Peek, archive: ZipFile, arrays: dict[str, str]) -> list[int] | None:
    """The shape that some writers put beside the columns: width and height, or channels, or shape."""
    told: dict[str, list[int]] = {}
    for name in ("width", "height", "channels", "shape"):
        if name in arrays:
            with archive.open(arrays[name]) as member:
                array = _Array(peek.path, member)
                if array.layout.dtype.kind in "iu" and len(array.layout.shape) <= 1 and sum(array.layout.shape) <= 8:
                    told[name] = [int(number) for number in array.read(0, (*array.layout.shape, 1)[0])]
    if len(told.get("width", ())) == len(told.get("height", ())) == 1:
        return [2, told["height"][0], told["width"][0]]
    return told.get("channels") or told.get("shape")


class _Array:
    """One array of the archive, read in pieces."""

    def __init__(self, path: object, member: IO[bytes]) -> None:
        self._path, self._member = path, member
        self.layout: Layout = read_layout(path, member)  # type: ignore[arg-type]
        self._columns = self.layout.shape[1] if len(self.layout.shape) == 2 else 1

    def read(self, first: int, past: int) -> np.ndarray:
        row_bytes = self.layout.dtype.itemsize * self._columns
        start, wanted = self.layout.offset + first * row_bytes, (past - first) * row_bytes
        if self._member.tell() != start:
            self._member.seek(start)
        content = self._member.read(wanted)
        if len(content) < wanted:
            raise ValueError(f"{self._path}: an array of it ends before its last row: the file is damaged")
        rows = np.frombuffer(content, self.layout.dtype)
        return rows.reshape(-1, self._columns) if len(self.layout.shape) == 2 else rows


@contextmanager
def _open_table(header: Header) -> Iterator[ReadRows]:
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(ZipFile(header.path))
            members: dict[str, Any] = {
                key: _Array(header.path, stack.enter_context(archive.open(name)))
                for key, name in header.details["members"].items()
            }
        except DAMAGED as error:
            raise _damaged(header.path, error) from None

        def read(first: int, past: int) -> Columns:
            try:
                if "table" in members:
                    return pick(members["table"].read(first, past), header.details["columns"])
                return Columns.of(members, lambda array: array.read(first, past))
            except DAMAGED as error:
                raise _damaged(header.path, error) from None

        yield read


def _damaged(path: object, error: Exception) -> ValueError:
    return ValueError(f"{path}: a damaged or cut off .npz ({' '.join(str(error).split())[:80]})")


def load(header: Header) -> Decoder:
    return partial(decode_table, open_table=_open_table)


NPZ = RecordingFormat("npz", recognise, load)
