"""As much of FlatBuffers as AEDAT 4 needs: fields of tables, vectors and texts, every offset checked before it is followed.

Source: FlatBuffers, "Internals".
"""

from __future__ import annotations

import struct


class Damaged(ValueError):
    """An offset or length leads out of the buffer."""


class Table:
    """A table inside a buffer.

    >>> data = memoryview(bytes.fromhex("0c000000 0600 0800 0400 0000 08000000 2a000000"))
    >>> Table.root(data).integer(0, "<i", 0)
    42
    """

    def __init__(self, data: memoryview, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - _unpack("<i", data, at)
        self._field_bytes = _unpack("<H", data, self._fields)

    @classmethod
    def root(cls, data: memoryview, at: int = 0) -> Table:
        """The table that the buffer beginning at `at` is about."""
        return cls(data, at + _unpack("<I", data, at))

    def integer(self, field: int, kind: str, default: int) -> int:
        """A number; kind: its struct format."""
        at = self._place(field)
        return default if at is None else _unpack(kind, self._data, at)

    def vector(self, field: int, item_bytes: int) -> tuple[int, int]:
        """Where a vector's items begin, and how many there are."""
        at = self._place(field)
        if at is None:
            return 0, 0
        at += _unpack("<I", self._data, at)
        count = _unpack("<I", self._data, at)
        if at + 4 + count * item_bytes > len(self._data):
            raise Damaged("holds a vector that leads out of it")
        return at + 4, count

    def text(self, field: int) -> str:
        first, count = self.vector(field, 1)
        return bytes(self._data[first : first + count]).decode("utf-8", "replace")

    def _place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry + 2 > self._field_bytes:
            return None
        offset = _unpack("<H", self._data, self._fields + entry)
        return self._at + offset if offset else None


def table_in(data: memoryview, at: int) -> Table:
    """The table that the offset at `at` leads to."""
    return Table(data, at + _unpack("<I", data, at))


def _unpack(kind: str, data: memoryview, at: int) -> int:
    if at < 0 or at + struct.calcsize(kind) > len(data):
        raise Damaged("holds an offset that leads out of it")
    return int(struct.unpack_from(kind, data, at)[0])
