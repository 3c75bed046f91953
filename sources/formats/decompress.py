"""Whole frames of LZ4 and Zstandard, up to a size that fits into memory: a damaged file must not fill it."""

from __future__ import annotations

from typing import Any

MOST_BYTES = 1 << 28  # of a frame, decompressed
LIKELY_RATIO = 8  # of packets of events, for the first one; where it is more, another step follows
SLACK_BYTES = 1 << 10
STEP_BYTES = 1 << 22


class Lz4:
    """Gives the content of one LZ4 frame after the other.

    Room for a frame is made at once, as much as the longest one so far took and a little more: the library's `decompress` lets it
    grow where a frame does not tell its size, and memory that is asked for in vain is given back and taken again; both take long.
    """

    def __init__(self) -> None:
        from lz4 import frame

        self._frame, self._longest = frame, 0

    def __call__(self, data: memoryview) -> bytes:
        context, parts, size, whole = self._frame.create_decompression_context(), [], 0, False
        room = self._longest + SLACK_BYTES if self._longest else max(1 << 16, LIKELY_RATIO * len(data))
        while not whole:
            try:
                part, consumed, whole = self._frame.decompress_chunk(context, data, max_length=min(room, MOST_BYTES + 1 - size))
            except (RuntimeError, MemoryError) as error:
                raise _damaged(error) from None
            data, size, room = data[consumed:], size + len(part), 2 * room
            if size > MOST_BYTES:
                raise ValueError(f"cannot be decompressed to {MOST_BYTES} bytes or fewer")
            if not (part or whole):
                raise ValueError("cannot be decompressed (the frame ends too soon)")
            parts.append(part)
        self._longest = max(self._longest, size)
        return parts[0] if len(parts) == 1 else b"".join(parts)


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
