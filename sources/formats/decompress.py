"""Whole frames of LZ4 and Zstandard, up to a size that fits into memory: a damaged file must not fill it."""

from __future__ import annotations

from typing import Any

MOST_BYTES = 1 << 28  # of a frame, decompressed
LZ4_MOST_RATIO = 255  # a byte of LZ4 makes no more
STEP_BYTES = 1 << 22


def lz4(data: memoryview) -> bytes:
    """The content of an LZ4 frame.

    The room is made beforehand, and little more than it takes: the library's `decompress` lets it grow where a frame does not
    tell its size, and memory that is asked for in vain is given back and taken again from packet to packet; both take long.
    """
    from lz4.frame import create_decompression_context, decompress_chunk

    context, parts, size, whole = create_decompression_context(), [], 0, False
    room = _lz4_room(data)
    while not whole:
        try:
            part, consumed, whole = decompress_chunk(context, data, max_length=min(room, MOST_BYTES + 1 - size))
        except (RuntimeError, MemoryError) as error:
            raise _damaged(error) from None
        data, size, room = data[consumed:], size + len(part), 2 * room
        if size > MOST_BYTES:
            raise ValueError(f"cannot be decompressed to {MOST_BYTES} bytes or fewer")
        if not (part or whole):
            raise ValueError("cannot be decompressed (the frame ends too soon)")
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _lz4_room(data: memoryview) -> int:
    """No fewer bytes than the frame holds, unless it is damaged. Source: LZ4 Frame Format Description 1.6.4."""
    if len(data) < 7:
        return 1 << 16
    flags, most = data[4], 1 << (8 + 2 * max(4, data[5] >> 4 & 7))
    at, after = 7 + 8 * (flags >> 3 & 1) + 4 * (flags & 1), 4 * (flags >> 4 & 1)  # size and dictionary; checksum of a block
    room = 1 << 16
    while at + 4 <= len(data) and (size := int.from_bytes(data[at : at + 4], "little") & 0x7FFFFFFF):
        at, room = at + 4 + size + after, room + most
    return min(room, LZ4_MOST_RATIO * len(data))


def zstd(data: memoryview) -> Any:
    """The content of a Zstandard frame, whether it tells its size or not, as a buffer of bytes."""
    import pyarrow

    told = _zstd_size(data)
    try:
        if 0 < told <= MOST_BYTES:
            return pyarrow.Codec("zstd").decompress(pyarrow.py_buffer(data), told)
        stream, parts, size = pyarrow.CompressedInputStream(pyarrow.BufferReader(pyarrow.py_buffer(data)), "zstd"), [], 0
        while part := stream.read(STEP_BYTES):
            size += len(part)
            if size > MOST_BYTES:
                raise ValueError(f"cannot be decompressed to {MOST_BYTES} bytes or fewer")
            parts.append(part)
        return b"".join(parts)
    except (OSError, MemoryError) as error:
        raise _damaged(error) from None


def _zstd_size(data: memoryview) -> int:
    """The size that the head of a frame tells, or 0. Source: RFC 8878, section 3.1.1.1."""
    if len(data) < 18 or data[:4] != b"\x28\xb5\x2f\xfd":
        return 0
    descriptor = data[4]
    single = descriptor >> 5 & 1
    at = 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3]
    length = (single, 2, 4, 8)[descriptor >> 6]
    return int.from_bytes(data[at : at + length], "little") + (256 if length == 2 else 0)


def _damaged(error: BaseException) -> ValueError:
    return ValueError(f"cannot be decompressed ({' '.join(str(error).split())})")
