"""Decoding of recordings that are a header and then words (or records) of one size: the loop around a kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from sources.cut import Events
from sources.formats.header import Chunk, Header, Truncated
from sources.kernels import position as slot

CHUNK_BYTES = 1 << 18  # of the file, decoded at a time
CHUNK_EVENTS = 1 << 16
KERNEL_ROOM = 16  # more than the events of any one word


COUNTS = {"triggers": slot.TRIGGERS, "incomplete": slot.INCOMPLETE, "unknown_words": slot.UNKNOWN}


def decode_words(
    header: Header,
    start: np.ndarray | None,
    kernel: Callable[..., int],
    item: str | Callable[[np.ndarray], np.ndarray],
    word_bytes: int,
    most: int = 12,
    wrap_us: int = 0,
    counts: Mapping[str, int] = COUNTS,
) -> Iterator[Chunk]:
    """The chunks of a recording from a position on.

    kernel(items, width, height, position, t_us, unit) -> number of events; on graded streams it also takes the values.
    item: dtype of the array that it takes, or a function that makes this of bytes; most: events of one word;
    wrap_us: when the time counter wraps, or 0; counts: what else is counted, and where in the position.
    The bytes are read in pieces, not mapped: a file that shrinks meanwhile is an error, never a crash.
    A kernel that gets no further, as the bytes hold no whole event, has come to the end of a file that was cut off.
    """
    position = start_position() if start is None else start.copy()
    words = (header.size - header.data_offset) // word_bytes
    height, width = header.shape[-2:]
    tail_bytes = header.tail_bytes
    counts = {"wraps": slot.LOOPS_US, **counts} if wrap_us else counts
    with open(header.path, "rb", buffering=0) as file:
        block = np.empty(min(CHUNK_BYTES // word_bytes, words) * word_bytes, np.uint8)
        while (left := words - int(position[slot.WORD])) > 0:
            piece = block[: min(left * word_bytes, block.size)]
            _read(file, header, header.data_offset + int(position[slot.WORD]) * word_bytes, piece)
            before = position.copy()
            # few words hold more than one event: a full chunk ends early and the next one goes on
            room = min(CHUNK_EVENTS, most * (piece.size // word_bytes)) + max(most, KERNEL_ROOM)
            columns = [np.empty(room, dtype) for dtype in _COLUMNS[: 3 if header.kind == "graded" else 2]]
            items = piece.view(item) if isinstance(item, str) else item(piece)
            n = kernel(items, width, height, position, *columns)
            if position[slot.FAULT_X] >= 0:
                raise ValueError(_outside(header, position, word_bytes))
            if position[slot.WORD] == before[slot.WORD]:
                tail_bytes = _half_an_event(header, header.size - left * word_bytes, piece.size)
                yield make_chunk(before, before, Events(), counts, wrap_us)
                break
            yield make_chunk(before, position, Events(*(column[:n] for column in columns)), counts, wrap_us)
    if tail_bytes:
        raise Truncated(truncated(header, tail_bytes), tail_bytes)


_COLUMNS = np.int64, np.uint32, np.float32


def _half_an_event(header: Header, at: int, looked_at: int) -> int:
    """The bytes of half an event at the end; the bytes from `at` on hold none whole."""
    if at + looked_at < header.size:
        raise ValueError(f"{header.path}: the event at byte {at} has more than {looked_at} bytes: the file is damaged")
    return header.size - at


def truncated(header: Header, tail_bytes: int) -> str:
    """The one line that tells of half a record at the end."""
    at = header.size - tail_bytes
    return (
        f"{header.path}: cut off: it ends with {tail_bytes} byte{'s' if tail_bytes > 1 else ''} of half a record of "
        f"{header.format} at byte {at}; set truncated: keep to accept what is whole"
    )


def words_header(header: Header, word_bytes: int) -> Header:
    """The header, with the bytes of half a word at the end counted."""
    return Header(**{**header.__dict__, "tail_bytes": (header.size - header.data_offset) % word_bytes})


def start_position() -> np.ndarray:
    """The position of the first word, before anything is known."""
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


def make_chunk(before: np.ndarray, after: np.ndarray, events: Events, counts: Mapping[str, int], wrap_us: int = 0) -> Chunk:
    """The chunk between two positions."""
    counted = {name: int(after[place]) for name, place in counts.items()}
    if wrap_us:
        counted["wraps"] //= wrap_us
    ordered = before[slot.BACKWARDS] == after[slot.BACKWARDS]
    counted |= {"events": int(after[slot.EVENTS]), "backwards": int(after[slot.BACKWARDS])}
    return Chunk(before, events, int(before[slot.NEWEST_US]), int(after[slot.NEWEST_US]), bool(ordered), counted)
