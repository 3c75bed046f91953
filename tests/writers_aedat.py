"""Independent writers of AEDAT 1.0, 2.0, 3.1 and 4: events (t_us, x, y, polarity) go in, the bytes of a file come out.

Plain Python after the formats' descriptions; they share nothing with the decoders. Events have y counting down from the top row:
formats that count otherwise are written so that this comes back.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence

from tests.writers import AddressEvent

DVS128 = b"ch.unizh.ini.jaer.chip.retina.DVS128"
DAVIS240 = b"eu.seebetter.ini.chips.davis.DAVIS240C"
DAVIS346 = b"eu.seebetter.ini.chips.davis.Davis346blue"
AEDAT2_HEADER = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# AEChip: %s\r\n#End Of ASCII Header\r\n"
AEDAT3_HEADER = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: %s\r\n#Start-Time: 2016-01-01 00:00:00 (TZ+0100)\r\n#!END-HEADER\r\n"
Trigger = tuple[int, int]  # t_us, number of the kind


def aedat1(events: Iterable[AddressEvent], header: bytes = b"#!AER-DAT1.0\r\n") -> bytes:
    return header + b"".join(struct.pack(">HI", _dvs128(x, y, p), t & 0xFFFFFFFF) for t, x, y, p in events)


def aedat2_dvs128(events: Iterable[AddressEvent], header: bytes = AEDAT2_HEADER % DVS128) -> bytes:
    return header + aedat2_words((_dvs128(x, y, p), t) for t, x, y, p in events)


def aedat2_davis240(events: Iterable[AddressEvent], header: bytes = AEDAT2_HEADER % DAVIS240) -> bytes:
    return header + aedat2_words((179 - y << 22 | 239 - x << 12 | p << 11, t) for t, x, y, p in events)


def aedat2_davis346(events: Iterable[AddressEvent], header: bytes = AEDAT2_HEADER % DAVIS346) -> bytes:
    return header + aedat2_words((259 - y << 22 | 345 - x << 12 | p << 11, t) for t, x, y, p in events)


def aedat2_words(words: Iterable[tuple[int, int]]) -> bytes:
    """Addresses and times."""
    return b"".join(struct.pack(">II", address, t & 0xFFFFFFFF) for address, t in words)


def _dvs128(x: int, y: int, p: int) -> int:
    return 127 - y << 8 | 127 - x << 1 | 1 - p


def aedat3(events: Sequence[AddressEvent], header: bytes = AEDAT3_HEADER % b"DVS128", packet_events: int = 5) -> bytes:
    """A packet ends where it is full, and where the upper bits of the time change."""
    packets = []
    for part in _parts(events, packet_events, lambda event: event[0] >> 31):
        records = [(x << 17 | y << 2 | p << 1 | 1, t & 0x7FFFFFFF) for t, x, y, p in part]
        packets.append(aedat3_packet(1, records, part[0][0] >> 31))
    return header + b"".join(packets)


def aedat3_packet(kind: int, records: Sequence[tuple[int, int]], overflows: int = 0, event_bytes: int = 8) -> bytes:
    """Records of four bytes of data and four of time, filled up to event_bytes."""
    count = len(records)
    head = struct.pack("<hhiiiiii", kind, 1, event_bytes, 4, overflows, count, count, count)
    return head + b"".join(struct.pack("<Ii", data, t).ljust(event_bytes, b"\x00") for data, t in records)


def aedat3_specials(triggers: Iterable[Trigger]) -> bytes:
    return aedat3_packet(0, [(number << 1 | 1, t) for t, number in triggers])


def _parts(events: Sequence[AddressEvent], most: int, key: Callable[[AddressEvent], int]) -> list[list[AddressEvent]]:
    parts: list[list[AddressEvent]] = []
    for event in events:
        if not parts or len(parts[-1]) == most or key(parts[-1][0]) != key(event):
            parts.append([])
        parts[-1].append(event)
    return parts


def unchanged(data: bytes) -> bytes:
    return data


class Aedat4:
    """A file of streams 0 (events), 1 (frames), 2 (inertial data), 3 (triggers), its packets in the order of the calls."""

    def __init__(
        self, compress: Callable[[bytes], bytes] = unchanged, compression: int = 0, size: tuple[int, int] = (64, 48)
    ) -> None:
        self._compress, self._compression, self._size = compress, compression, size
        self._packets = b""

    def packet(self, stream: int, content: bytes) -> Aedat4:
        body = self._compress(content)
        self._packets += struct.pack("<ii", stream, len(body)) + body
        return self

    def events(self, events: Sequence[AddressEvent]) -> Aedat4:
        elements = b"".join(struct.pack("<qHHBxxx", t, x, y, p) for t, x, y, p in events)
        return self.packet(0, _packet(b"EVTS", len(events), elements))

    def triggers(self, triggers: Sequence[Trigger]) -> Aedat4:
        """A vector of offsets, then tables, each after its own list of fields; the default source (0) is not written."""
        offsets = b"".join(struct.pack("<I", 4 * (len(triggers) - i) + 32 * i + 8) for i in range(len(triggers)))
        tables = b"".join(
            struct.pack("<HHHHixxxxqbxxxxxxx", 8, 24, 8, 16 if source else 0, 8, t, source) for t, source in triggers)
        return self.packet(3, _packet(b"TRIG", len(triggers), offsets + tables))

    def frame(self) -> Aedat4:
        return self.packet(1, _packet(b"FRME", 3, b"abc"))

    def imu(self) -> Aedat4:
        return self.packet(2, _packet(b"IMUS", 0, b""))

    def file(self, closed: bool = True) -> bytes:
        """closed: with the place of the table of packets in the header, and the table (none that could be read) at the end."""
        kinds = ("EVTS", "FRME", "IMUS", "TRIG")
        info = _info(kinds, self._size)
        start = len(_io_header(self._compression, -1, info))
        head = _io_header(self._compression, start + len(self._packets) if closed else -1, info)
        return head + self._packets + (b"no table of packets" if closed else b"")


def _packet(kind: bytes, count: int, elements: bytes) -> bytes:
    """A table whose one field is a vector, after its size: root at 20, list of fields at 14, vector at 28."""
    content = struct.pack("<I4sHHHHiII", 16, kind, 0, 6, 8, 4, 6, 4, count) + elements
    return struct.pack("<I", len(content)) + content


def _info(kinds: Sequence[str], size: tuple[int, int]) -> bytes:
    nodes = ""
    for number, kind in enumerate(kinds):
        attributes = "".join(f'<attr key="{key}" type="int">{n}</attr>' for key, n in zip(("sizeX", "sizeY"), size, strict=True))
        nodes += (f'<node name="{number}" path="/outInfo/{number}/"><attr key="typeIdentifier" type="string">{kind}</attr>'
                  f'<node name="info" path="/info/">{attributes if kind in ("EVTS", "FRME") else ""}</node></node>')
    return f'<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">{nodes}</node></dv>'.encode()


def _io_header(compression: int, table_at: int, info: bytes) -> bytes:
    """Fields: compression (int), place of the table (long), description (text)."""
    table = struct.pack("<iiqI", 12, compression, table_at, 4)
    head = struct.pack("<I4sxxxxHHHHHxx", 24, b"IOHE", 10, 20, 4, 8, 16)
    content = head + table + struct.pack("<I", len(info)) + info + b"\x00"
    return b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(content)) + content


def aedat4(events: Sequence[AddressEvent], compress: Callable[[bytes], bytes] = unchanged, compression: int = 0,
           packet_events: int = 5, closed: bool = True) -> bytes:
    file = Aedat4(compress, compression)
    for at in range(0, len(events), packet_events):
        file.events(events[at : at + packet_events])
    return file.file(closed)
