"""AEDAT 3.1: a header of # lines, then packets of one type of event each, the lower byte first.

Polarity events come out; frames, inertial data and other types are passed over and counted, special events likewise, those of
external inputs as triggers. The 31 bits of time of an event are added to the packet's count of their overflows.
Source: iniVation, "AEDAT file formats", 3.1; the numbers of types and special events: libcaer, events/common.h and special.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

import numpy as np

from sources.cut import Events
from sources.formats.aedat_header import camera_of, read_aedat_header
from sources.formats.header import TRIGGER_CHANNELS, Chunk, Decoder, Header, Peek, RecordingFormat, camera_geometry
from sources.formats.packets import as_array, decode_packets, outside
from sources.kernels import position as slot

HEAD = struct.Struct("<hhiiiiii")  # type, source, bytes of an event, offset of its time, overflows, capacity, events, valid ones
SPECIAL, POLARITY, FRAME, IMU6, IMU9 = 0, 1, 2, 3, 4
TYPES = 14
MOST = 1 << 15
TRIGGERS = {  # by number of the special event: edge and channel; pulses are rising edges of channels of their own
    2: (1, 0), 3: (0, 0), 6: (1, 1), 7: (0, 1), 9: (1, 2), 10: (0, 2), 12: (1, 3), 13: (0, 3), 14: (1, 4), 15: (0, 4),
    16: (1, 5), 17: (0, 5), 4: (1, 8), 8: (1, 9), 11: (1, 10),
}


def recognise(peek: Peek) -> Header | None:
    found = read_aedat_header(peek)
    if not found.version.startswith("3"):
        return None
    if not found.whole:
        raise ValueError(f"{peek.path}: cut off in its header, at byte {peek.size}")
    if found.version != "3.1":
        raise ValueError(f"{peek.path}: an AEDAT file of version {found.version}: of versions 3, only 3.1 can be read")
    encoding = found.fields.get("format", "RAW")
    if encoding.upper() != "RAW":
        raise ValueError(f"{peek.path}: its packets are encoded as {encoding}: of AEDAT 3.1, only RAW can be read")
    camera = camera_of(found.chip)
    if not camera and not peek.geometry:
        named = f"recorded by a {found.chip}, whose geometry is not known" if found.chip else "the header names no camera"
        raise ValueError(f"{peek.path}: {named}: set width and height")
    declared = (camera.width, camera.height) if camera else None
    shape, geometry_from = camera_geometry(peek, declared, (1, 1), MOST)
    details: dict[str, Any] = {"version": found.version, "chip": found.chip}
    return Header(peek.path, "aedat3", peek.size, found.offset, shape, geometry_from, details=details, streams=("triggers",))


def load(header: Header) -> Decoder:
    from sources.kernels.aedat import decode_aedat3, decode_aedat3_triggers

    units = np.full(max(TRIGGERS) + 1, -1, np.int64)
    for number, (edge, channel) in TRIGGERS.items():
        units[number] = edge * TRIGGER_CHANNELS + channel

    def decode(header: Header, start: np.ndarray | None) -> Iterator[Chunk]:
        return decode_packets(header, start, header.size, partial(_Packets, decode_aedat3, decode_aedat3_triggers, units))

    return decode


class _Packets:
    """The packets of AEDAT 3.1."""

    head_bytes = HEAD.size
    counts: ClassVar = {"triggers": slot.TRIGGERS, "frames": slot.FRAMES, "imu_samples": slot.IMU, "special_events": slot.SPECIAL,
              "clock_resets": slot.RESETS, "invalid": slot.INVALID, "other_events": slot.UNKNOWN}

    def __init__(self, events_kernel: Any, triggers_kernel: Any, units: np.ndarray, header: Header) -> None:
        self._events_kernel, self._triggers_kernel, self._units, self._header = events_kernel, triggers_kernel, units, header

    def measure(self, head: bytes, position: np.ndarray) -> tuple[int, bool]:
        kind, _, event_bytes, time_offset, overflows, capacity, events, _ = HEAD.unpack(head)
        if not (0 <= kind < 128 and event_bytes > 0 and 0 <= events <= capacity and overflows >= 0):
            raise ValueError(f"cannot be of type {kind} with {events} events of {event_bytes} bytes, of {capacity}")
        wanted = kind in (POLARITY, SPECIAL)
        if wanted and (event_bytes != 8 or time_offset != 4):
            raise ValueError(f"has events of {event_bytes} bytes with the time at byte {time_offset}, where 8 and 4 are wanted")
        if kind == POLARITY and self._header.stream != "events":
            wanted = False
        elif not wanted:
            place = slot.FRAMES if kind == FRAME else slot.IMU if kind in (IMU6, IMU9) else slot.UNKNOWN
            position[place] += events
        return event_bytes * capacity, wanted

    def decode(self, head: bytes, body: memoryview, position: np.ndarray) -> Events | None:
        kind, _, _, _, overflows, _, events, _ = HEAD.unpack(head)
        if not events:
            return None
        records, base_us = as_array(body, "<u4", 2 * events), overflows << 31
        t_us, unit = np.empty(events, np.int64), np.empty(events, np.uint32)
        if kind == POLARITY:
            _, height, width = self._header.shape
            n = self._events_kernel(records, base_us, width, height, position, t_us, unit)
            if position[slot.FAULT_X] >= 0:
                raise ValueError(outside(position, self._header))
            return Events(t_us[:n], unit[:n])
        return self._special(records, base_us, position, t_us, unit)

    def _special(
        self, records: np.ndarray, base_us: int, position: np.ndarray, t_us: np.ndarray, unit: np.ndarray
    ) -> Events | None:
        """The triggers, or where another stream is wanted their count alone."""
        wanted = self._header.stream == "triggers"
        kept = position if wanted else position.copy()
        n = self._triggers_kernel(records, base_us, self._units, 1, 1, kept, t_us, unit)
        position[slot.TRIGGERS] += n
        if not wanted:
            position[[slot.RESETS, slot.SPECIAL, slot.INVALID]] = kept[[slot.RESETS, slot.SPECIAL, slot.INVALID]]
        return Events(t_us[:n], unit[:n]) if wanted else None


AEDAT3 = RecordingFormat("aedat3", recognise, load)
