"""Decoding of recordings that are a header and then words (or records) of one size: the loop around a kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np

from sources.cut import Events
from sources.formats.header import Chunk, Header, Truncated
from sources.kernels import position as slot

CHUNK_BYTES = 1 << 17  # of the file, decoded at a time
CHUNK_EVENTS = 1 << 16
KERNEL_ROOM = 16  # more than the events of any one word


def decode_words(
    header: Header, start: np.ndarray | None, kernel: Callable[..., int], item: str, word_bytes: int
) -> Iterator[Chunk]:
    """The chunks of a recording from a position on.

    kernel(items, width, height, position, t_us, unit) -> number of events; item: dtype of the array that it takes.
    The bytes are read in pieces, not mapped: a file that shrinks meanwhile is an error, never a crash.
    """
    position = _start() if start is None else start.copy()
    words = (header.size - header.data_offset) // word_bytes
    height, width = header.shape[-2:]
    with open(header.path, "rb", buffering=0) as file:
        block = np.empty(min(CHUNK_BYTES // word_bytes, words) * word_bytes, np.uint8)
        while (left := words - int(position[slot.WORD])) > 0:
            piece = block[: min(left * word_bytes, block.size)]
            _read(file, header, header.data_offset + int(position[slot.WORD]) * word_bytes, piece)
            before = position.copy()
            # no word holds more than 12 events, and few more than one: a full chunk ends early and the next one goes on
            room = min(CHUNK_EVENTS, 12 * (piece.size // word_bytes)) + KERNEL_ROOM
            t_us, unit = np.empty(room, np.int64), np.empty(room, np.uint32)
            n = kernel(piece.view(item), width, height, position, t_us, unit)
            if position[slot.FAULT_X] >= 0:
                raise ValueError(_outside(header, position, word_bytes))
            yield _chunk(before, position, Events(t_us[:n], unit[:n]))
    if header.tail_bytes:
        raise Truncated(truncated(header))


def truncated(header: Header) -> str:
    """The one line that tells of half a record at the end."""
    at = header.size - header.tail_bytes
    return (
        f"{header.path}: cut off: it ends with {header.tail_bytes} byte{'s' if header.tail_bytes > 1 else ''} of half a "
        f"{header.format} record at byte {at}; set truncated: keep to accept what is whole"
    )


def words_header(header: Header, word_bytes: int) -> Header:
    """The header, with the bytes of half a word at the end counted."""
    return Header(**{**header.__dict__, "tail_bytes": (header.size - header.data_offset) % word_bytes})


def _start() -> np.ndarray:
    position = np.zeros(slot.LENGTH, np.int64)
    position[slot.NEWEST_US] = slot.BEFORE_ALL_US
    position[[slot.FAULT_X, slot.FAULT_Y, slot.HIGH, slot.LOW, slot.Y, slot.BASE_X]] = -1
    return position


def _read(file: BinaryIO, header: Header, offset: int, piece: np.ndarray) -> None:
    file.seek(offset)
    got, view = 0, memoryview(piece)  # type: ignore[arg-type]
    while got < piece.size:
        count: Any = file.readinto(view[got:])  # type: ignore[attr-defined]
        if not count:
            raise ValueError(f"{header.path}: byte {offset + got} is gone: the file had {header.size} bytes when it was opened")
        got += count


def _outside(header: Header, position: np.ndarray, word_bytes: int) -> str:
    at = header.data_offset + (int(position[slot.WORD]) - 1) * word_bytes
    x, y = int(position[slot.FAULT_X]), int(position[slot.FAULT_Y])
    height, width = header.shape[-2:]
    advice = "the file is damaged" if header.geometry_from == "header" else "set width and height, or the file is damaged"
    return f"{header.path}: the event at byte {at} lies at x={x}, y={y}, outside of {width}x{height}: {advice}"


def _chunk(before: np.ndarray, after: np.ndarray, events: Events) -> Chunk:
    counts = {
        "events": int(after[slot.EVENTS]),
        "backwards": int(after[slot.BACKWARDS]),
        "triggers": int(after[slot.TRIGGERS]),
        "incomplete": int(after[slot.INCOMPLETE]),
        "unknown_words": int(after[slot.UNKNOWN]),
    }
    ordered = before[slot.BACKWARDS] == after[slot.BACKWARDS]
    return Chunk(before, events, int(before[slot.NEWEST_US]), int(after[slot.NEWEST_US]), bool(ordered), counts)
