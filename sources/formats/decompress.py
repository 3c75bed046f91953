"""Whole frames of LZ4 and Zstandard, up to a size that fits into memory: a damaged file must not fill it."""

from __future__ import annotations

from typing import Any

MOST_BYTES = 1 << 28  # of a frame, decompressed
LZ4_RATIO = 255  # the most that LZ4 can compress
STEP_BYTES = 1 << 22


def lz4(data: memoryview) -> bytes:
    """The content of an LZ4 frame."""
    from lz4.frame import decompress

    told = int.from_bytes(data[6:14], "little") if len(data) > 14 and data[4] & 0x08 else 0
    if told > MOST_BYTES or (not told and len(data) * LZ4_RATIO > MOST_BYTES):
        return _lz4_in_steps(data)
    try:
        return decompress(data)
    except (RuntimeError, MemoryError, EOFError) as error:
        raise _damaged(error) from None


def _lz4_in_steps(data: memoryview) -> bytes:
    from lz4.frame import LZ4FrameDecompressor

    frame, parts, size = LZ4FrameDecompressor(), [], 0
    try:
        while not frame.eof:
            part = frame.decompress(bytes(data), STEP_BYTES)
            data, size = data[:0], size + len(part)
            if size > MOST_BYTES or not (part or frame.eof):
                raise ValueError(f"cannot be decompressed to {MOST_BYTES} bytes or fewer")
            parts.append(part)
    except (RuntimeError, MemoryError, EOFError) as error:
        raise _damaged(error) from None
    return b"".join(parts)


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
