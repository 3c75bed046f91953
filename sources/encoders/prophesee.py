"""Prophesee RAW (EVT 2.0 and 3.0) and DAT version 2, written.

RAW holds times as a counter that wraps (every 16.777216 s in EVT3, every 17,179.869184 s in EVT2): a recording may last any time,
but one that begins later than the first wrap is stored from its first event on, and the header's line `% t0_us` tells what was
taken off. DAT holds 32 bits of us: 4294.967296 s.
Source: Prophesee, Metavision SDK documentation, "EVT 2.0 format", "EVT 3.0 format", "DAT file format".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sources.cut import Events
from sources.encoders.writer import Encoder, FileWriter, Target, TimeTooLate, addresses

ROOM = 1 << 16  # words written at a time


class RawWriter(FileWriter):
    """A percent header, and then the words that a kernel makes."""

    def __init__(self, target: Target, header: bytes, kernel: Callable[..., int], state_length: int, item: str) -> None:
        super().__init__(target)
        self._kernel, self._words = kernel, np.empty(ROOM, item)
        self._state = np.full(state_length, -1, np.int64)
        self.file.write(header)

    def write(self, events: Events) -> None:
        _, height, width = self.target.shape
        state, words = self._state, self._words
        state[0] = 0
        while state[0] < events.t_us.size:
            n = self._kernel(events.t_us, events.unit, width, height, state, words)
            self.file.write(words[:n].data)


class DatWriter(FileWriter):
    """A percent header, the type and size of a record, and then the records."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        _, height, width = target.shape
        lines = ["Data file containing CD events.", "Version 2", f"Width {width}", f"Height {height}", *_t0(target)]
        self.file.write("".join(f"% {line}\n" for line in lines).encode() + bytes([12, 8]))

    def write(self, events: Events) -> None:
        if events.t_us.size and events.t_us[-1] >= 1 << 32:
            raise TimeTooLate(f"dat holds times below 4294.967296 s, got {events.t_us[-1] / 1e6:.6f} s")
        x, y, on = (column.astype(np.uint32) for column in addresses(events.unit, self.target.shape))
        records = np.empty((events.t_us.size, 2), "<u4")
        records[:, 0] = events.t_us
        records[:, 1] = on << np.uint32(28) | y << np.uint32(14) | x
        self.file.write(records.data)


def _evt3(target: Target) -> RawWriter:
    from sources.kernels import encode_evt3 as kernel

    _, height, width = target.shape
    lines = ["evt 3.0", f"format EVT3;height={height};width={width}", f"geometry {width}x{height}", *_t0(target), "end"]
    return RawWriter(target, "".join(f"% {line}\n" for line in lines).encode(), kernel.encode, kernel.STATE_LENGTH, "<u2")


def _evt2(target: Target) -> RawWriter:
    from sources.kernels import encode_evt2 as kernel

    _, height, width = target.shape
    lines = ["evt 2.0", f"format EVT2;height={height};width={width}", f"geometry {width}x{height}", *_t0(target), "end"]
    return RawWriter(target, "".join(f"% {line}\n" for line in lines).encode(), kernel.encode, kernel.STATE_LENGTH, "<u4")


def _t0(target: Target) -> list[str]:
    return [f"t0_us {target.t0_us}"] if target.t0_us else []


EVT3 = Encoder("evt3", ".raw", _evt3, first_us=1 << 24, most=2048, keeps_t0=True)
EVT2 = Encoder("evt2", ".raw", _evt2, first_us=1 << 34, most=2048, keeps_t0=True)
DAT = Encoder("dat", ".dat", DatWriter, first_us=1 << 32, end_us=1 << 32, most=1 << 14, keeps_t0=True)
