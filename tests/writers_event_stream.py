"""Independent writers of Event Stream files, versions 1 and 2: events go in, the bytes of a file come out.

Plain Python after the descriptions; they share nothing with the decoders.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from tests.writers import AddressEvent

ColorEvent = tuple[int, int, int, int, int, int]  # t_us, x, y, red, green, blue
KINDS_V1 = {"dvs": 0, "atis": 1, "color": 3}
KINDS_V2 = {"generic": 0, "dvs": 1, "atis": 2, "color": 4}


def header_v1(kind: str) -> bytes:
    return b"Event Stream" + bytes([1, 0, KINDS_V1[kind]])


def header_v2(kind: str, width: int = 64, height: int = 48) -> bytes:
    return b"Event Stream" + bytes([2, 0, 0, KINDS_V2[kind]]) + (b"" if kind == "generic" else struct.pack("<HH", width, height))


def dvs_v1(events: Iterable[AddressEvent]) -> bytes:
    def pack(dt: int, x: int, y: int, p: int) -> bytes:
        return (dt | x << 4 | y << 14 | p << 23).to_bytes(3, "little")

    return header_v1("dvs") + _stream(events, pack, 15, lambda times: b"\xff" * (times // 15) + _short(times % 15, 4))


def atis_v1(events: Iterable[AddressEvent], crossing: int = 0) -> bytes:
    def pack(dt: int, x: int, y: int, p: int) -> bytes:
        return (dt | x << 5 | y << 14 | crossing << 22 | p << 23).to_bytes(3, "little")

    return header_v1("atis") + _stream(events, pack, 31, lambda times: b"\xff" * (times // 7) + _short(times % 7, 5))


def _short(times: int, bits: int) -> bytes:
    return bytes([times << bits | (1 << bits) - 1]) if times else b""


def dvs(events: Iterable[AddressEvent]) -> bytes:
    def pack(dt: int, x: int, y: int, p: int) -> bytes:
        return struct.pack("<BHH", dt << 1 | p, x, y)

    return header_v2("dvs") + _stream(events, pack, 127, lambda times: b"\xff" * times)


def atis(events: Iterable[AddressEvent], crossing: int = 0) -> bytes:
    """crossing: 1 for threshold crossings, 0 for changes of contrast."""

    def pack(dt: int, x: int, y: int, p: int) -> bytes:
        return struct.pack("<BHH", dt << 2 | p << 1 | crossing, x, y)

    def overflow(times: int) -> bytes:
        return b"\xff" * (times // 3) + (bytes([0xFC | times % 3]) if times % 3 else b"")

    return header_v2("atis") + _stream(events, pack, 63, overflow)


def color(events: Iterable[ColorEvent]) -> bytes:
    def pack(dt: int, x: int, y: int, red: int, green: int, blue: int) -> bytes:
        return struct.pack("<BHHBBB", dt, x, y, red, green, blue)

    return header_v2("color") + _stream(events, pack, 254, lambda times: b"\xff" * times)


def color_v1(events: Iterable[ColorEvent]) -> bytes:
    def pack(dt: int, x: int, y: int, red: int, green: int, blue: int) -> bytes:
        return (dt | x << 7 | y << 16).to_bytes(3, "little") + bytes([red, green, blue])

    return header_v1("color") + _stream(events, pack, 127, lambda times: b"\xff" * times)


def generic(events: Iterable[tuple[int, bytes]]) -> bytes:
    def pack(dt: int, data: bytes) -> bytes:
        size, rest = [], len(data)
        while True:
            size.append((rest & 0x7F) << 1 | (rest > 0x7F))
            rest >>= 7
            if not rest:
                return bytes([dt, *size]) + data

    return header_v2("generic") + _stream(events, pack, 254, lambda times: b"\xff" * times)


def _stream(events: Iterable[tuple], pack: Callable[..., bytes], longest: int, overflow: Callable[[int], bytes]) -> bytes:
    """overflow(n): the bytes for n times the longest silence that an event can tell."""
    content, before = b"", 0
    for t, *rest in events:
        times, dt = divmod(t - before, longest)
        content += overflow(times) + pack(dt, *rest)
        before = t
    return content
