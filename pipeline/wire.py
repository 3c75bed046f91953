"""Packet <-> frames: the only place that trusts bytes, and only after version, sizes and types have been checked.

A message is [topic, header, column frames...]. The header is fixed, little-endian, `HEADER.size` bytes:
magic, version, codec, kind, flags, dtypes, n, stream id, seq, origin_ns, begin_us, end_us, episode, label, lost, barrier, crc32.

codec 0  one frame a column, t_us (n) int64 and unit (n) uint32, without a copy
codec 1  one frame of 8 bytes an event: (n) uint32 time deltas, the first from begin_us, then (n) uint32 units
codec 2  the frame of codec 1, byte-shuffled (all lowest bytes first), as one lz4 block

On streams with values the column value (n) float32 follows. A packet without events has no column frame. What codec 1 cannot
hold (a delta of 2**32 us or more, or below 0) goes as codec 0: the header says what was used.
The crc32 covers the header and all frames after it, not the topic.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

import numpy as np

from pipeline.packet import NO_TIMES, NO_UNITS, NO_VALUES, Format, Packet

Kind = Literal["data", "heartbeat", "end", "format"]
Frame: TypeAlias = bytes | memoryview

MAGIC = b"SPKL"
VERSION = 1
CODECS = (0, 1, 2)
KINDS: tuple[Kind, ...] = ("data", "heartbeat", "end", "format")
LAST, HAS_VALUE, HAS_CRC = 1, 2, 4
DTYPES = {0: b"qI\0", HAS_VALUE: b"qIf"}  # of the decoded columns t_us, unit, value, as in the struct module
HEADER = struct.Struct("<4sHBBB3sIQqqqqqqQqI")
CRC = struct.Struct("<I")
GREATEST_FORMAT_BYTES = 1 << 20
GREATEST_LZ4_RATIO = 255  # an lz4 block cannot hold more bytes than this for each of its own

if sys.byteorder != "little":
    raise ImportError("the wire format is little-endian and this machine is not")


class WireError(ValueError):
    """A message that is not what it should be: what was wanted, what was got."""


@dataclass(slots=True)
class Envelope:
    """What a message says besides the packet.

    kind: data; heartbeat and end, whose seq is that of the last packet sent before; format, which carries `format`.
    stream_id: `stream_id` of the stream's name. seq: the number of the packet on its link, from 0, one more than the one before;
    -1 in a message that comes before any packet.
    origin_ns: CLOCK_MONOTONIC when the source handed the packet out (its machine's clock), ns.
    """

    kind: Kind
    stream_id: int
    seq: int
    origin_ns: int
    format: Format | None = None


def stream_id(name: str) -> int:
    """The 64 bits by which messages name their stream.

    >>> hex(stream_id("camera"))
    '0xdf71266053ddd034'
    """
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def encode(
    packet: Packet, *, topic: bytes, stream_id: int, seq: int, origin_ns: int, codec: int = 0, crc: bool = False
) -> list[Frame]:
    """The frames of a packet. Those of codec 0 are views of its columns: nothing is copied."""
    n, value = packet.n, packet.value
    flags = (LAST if packet.last else 0) | (0 if value is None else HAS_VALUE)
    codec, columns = _encode_columns(packet, codec) if n else (0, [])
    if n and value is not None:
        columns.append(_bytes_of(value))
    try:
        header = HEADER.pack(MAGIC, VERSION, codec, 0, flags | (HAS_CRC if crc else 0), DTYPES[flags & HAS_VALUE], n,
                             stream_id, seq, origin_ns, packet.begin_us, packet.end_us, packet.episode, packet.label,
                             packet.lost, packet.barrier, 0)
    except struct.error as error:
        raise WireError(f"a number of the packet at {packet.begin_us} us does not fit the header: {error}") from None
    return [topic, _sealed(header, columns) if crc else header, *columns]


def encode_heartbeat(*, topic: bytes, stream_id: int, seq: int, origin_ns: int = 0, crc: bool = False) -> list[Frame]:
    """A sign of life. `seq`: that of the last packet sent (-1: none yet), so that a loss at the tail shows."""
    return _encode_other("heartbeat", topic, stream_id, seq, origin_ns, crc)


def encode_end(*, topic: bytes, stream_id: int, seq: int, origin_ns: int = 0, crc: bool = False) -> list[Frame]:
    """The end of a stream. `seq`: that of the last packet sent (-1: none), so that a loss at the tail shows."""
    return _encode_other("end", topic, stream_id, seq, origin_ns, crc)


def encode_format(
    format: Format, *, topic: bytes, stream_id: int, seq: int, origin_ns: int = 0, crc: bool = False
) -> list[Frame]:
    """What the packets of a stream are, as JSON. `seq`: that of the last packet sent (-1: none yet)."""
    text = json.dumps(asdict(format), sort_keys=True, separators=(",", ":")).encode()
    return _encode_other("format", topic, stream_id, seq, origin_ns, crc, text)


def decode(frames: Sequence[Frame]) -> tuple[Envelope, Packet | None]:
    """The envelope of a message, and its packet if it is of kind data. Call `Packet.check` with the stream's format next.

    The packet's columns are read-only views of the frames, copied only where they are not aligned. WireError otherwise.
    """
    if len(frames) < 2:
        raise WireError(f"a message has at least 2 frames (topic, header), got {len(frames)}")
    try:
        (magic, version, codec, kind, flags, dtypes, n, stream, seq, origin_ns,
         begin_us, end_us, episode, label, lost, barrier, crc) = HEADER.unpack(frames[1])
    except struct.error:
        raise _header_error(frames[1]) from None
    if magic != MAGIC or version != VERSION:
        raise _header_error(frames[1])
    if kind >= len(KINDS) or flags > 7:
        raise WireError(f"message kinds are 0 to {len(KINDS) - 1} and flags 0 to 7, got kind {kind} and flags {flags}")
    if flags & HAS_CRC or crc:
        _check_crc(frames, flags, crc)
    if kind:
        return _decode_other(frames, Envelope(KINDS[kind], stream, seq, origin_ns), codec, flags, dtypes, n), None
    if DTYPES[flags & HAS_VALUE] != dtypes or codec > 2:
        raise WireError(f"columns must be {DTYPES[flags & HAS_VALUE]!r} in codec 0, 1 or 2, got {dtypes!r} in codec {codec}")
    t_us, unit, value = _decode_columns(frames, codec, n, bool(flags & HAS_VALUE), begin_us)
    if end_us < begin_us:
        raise WireError(f"a packet's end_us must not lie before its begin_us {begin_us}, got {end_us}")
    packet = Packet(begin_us, end_us, t_us, unit, value, episode, bool(flags & LAST), label, lost, barrier)
    return Envelope("data", stream, seq, origin_ns), packet


def _encode_columns(packet: Packet, codec: int) -> tuple[int, list[Frame]]:
    """The codec used and the frames of t_us and unit; n > 0."""
    if codec not in CODECS:
        raise ValueError(f"codec must be 0, 1 or 2, got {codec!r}")
    words = None if codec == 0 else _delta_words(packet)
    if words is None:
        return 0, [_bytes_of(packet.t_us), _bytes_of(packet.unit)]
    if codec == 1:
        return 1, [words.data]
    import lz4.block

    shuffled = np.ascontiguousarray(words.view(np.uint8).reshape(-1, 4).T)
    return 2, [lz4.block.compress(shuffled.data, store_size=False)]


def _delta_words(packet: Packet) -> np.ndarray | None:
    """(2n,) uint32: the time deltas, then the units; None when a delta does not fit."""
    t_us, n = packet.t_us, packet.n
    first = int(t_us[0]) - packet.begin_us
    deltas = t_us[1:] - t_us[:-1]
    if not 0 <= first < 2**32 or (n > 1 and (deltas.min() < 0 or deltas.max() >= 2**32)):
        return None
    words = np.empty(2 * n, np.uint32)
    words[0] = first
    words[1:n] = deltas
    words[n:] = packet.unit
    return words


def _bytes_of(column: np.ndarray) -> memoryview:
    return column.data if column.flags.c_contiguous else column.copy().data


def _encode_other(
    kind: Kind, topic: bytes, stream_id: int, seq: int, origin_ns: int, crc: bool, body: bytes | None = None
) -> list[Frame]:
    flags = HAS_CRC if crc else 0
    bodies: list[Frame] = [] if body is None else [body]
    try:
        header = HEADER.pack(MAGIC, VERSION, 0, KINDS.index(kind), flags, DTYPES[0], 0, stream_id, seq, origin_ns,
                             0, 0, 0, 0, 0, 0, 0)
    except struct.error as error:
        raise WireError(f"a number of the {kind} message does not fit the header: {error}") from None
    return [topic, _sealed(header, bodies) if crc else header, *bodies]


def _sealed(header: bytes, frames: Sequence[Frame]) -> bytes:
    """The header with the crc32 in its last four bytes."""
    head = header[: -CRC.size]
    return head + CRC.pack(_crc(head, frames))


def _crc(head: Frame, frames: Sequence[Frame]) -> int:
    crc = zlib.crc32(head)
    for frame in frames:
        crc = zlib.crc32(frame, crc)
    return crc


def _check_crc(frames: Sequence[Frame], flags: int, crc: int) -> None:
    got = _crc(memoryview(frames[1])[: -CRC.size], frames[2:]) if flags & HAS_CRC else 0
    if got != crc:
        raise WireError(f"the message is damaged: its checksum should be {crc:08x}, got {got:08x}")


def _header_error(header: Frame) -> WireError:
    """Why the second frame is not a header of this version."""
    head = bytes(memoryview(header).cast("B")[:6])
    if head[:4] != MAGIC[: len(head)]:
        return WireError(f"a message's header begins with {MAGIC!r}, got {head[:4]!r}: this is not a spikeline stream")
    if len(head) == 6 and (version := int.from_bytes(head[4:], "little")) != VERSION:
        return WireError(f"this spikeline reads wire version {VERSION}, got version {version}: run one version on both ends")
    return WireError(f"a header has {HEADER.size} bytes, got {_size(header)}")


def _decode_columns(
    frames: Sequence[Frame], codec: int, n: int, has_value: bool, begin_us: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    wanted = 0 if n == 0 else (1 if codec else 2) + has_value
    if len(frames) != 2 + wanted:
        raise WireError(f"a packet of {n} events in codec {codec} has {2 + wanted} frames, got {len(frames)}")
    if n == 0:
        return NO_TIMES, NO_UNITS, NO_VALUES if has_value else None
    if codec == 0:
        t_us = _column(frames[2], np.int64, n, "t_us")
        unit = _column(frames[3], np.uint32, n, "unit")
    else:
        frame = frames[2] if codec == 1 else _unshuffled(frames[2], 8 * n)
        words = _column(frame, np.uint32, 2 * n, "time deltas and units")
        t_us, unit = np.cumsum(words[:n], dtype=np.int64), words[n:]
        t_us += begin_us
    return t_us, unit, _column(frames[-1], np.float32, n, "value") if has_value else None


def _column(frame: Frame, dtype: type[np.generic], n: int, name: str) -> np.ndarray:
    """The frame as (n,) dtype, copied only if its address is not aligned."""
    try:
        column = np.frombuffer(frame, dtype)
    except ValueError:
        column = NO_TIMES
    if len(column) != n:
        raise WireError(f"the frame of {name} must have {n * np.dtype(dtype).itemsize} bytes, got {_size(frame)}")
    return column if column.flags.aligned else column.copy()


def _unshuffled(frame: Frame, size: int) -> memoryview:
    """The frame of codec 1 from that of codec 2. Its claimed size is believed only as far as lz4 can reach."""
    import lz4.block

    if size > GREATEST_LZ4_RATIO * _size(frame):
        raise WireError(f"an lz4 frame of {_size(frame)} bytes cannot hold the {size} bytes of {size // 8} events")
    try:
        shuffled = lz4.block.decompress(frame, uncompressed_size=size)
    except (lz4.block.LZ4BlockError, ValueError) as error:
        raise WireError(f"the lz4 frame should hold the {size} bytes of {size // 8} events, got a damaged one: {error}") from None
    if len(shuffled) != size:
        raise WireError(f"the lz4 frame should hold the {size} bytes of {size // 8} events, got {len(shuffled)}")
    return np.frombuffer(shuffled, np.uint8).reshape(4, -1).T.copy().data


def _decode_other(frames: Sequence[Frame], envelope: Envelope, codec: int, flags: int, dtypes: bytes, n: int) -> Envelope:
    wanted = 3 if envelope.kind == "format" else 2
    if (len(frames), codec, flags & ~HAS_CRC, dtypes, n) != (wanted, 0, 0, DTYPES[0], 0):
        raise WireError(f"a {envelope.kind} message has {wanted} frames, no events, codec 0 and no flags, "
                        f"got {len(frames)} frames, {n} events, codec {codec} and flags {flags}")
    if envelope.kind == "format":
        envelope.format = _parse_format(frames[2])
    return envelope


def _parse_format(frame: Frame) -> Format:
    if _size(frame) > GREATEST_FORMAT_BYTES:
        raise WireError(f"a stream's format has at most {GREATEST_FORMAT_BYTES} bytes, got {_size(frame)}")
    try:
        fields = json.loads(bytes(frame))
        _check_format_fields(fields)
        return Format(**fields)
    except (ValueError, TypeError, RecursionError) as error:
        raise WireError(f"the stream's format cannot be understood: {error}") from None


def _check_format_fields(fields: Any) -> None:
    """JSON may hold anything: only whole shapes, texts and numbers where Format takes them."""
    if not isinstance(fields, dict):
        raise ValueError(f"it must be an object, got {type(fields).__name__}")
    shape, names = fields.get("shape"), fields.get("names", [])
    if not isinstance(shape, list) or not all(type(length) is int for length in shape):
        raise ValueError("shape must be a list of whole numbers")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("names must be a list of texts")
    if type(fields.get("tick_us")) not in (int, type(None)):
        raise ValueError("tick_us must be a whole number or null")
    for key in ("rate_hz", "exit_at"):
        if type(fields.get(key)) not in (int, float, type(None)):
            raise ValueError(f"{key} must be a number or null")


def _size(frame: Frame) -> int:
    return memoryview(frame).nbytes
