"""AEDAT 4: a header and packets, all FlatBuffers, the packets compressed with LZ4 or Zstandard or not at all.

The events of the first event stream come out; frames, inertial data and packets of further streams are passed over and counted,
triggers likewise. The packets end where the header says that the table of packets begins, or with the file, if it was not closed.
Source: iniVation, "AEDAT file formats", 4.0, and the schemas of dv-processing (IOHeader, EventPacket, TriggerPacket).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar
from xml.etree import ElementTree

import numpy as np

from sources.cut import Events
from sources.formats.flatbuffer import Damaged, Table, table_in
from sources.formats.header import TRIGGER_CHANNELS, Chunk, Decoder, Header, Peek, RecordingFormat, camera_geometry
from sources.formats.packets import as_array, decode_packets, outside
from sources.kernels import position as slot

MAGIC = b"#!AER-DAT4.0\r\n"
COMPRESSIONS = ("none", "lz4", "lz4_high", "zstd", "zstd_high")
MOST_HEADER_BYTES = 1 << 24
EVENT_BYTES = 16
COUNTED = {"FRME": slot.FRAMES, "IMUS": slot.IMU}
TRIGGERS = {  # by number of the source: edge and channel; a pulse is a rising edge of a channel of its own
    1: (1, 0), 2: (0, 0), 3: (1, 8), 4: (1, 3), 5: (0, 3), 6: (1, 4), 7: (0, 4), 8: (1, 5), 9: (0, 5),
}


def recognise(peek: Peek) -> Header | None:
    if not peek.head.startswith(MAGIC):
        return None
    compression, table_at, info, offset = _io_header(peek)
    streams = _streams(peek, info)
    number = next((number for number, (kind, _) in streams.items() if kind == "EVTS"), None)
    if number is None:
        held = ", ".join(kind for kind, _ in streams.values()) or "nothing"
        raise ValueError(f"{peek.path}: holds no stream of events, only {held}")
    shape, geometry_from = camera_geometry(peek, streams[number][1], (1, 1), 1 << 15)
    if geometry_from == "default":
        raise ValueError(f"{peek.path}: the header does not tell the geometry: set width and height")
    details: dict[str, Any] = {
        "compression": COMPRESSIONS[compression],
        "streams": {str(number): kind for number, (kind, _) in streams.items()},
        "events_stream": number,
        "packets_end": table_at if table_at >= offset else peek.size,
    }
    others: tuple[str, ...] = ("triggers",) if any(kind == "TRIG" for kind, _ in streams.values()) else ()
    return Header(peek.path, "aedat4", peek.size, offset, shape, geometry_from, details=details, streams=others)


def load(header: Header) -> Decoder:
    from sources.kernels.aedat import decode_aedat4

    make = partial(_Packets, decode_aedat4, _decompressor(header.details["compression"]))
    end = header.details["packets_end"]

    def decode(header: Header, start: np.ndarray | None) -> Iterator[Chunk]:
        return decode_packets(header, start, end, make)

    return decode


class _Packets:
    """The packets of AEDAT 4."""

    head_bytes = 8  # number of the stream, bytes that follow
    counts: ClassVar = {"triggers": slot.TRIGGERS, "frames": slot.FRAMES, "imu_packets": slot.IMU, "clock_resets": slot.RESETS,
              "other_packets": slot.UNKNOWN}

    def __init__(self, kernel: Any, decompress: Callable[[memoryview], Any], header: Header) -> None:
        self._kernel, self._decompress, self._header = kernel, decompress, header
        self._kinds = {int(number): kind for number, kind in header.details["streams"].items()}

    def measure(self, head: bytes, position: np.ndarray) -> tuple[int, bool]:
        number, size = struct.unpack("<ii", head)
        kind = self._kinds.get(number)
        if kind is None or size < 0:
            raise ValueError(f"cannot be of stream {number} and {size} bytes")
        if kind == "TRIG":
            return size, True
        if number == self._header.details["events_stream"]:
            return size, self._header.stream == "events"
        position[COUNTED.get(kind, slot.UNKNOWN)] += 1
        return size, False

    def decode(self, head: bytes, body: memoryview, position: np.ndarray) -> Events | None:
        kind = self._kinds[struct.unpack_from("<i", head)[0]]
        data = memoryview(self._decompress(body))
        if data[8:12] != kind.encode():
            raise ValueError(f"is marked {bytes(data[8:12])!r}, where {kind!r} is wanted")
        packet = Table.root(data, 4)
        return self._triggers(data, packet, position) if kind == "TRIG" else self._events(data, packet, position)

    def _events(self, data: memoryview, packet: Table, position: np.ndarray) -> Events:
        first, count = packet.vector(0, EVENT_BYTES)
        if not count:
            return Events()
        t_us, unit = np.empty(count, np.int64), np.empty(count, np.uint32)
        _, height, width = self._header.shape
        n = self._kernel(as_array(data, "<i8", 2 * count, first), width, height, position, t_us, unit)
        if position[slot.FAULT_X] >= 0:
            raise ValueError(outside(position, self._header))
        return Events(t_us[:n], unit[:n])

    def _triggers(self, data: memoryview, packet: Table, position: np.ndarray) -> Events | None:
        first, count = packet.vector(0, 4)
        found = []
        for at in range(first, first + 4 * count, 4):
            trigger = table_in(data, at)
            source = trigger.integer(1, "<b", 0)
            if source in TRIGGERS:
                found.append((trigger.integer(0, "<q", 0), *TRIGGERS[source]))
            else:
                position[slot.RESETS if source == 0 else slot.UNKNOWN] += 1
        position[slot.TRIGGERS] += len(found)
        if self._header.stream != "triggers" or not found:
            return None
        columns = np.array(found, np.int64)
        _count_in(position, columns[:, 0])
        return Events(columns[:, 0].copy(), (columns[:, 1] * TRIGGER_CHANNELS + columns[:, 2]).astype(np.uint32))


def _count_in(position: np.ndarray, t_us: np.ndarray) -> None:
    """What the kernels do while they decode."""
    newest_us = np.maximum.accumulate(np.maximum(t_us, position[slot.NEWEST_US]))
    position[slot.BACKWARDS] += int((t_us < newest_us).sum())
    position[slot.NEWEST_US] = newest_us[-1]
    position[slot.EVENTS] += t_us.size


def _io_header(peek: Peek) -> tuple[int, int, str, int]:
    """Compression, where the table of packets begins (-1: nowhere), the description of the streams, where the packets begin."""
    head, size = peek.head, peek.size
    length = int.from_bytes(head[len(MAGIC) : len(MAGIC) + 4], "little")
    offset = len(MAGIC) + 4 + length
    if len(head) < len(MAGIC) + 4 or offset > size:
        raise ValueError(f"{peek.path}: cut off in its header, at byte {size}")
    if length > MOST_HEADER_BYTES:
        raise ValueError(f"{peek.path}: a header of {length} bytes: the file is damaged")
    if offset > len(head):
        with open(peek.path, "rb") as file:
            head = file.read(offset)
    try:
        table = Table.root(memoryview(head)[len(MAGIC) + 4 : offset])
        compression, table_at, info = table.integer(0, "<i", 0), table.integer(1, "<q", -1), table.text(2)
    except Damaged as error:
        raise ValueError(f"{peek.path}: the header {error}: the file is damaged") from None
    if not 0 <= compression < len(COMPRESSIONS):
        raise ValueError(f"{peek.path}: compressed by method {compression}, which is none of {', '.join(COMPRESSIONS)}")
    if table_at > size:
        table_at = -1
    return compression, table_at, info, offset


def _streams(peek: Peek, info: str) -> dict[int, tuple[str, tuple[int, int] | None]]:
    """The kinds of the streams by number, and their geometries, as far as they are told."""
    try:
        root = ElementTree.fromstring(info)
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"{peek.path}: the header's description of the streams cannot be read: {error}") from None
    streams: dict[int, tuple[str, tuple[int, int] | None]] = {}
    for node in root.iterfind("./node[@name='outInfo']/node"):
        name = node.get("name", "")
        if name.isdecimal() and len(name) < 10:
            size = [node.findtext(f"./node[@name='info']/attr[@key='{key}']") or "" for key in ("sizeX", "sizeY")]
            whole = all(text.isdecimal() and len(text) < 10 for text in size)
            kind = node.findtext("./attr[@key='typeIdentifier']") or ""
            kind = kind if len(kind) == 4 and kind.isprintable() else "?"  # as FlatBuffers mark what a file holds
            streams[int(name)] = kind, (int(size[0]), int(size[1])) if whole else None
    return dict(sorted(streams.items()))


def _decompressor(compression: str) -> Callable[[memoryview], Any]:
    if compression == "none":
        return memoryview
    from sources.formats import decompress

    return decompress.Lz4() if compression.startswith("lz4") else decompress.zstd


AEDAT4 = RecordingFormat("aedat4", recognise, load)
