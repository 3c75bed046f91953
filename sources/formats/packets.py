"""Decoding of recordings that are a header and then packets, each with a head of its own: the loop around what a format does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Protocol

import numpy as np

from sources.cut import Events, joined
from sources.formats.header import LONGEST_SILENCE_US, Chunk, Header, Truncated
from sources.formats.words import make_chunk, start_position, truncated
from sources.kernels import position as slot

CHUNK_BYTES = 1 << 20  # of the file, and
CHUNK_EVENTS = 1 << 13  # events, after which the packets gathered become a chunk
MOST_BYTES = 1 << 28  # of one packet


class PacketFormat(Protocol):
    """What a format knows of its packets. position: see sources.kernels.position, WORD being the byte where a packet begins."""

    head_bytes: int

    @property
    def counts(self) -> Mapping[str, int]: ...  # what is counted, and where in the position

    def measure(self, head: bytes, position: np.ndarray) -> tuple[int, bool]:
        """The bytes that follow the head, and whether they are wanted; if not, they are counted. ValueError: no such packet."""

    def decode(self, head: bytes, body: memoryview, position: np.ndarray) -> Events | None:
        """The events of a packet that is wanted. The body's bytes are overwritten by those of the next one."""


def decode_packets(
    header: Header, start: np.ndarray | None, end: int, make: Callable[[Header], PacketFormat]
) -> Iterator[Chunk]:
    """The chunks from a position on; end: the byte where the packets do. A packet is never split between two chunks."""
    packets = make(header)
    position = _first(header) if start is None else start.copy()
    with open(header.path, "rb") as file:
        file.seek(int(position[slot.WORD]))
        room = _Room()
        while position[slot.WORD] < end:
            before = position.copy()
            found: list[Events] = []
            tail_bytes = _gather(file, room, header, packets, position, end, found)
            yield make_chunk(before, position, joined(found), packets.counts)
            if tail_bytes:
                raise Truncated(truncated(header, tail_bytes), tail_bytes)


def _first(header: Header) -> np.ndarray:
    position = start_position()
    position[slot.WORD] = header.data_offset
    return position


def _gather(
    file: BinaryIO, room: _Room, header: Header, packets: PacketFormat, position: np.ndarray, end: int, found: list[Events]
) -> int:
    """Decode packets until there is enough for a chunk. Returns the bytes of half a packet at the end."""
    begin, events = int(position[slot.WORD]), 0
    while (at := int(position[slot.WORD])) < end and at - begin < CHUNK_BYTES and events < CHUNK_EVENTS:
        if at + packets.head_bytes > end:
            return end - at
        head = _read(file, header, at, packets.head_bytes)
        before = position.copy()
        try:
            size, wanted = packets.measure(head, position)
            past = at + packets.head_bytes + size
            if past > end:
                position[:] = before
                return end - at
            if wanted:
                if size > MOST_BYTES:
                    raise ValueError(f"has {size} bytes, where at most {MOST_BYTES} are possible")
                decoded = packets.decode(head, room.read(file, header, at + packets.head_bytes, size), position)
                if decoded is not None and decoded.t_us.size:
                    _check_silence(decoded, before, position)
                    found.append(decoded)
                    events += decoded.t_us.size
            else:
                file.seek(past)
        except _Gone:
            raise
        except ValueError as error:
            raise ValueError(f"{header.path}: the packet at byte {at} {error}: the file is damaged") from None
        position[slot.WORD] = past
    return 0


def _check_silence(events: Events, before: np.ndarray, after: np.ndarray) -> None:
    since_us = int(events.t_us[0]) if before[slot.EVENTS] == 0 else int(before[slot.NEWEST_US])
    if after[slot.NEWEST_US] - since_us > LONGEST_SILENCE_US:
        raise ValueError(f"holds a time that jumps ahead, from {since_us} to {after[slot.NEWEST_US]} us")


class _Gone(ValueError):
    """The file has shrunk."""


def _read(file: BinaryIO, header: Header, at: int, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise _gone(header, at + len(data))
    return data


def _gone(header: Header, at: int) -> _Gone:
    return _Gone(f"{header.path}: byte {at} is gone: the file had {header.size} bytes when it was opened")


class _Room:
    """Room for one packet, made anew only when a longer one comes: fresh memory costs more than the reading."""

    def __init__(self) -> None:
        self._bytes = memoryview(np.empty(1 << 16, np.uint8))  # type: ignore[arg-type]

    def read(self, file: BinaryIO, header: Header, at: int, size: int) -> memoryview:
        if size > len(self._bytes):
            self._bytes = memoryview(np.empty(2 * size, np.uint8))  # type: ignore[arg-type]
        count = file.readinto(self._bytes[:size])  # type: ignore[attr-defined]
        if count < size:
            raise _gone(header, at + count)
        return self._bytes[:size]


def outside(position: np.ndarray, header: Header) -> str:
    """What is wrong with the event at which a kernel stopped."""
    x, y = int(position[slot.FAULT_X]), int(position[slot.FAULT_Y])
    if y < 0:
        return "holds a time that no clock could have told"
    height, width = header.shape[-2:]
    advice = "" if header.geometry_from == "header" else " (if the file is whole, set width and height)"
    return f"holds an event at x={x}, y={y}, outside of {width}x{height}{advice}"


def as_array(data: Any, dtype: str, count: int, offset: int = 0) -> np.ndarray:
    """A read-only column of a packet, copied where its bytes are not aligned."""
    column = np.frombuffer(data, dtype, count, offset)
    if not column.flags.aligned:
        column = column.copy()
        column.flags.writeable = False
    return column
