"""Event Stream (.es) version 2 of type dvs, written.

Each event has five bytes: the time since the one before (7 bits) and its polarity, x and y (16 bits each). A byte 0xFF stands for
127 us without an event, so a late beginning costs 7.9 kB a second: from 100 s on, times are counted from the first event.
Source: Event Stream specification, version 2.0 (Maybe, Ieng, Benosman, neuromorphic-paris/event_stream).
"""

from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np

from sources.cut import Events
from sources.encoders.writer import Encoder, FileWriter, Target, addresses

WAIT, WAIT_US = 0xFF, 127
EVENT_BYTES = 5
PART_BYTES = 1 << 20  # of waiting written at a time


class EventStreamWriter(FileWriter):
    def __init__(self, target: Target) -> None:
        super().__init__(target)
        _, height, width = target.shape
        self._newest_us = 0
        self.file.write(b"Event Stream" + bytes([2, 0, 0, 1]) + struct.pack("<HH", width, height))

    def write(self, events: Events) -> None:
        if not events.t_us.size:
            return
        self._wait(int(events.t_us[0]))
        x, y, on = addresses(events.unit, self.target.shape)
        waits, delta_us = np.divmod(np.diff(events.t_us, prepend=self._newest_us), WAIT_US)
        far = np.flatnonzero(waits > PART_BYTES)
        edges = [0, *far[far > 0].tolist(), events.t_us.size]
        for first, past in pairwise(edges):
            part = slice(first, past)
            if first:
                self._wait(int(events.t_us[first]))
                waits[first], delta_us[first] = divmod(int(events.t_us[first]) - self._newest_us, WAIT_US)
            self._part(waits[part], delta_us[part], x[part], y[part], on[part])
            self._newest_us = int(events.t_us[past - 1])

    def _wait(self, t_us: int) -> None:
        """Write the waiting before an event that is far away in pieces, so that no silence takes much memory."""
        left = (t_us - self._newest_us) // WAIT_US
        self._newest_us += left * WAIT_US
        while left:
            piece = min(left, PART_BYTES)
            self.file.write(bytes([WAIT]) * piece)
            left -= piece

    def _part(self, waits: np.ndarray, delta_us: np.ndarray, x: np.ndarray, y: np.ndarray, on: np.ndarray) -> None:
        past = np.cumsum(waits + EVENT_BYTES)
        content = np.full(int(past[-1]), WAIT, np.uint8)
        at = past - EVENT_BYTES
        content[at] = delta_us << 1 | on
        content[at + 1], content[at + 2] = x & 0xFF, x >> 8
        content[at + 3], content[at + 4] = y & 0xFF, y >> 8
        self.file.write(content.data)


ES = Encoder("es", ".es", EventStreamWriter, first_us=100_000_000, most=1 << 16)
