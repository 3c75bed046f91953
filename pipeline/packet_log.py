"""The recording of a stream: packets in, an append-only file out, and back, exactly.

File (version 1): the 8 bytes of MAGIC, then records. A record is 12 bytes - the size of its body, the crc32 of these 4 bytes, the
crc32 of the body (uint32 each, little-endian) - and the body: the number of frames (uint8), the size of each (uint32), the frames
of a wire message (pipeline.wire) without its topic. The first message tells the stream's format, all others are packets in
codec 2. Nothing is ever written over, so a process that dies leaves whole records and at most one half one at the end.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline import wire
from pipeline.packet import Format, Packet

MAGIC = b"SPKLREC\x01"
SUFFIX = ".spkl"
HEAD = struct.Struct("<III")
GREATEST_BODY = (1 << 32) - 1


class Entry(NamedTuple):
    """A packet of a recording, and where the next one begins."""

    packet: Packet
    next_offset: int  # bytes


class PacketLog:
    """A recording to read. `tail_bytes`: of half a record at the end, which a killed process leaves; known once all is read."""

    def __init__(self, path: Path | str) -> None:
        self.path, self.tail_bytes = Path(path), 0
        try:
            self._file = open(path, "rb")  # noqa: SIM115 (closed by close)
        except OSError as error:
            raise ValueError(f"{path}: {(error.strerror or str(error)).lower()}") from None
        self.size = os.fstat(self._file.fileno()).st_size
        try:
            self.format, self.stream, self.data_offset = self._open()
        except BaseException:
            self.close()
            raise

    def entries(self, offset: int | None = None) -> Iterator[Entry]:
        """The packets from a byte offset on, up to the last whole one. ValueError where the file is damaged."""
        at = self.data_offset if offset is None else offset
        while (record := self._record(at)) is not None:
            frames, past = record
            _, packet = self._decoded(frames, at)
            if packet is None:
                raise ValueError(f"{self.path}: the record at byte {at} is no packet: the file is damaged")
            try:
                packet.check(self.format)
            except ValueError as error:
                raise ValueError(f"{self.path}: the packet at byte {at}: {error}") from None
            at = past
            yield Entry(packet, at)

    def close(self) -> None:
        self._file.close()

    def _open(self) -> tuple[Format, str, int]:
        magic = self._file.read(len(MAGIC))
        if magic[:7] != MAGIC[:7]:
            raise ValueError(f"{self.path}: not a recording of packets: it begins with {magic!r}, wanted {MAGIC!r}")
        if magic != MAGIC:
            raise ValueError(f"{self.path}: a recording of version {magic[7:].hex() or 'none'}: this spikeline reads version 01")
        record = self._record(len(MAGIC))
        if record is None:
            raise ValueError(f"{self.path}: cut off in its head, at byte {self.size}")
        frames, past = record
        envelope, _ = self._decoded(frames[:2], len(MAGIC))
        if envelope.format is None:
            raise ValueError(f"{self.path}: its first record does not tell the stream's format: the file is damaged")
        stream = bytes(frames[2]).decode("utf-8", "replace") if len(frames) > 2 else ""
        return envelope.format, stream, past

    def _record(self, at: int) -> tuple[list[memoryview], int] | None:
        """The frames of the record at a byte offset and where it ends; None at the end of what is whole."""
        self._file.seek(at)
        head = self._file.read(HEAD.size)
        self.tail_bytes = self.size - at
        if len(head) < HEAD.size:
            return None
        size, size_crc, body_crc = HEAD.unpack(head)
        if zlib.crc32(head[:4]) != size_crc:
            raise ValueError(f"{self.path}: damaged at byte {at}: a record's size does not match its checksum")
        if size > self.size - at - HEAD.size:
            return None
        body = self._file.read(size)
        if len(body) < size or zlib.crc32(body) != body_crc:
            raise ValueError(f"{self.path}: damaged at byte {at}: a record does not match its checksum")
        return self._frames(body, at), at + HEAD.size + size

    def _frames(self, body: bytes, at: int) -> list[memoryview]:
        count = body[0] if body else 0
        past = 1 + 4 * count
        sizes = struct.unpack_from(f"<{count}I", body, 1) if len(body) >= past else ()
        if not count or past + sum(sizes) != len(body):
            raise ValueError(f"{self.path}: damaged at byte {at}: a record's frames do not fill it")
        frames = []
        for size in sizes:
            frames.append(memoryview(body)[past : past + size])
            past += size
        return frames

    def _decoded(self, frames: Sequence[memoryview], at: int) -> tuple[wire.Envelope, Packet | None]:
        try:
            return wire.decode([b"", *frames])
        except wire.WireError as error:
            raise ValueError(f"{self.path}: the record at byte {at}: {error}") from None


class PacketLogWriter:
    """Appends packets to a recording: a new one (`offset` None: a file that stands there is replaced), or one that is cut
    back to `offset` bytes and gone on with. Barriers are not recorded: they belong to the run, not to the stream."""

    def __init__(self, path: Path, format: Format, stream: str, offset: int | None = None) -> None:
        self.path, self.offset = path, 0
        flags = os.O_WRONLY | os.O_CLOEXEC
        self._file = os.open(path, flags | os.O_CREAT | os.O_TRUNC if offset is None else flags, 0o666)
        if offset is None:
            frames = wire.encode_format(format, topic=b"", stream_id=wire.stream_id(stream), seq=-1, origin_ns=0)
            self._append(MAGIC + _record([*frames[1:], stream.encode()]))
            return
        size = os.fstat(self._file).st_size
        if size < offset:
            os.close(self._file)
            raise ValueError(f"{path} has {size} bytes, but the checkpoint holds its first {offset} as written: "
                             "put the whole file back, or run without --resume")
        os.ftruncate(self._file, offset)
        os.lseek(self._file, offset, os.SEEK_SET)
        self.offset = offset

    def write(self, packet: Packet) -> None:
        """Hand the packet to the operating system: it survives the death of this process."""
        if packet.barrier >= 0:
            packet = Packet(packet.begin_us, packet.end_us, packet.t_us, packet.unit, packet.value,
                            packet.episode, packet.last, packet.label, packet.lost)
        frames = wire.encode(packet, topic=b"", stream_id=0, seq=0, origin_ns=0, codec=2)
        self._append(_record(frames[1:]))

    def to_disk(self) -> None:
        """Return once all packets so far survive the loss of power too."""
        os.fsync(self._file)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _append(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            written = os.write(self._file, view)
            self.offset += written
            view = view[written:]


def _record(frames: Sequence[wire.Frame]) -> bytes:
    sizes = [memoryview(frame).nbytes for frame in frames]
    body = b"".join([bytes([len(frames)]), struct.pack(f"<{len(frames)}I", *sizes), *frames])
    if len(body) > GREATEST_BODY:
        raise ValueError(f"a packet of {len(body)} bytes cannot be recorded: shorten packet_ms or max_events of the source")
    size = struct.pack("<I", len(body))
    return HEAD.pack(len(body), zlib.crc32(size), zlib.crc32(body)) + body


def part_path(path: Path, part: int) -> Path:
    """The file of one part of a recording that rotates.

    >>> part_path(Path("out/run.spkl"), 3).name
    'run-00003.spkl'
    """
    return path.with_name(f"{path.stem}-{part:05d}{path.suffix}")


def parts_of(path: Path) -> list[Path]:
    """The files of a recording, in order: the one of that name, or the parts that rotation made."""
    if path.exists():
        return [path]
    parts: list[Path] = []
    while part_path(path, len(parts)).exists():
        parts.append(part_path(path, len(parts)))
    if not parts:
        raise ValueError(f"{path}: no such file, nor {part_path(path, 0).name}")
    return parts
