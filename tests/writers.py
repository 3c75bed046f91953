"""Independent writers of the recording formats: events (t_us, x, y, polarity) go in, the bytes of a file come out.

Plain Python after the formats' descriptions; they share nothing with the decoders.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

AddressEvent = tuple[int, int, int, int]  # t_us, x, y, polarity

EVT2_HEADER = b"% date 2020-09-14 09:03:25\n% evt 2.0\n% geometry 64x48\n"
EVT21_HEADER = b"% evt 2.1\n% format EVT21;height=48;width=64\n% end\n"
EVT3_HEADER = b"% evt 3.0\n% format EVT3;height=48;width=64\n% end\n"
DAT_HEADER = b"% Height 48\n% Version 2\n% Width 64\n"
DAT_V1_HEADER = b"% Data file containing Event2d events.\n% Version 1\n"


def nmnist(events: Iterable[AddressEvent]) -> bytes:
    return b"".join(bytes([x, y, p << 7 | t >> 16 & 0x7F, t >> 8 & 0xFF, t & 0xFF]) for t, x, y, p in events)


def dat(events: Iterable[AddressEvent], header: bytes = DAT_HEADER, record_type: int = 12) -> bytes:
    records = [struct.pack("<II", t & 0xFFFFFFFF, p << 28 | y << 14 | x) for t, x, y, p in events]
    return header + bytes([record_type, 8]) + b"".join(records)


def dat_v1(events: Iterable[AddressEvent], header: bytes = DAT_V1_HEADER, record_type: int = 0) -> bytes:
    records = [struct.pack("<II", t & 0xFFFFFFFF, p << 17 | y << 9 | x) for t, x, y, p in events]
    return header + bytes([record_type, 8]) + b"".join(records)


def evt2(events: Iterable[AddressEvent], header: bytes = EVT2_HEADER) -> bytes:
    words, high = [], None
    for t, x, y, p in events:
        if t >> 6 != high:
            high = t >> 6
            words.append(0x8 << 28 | high & 0xFFFFFFF)
        words.append(p << 28 | (t & 0x3F) << 22 | x << 11 | y)
    return header + struct.pack(f"<{len(words)}I", *words)


def evt21(events: Sequence[AddressEvent], header: bytes = EVT21_HEADER, legacy: bool = False) -> bytes:
    """Events of one time, row and polarity, in reach of 32 columns, stand in one word; legacy: its upper half first."""
    halves, high, at = [], None, 0
    while at < len(events):
        t, x, y, p = events[at]
        if t >> 6 != high:
            high = t >> 6
            halves += [0, 0x8 << 28 | high & 0xFFFFFFF]
        run = _run(events, at)
        halves += [sum(1 << other - x for _, other, _, _ in events[at : at + run]), p << 28 | (t & 0x3F) << 22 | x << 11 | y]
        at += run
    if legacy:
        halves[::2], halves[1::2] = halves[1::2], halves[::2]
    return header + struct.pack(f"<{len(halves)}I", *halves)


def evt3(events: Sequence[AddressEvent], header: bytes = EVT3_HEADER, vectors: bool = True) -> bytes:
    """Runs of columns of one time, row and polarity are written as vectors of 12, 12 and 8 if `vectors`."""
    words: list[int] = []
    high = low = row = None
    at = 0
    while at < len(events):
        t, x, y, p = events[at]
        if t >> 12 != high:
            high = t >> 12
            words.append(0x8000 | high & 0xFFF)
        if t & 0xFFF != low:
            low = t & 0xFFF
            words.append(0x6000 | low)
        if y != row:
            row = y
            words.append(y)
        run = _run(events, at) if vectors else 1
        words += [0x2000 | p << 11 | x] if run == 1 else _vectors(events[at : at + run])
        at += run
    return header + evt3_words(*words)


def evt3_words(*words: int) -> bytes:
    return struct.pack(f"<{len(words)}H", *words)


def _run(events: Sequence[AddressEvent], at: int) -> int:
    """How many events from `at` on fit one group of vectors: the same but for ever greater columns, in reach of 32."""
    t, first, y, p = events[at]
    run, x = 1, first
    while at + run < len(events):
        other = events[at + run]
        if (other[0], other[2], other[3]) != (t, y, p) or not x < other[1] < first + 32:
            break
        x = other[1]
        run += 1
    return run


def _vectors(run: Sequence[AddressEvent]) -> list[int]:
    _, first, _, p = run[0]
    mask = sum(1 << x - first for _, x, _, _ in run)
    words = [0x3000 | p << 11 | first]
    for kind, bits in ((0x4000, 12), (0x4000, 12), (0x5000, 8)):
        words.append(kind | mask & (1 << bits) - 1)
        mask >>= bits
        if not mask:
            break
    return words
