"""AEDAT 4.0, written: one stream of events, without compression, with LZ4 or with Zstandard.

File: a line that names the version; an IOHeader (FlatBuffers, its size before it); packets, each a stream number and a size
(int32) and then an EventPacket (FlatBuffers, compressed); the table of packets (FlatBuffers, compressed), whose place the
IOHeader tells.
Times are 64-bit us. Source: iniVation, "AEDAT 4.0 file format" and the schemas of dv-processing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

import numpy as np

from sources.cut import Events
from sources.encoders.writer import Encoder, FileWriter, Target, addresses

VERSION = b"#!AER-DAT4.0\r\n"
NONE, LZ4, ZSTD = 0, 1, 3  # what the IOHeader calls the compressions
NAMES = {NONE: "NONE", LZ4: "LZ4", ZSTD: "ZSTD"}
EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("on", "u1"), ("pad", "u1", 3)])
PACKET_EVENTS = 1 << 14
TABLE_PLACE_AT = len(VERSION) + 40  # where in the file the IOHeader tells the table's place

Compress = Callable[[bytes], bytes]


class Aedat4Writer(FileWriter):
    """Writes packets of limited size, and remembers of each where it stands."""

    def __init__(self, target: Target, compression: int) -> None:
        super().__init__(target)
        self._compress = _compressor(compression)
        self._packets: list[tuple[int, int, int, int, int]] = []  # place, size, events, first and last time
        self.file.write(VERSION + _io_header(compression, _streams(target, compression)))

    def write(self, events: Events) -> None:
        for first in range(0, events.t_us.size, PACKET_EVENTS):
            part = slice(first, first + PACKET_EVENTS)
            self._packet(events.t_us[part], events.unit[part])

    def close(self) -> None:
        place = self.file.tell()
        self.file.write(self._compress(_table(self._packets)))
        self.file.seek(TABLE_PLACE_AT)
        self.file.write(struct.pack("<q", place))
        super().close()

    def _packet(self, t_us: np.ndarray, unit: np.ndarray) -> None:
        records = np.zeros(t_us.size, EVENT)
        records["t"] = t_us
        records["x"], records["y"], records["on"] = addresses(unit, self.target.shape)
        body = self._compress(_event_packet(records))
        self._packets.append((self.file.tell() + 8, len(body), t_us.size, int(t_us[0]), int(t_us[-1])))
        self.file.write(struct.pack("<ii", 0, len(body)) + body)


def _compressor(compression: int) -> Compress:
    if compression == LZ4:
        import lz4.frame

        return partial(lz4.frame.compress, store_size=False)
    if compression == ZSTD:
        import pyarrow

        return partial(pyarrow.compress, codec="zstd", asbytes=True)
    return bytes


def _event_packet(records: np.ndarray) -> bytes:
    """table EventPacket { elements: [Event]; }, the identifier EVTS: the vector begins at byte 28, its structs at 32."""
    head = struct.pack("<II4s2xHHHiII", 28 + records.nbytes, 16, b"EVTS", 6, 8, 4, 6, 4, records.size)
    return head + records.tobytes()


def _io_header(compression: int, info: bytes) -> bytes:
    """table IOHeader { compression: int32; dataTablePosition: int64; infoNode: string; }, the identifier IOHE."""
    text = info + bytes(1 + -(len(info) + 1) % 4)
    head = struct.pack("<I4s6xHHHHHiiIq", 24, b"IOHE", 10, 24, 4, 12, 8, 10, compression, 16, -1)
    body = head + struct.pack("<II", 0, len(info))
    return struct.pack("<I", len(body) + len(text)) + body + text


def _table(packets: list[tuple[int, int, int, int, int]]) -> bytes:
    """table FileDataTable { Table: [FileDataDefinition]; }, the identifier FTAB.

    table FileDataDefinition { ByteOffset: int64; PacketInfo: {StreamID, Size: int32}; NumElements, TimestampStart, -End: int64; }
    """
    vector_at, n = 28, len(packets)
    vtable_at = vector_at + 4 + 4 * n
    first_at = vtable_at + 14
    first_at += (4 - first_at) % 8  # so that the 64-bit fields, 12 bytes into each table, are aligned
    offsets = [first_at + 48 * k - (vector_at + 4 + 4 * k) for k in range(n)]
    head = struct.pack("<I4s2xHHHiI", 16, b"FTAB", 6, 8, 4, 6, 4) + struct.pack(f"<I{n}I", n, *offsets)
    vtable = struct.pack("<7H", 14, 44, 12, 4, 20, 28, 36)
    tables = [
        struct.pack("<iiiqqqq4x", first_at + 48 * k - vtable_at, 0, size, place, events, first_us, last_us)
        for k, (place, size, events, first_us, last_us) in enumerate(packets)
    ]
    body = head + vtable + bytes(first_at - vtable_at - 14) + b"".join(tables)
    return struct.pack("<I", len(body)) + body


def _streams(target: Target, compression: int) -> bytes:
    """The description of the one stream, as XML."""
    _, height, width = target.shape
    return f"""<dv version="2.0">
    <node name="outInfo" path="/outInfo/">
        <node name="0" path="/outInfo/0/">
            <attr key="compression" type="string">{NAMES[compression]}</attr>
            <attr key="originalModuleName" type="string">spikeline</attr>
            <attr key="originalOutputName" type="string">events</attr>
            <attr key="typeDescription" type="string">Array of events (polarity ON/OFF).</attr>
            <attr key="typeIdentifier" type="string">EVTS</attr>
            <node name="info" path="/outInfo/0/info/">
                <attr key="sizeX" type="int">{width}</attr>
                <attr key="sizeY" type="int">{height}</attr>
                <attr key="source" type="string">spikeline</attr>
            </node>
        </node>
    </node>
</dv>
""".encode()


AEDAT4 = Encoder("aedat4", ".aedat4", partial(Aedat4Writer, compression=LZ4), most=1 << 15)
AEDAT4_ZSTD = Encoder("aedat4_zstd", ".aedat4", partial(Aedat4Writer, compression=ZSTD), most=1 << 15)
AEDAT4_NONE = Encoder("aedat4_none", ".aedat4", partial(Aedat4Writer, compression=NONE), most=1 << 15)
