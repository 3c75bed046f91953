"""The global heaps of an HDF5 file, where values of variable length lie: looked through before the library is let near them.

libhdf5 steps through a heap by the sizes that its objects tell, and where one tells 0 it never ends. So all heaps of the file are
stepped through here first. Source: The HDF Group, "HDF5 File Format Specification", section III.E.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

MARK = b"GCOL\x01"  # with the version; the library does not look at the three bytes after it, which are 0
HEAD_BYTES = OBJECT_BYTES = 16
LEAST_BYTES = 4096  # of a heap
MOST_BYTES = 1 << 26
STEP_BYTES = 1 << 22
MOST_FILE_BYTES = 1 << 33


def check_heaps(path: Path | str) -> None:
    """Raise a ValueError, naming the byte, where a heap of the file is damaged. The file is read once from end to end."""
    stat = Path(path).stat()
    _check(Path(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _check(path: Path, size: int, changed_ns: int) -> None:
    if size > MOST_FILE_BYTES:
        raise ValueError(f"{path}: values of variable length are read from files of at most {MOST_FILE_BYTES >> 30} GiB")
    with open(path, "rb") as file:
        at, tail = 0, b""
        while step := file.read(STEP_BYTES):
            seen, begin = tail + step, at - len(tail)
            found = seen.find(MARK)
            while found >= 0:
                _check_heap(path, file, begin + found, size)
                found = seen.find(MARK, found + 1)
            tail = seen[-(len(MARK) - 1) :]
            at += len(step)
            file.seek(at)


def _check_heap(path: Path, file: BinaryIO, begin: int, file_bytes: int) -> None:
    file.seek(begin)
    head = file.read(HEAD_BYTES)
    size, certain = int.from_bytes(head[8:], "little"), head[5:8] == bytes(3)  # else it may be other data by chance
    if size > min(MOST_BYTES, file_bytes - begin) or size < LEAST_BYTES:
        if certain:
            raise _damaged(path, begin, f"tells a size of {size} bytes")
        return
    heap, at = head + file.read(size - HEAD_BYTES), HEAD_BYTES
    while size - at >= OBJECT_BYTES:
        index, _, _, length = struct.unpack_from("<HHIQ", heap, at)
        # object 0 is the room that is free, its own head included
        step = length if index == 0 else OBJECT_BYTES + (length + 7) // 8 * 8
        if step < OBJECT_BYTES or (certain and step > size - at):
            raise _damaged(path, begin + at, f"holds an object of {length} bytes")
        at += step


def _damaged(path: Path, at: int, why: str) -> ValueError:
    return ValueError(f"{path}: a damaged HDF5 file (the heap at byte {at} {why})")
