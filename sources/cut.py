"""Cuts columns of events, arriving in chunks of any size, into packets.

Windows of `packet_us` are anchored at the episode's first begin. A packet ends with its window, or earlier, at a
microsecond boundary, where the window would hold more than `max_events`; the next one goes on to the window's end.
The cut depends on the events alone, never on the chunks, and the end of any packet is all that is needed to go on from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from pipeline.packet import NO_TIMES, NO_UNITS, Packet


class Events(NamedTuple):
    """Columns of events of one stream, in order of time."""

    t_us: np.ndarray = NO_TIMES  # (n,) int64 us, non-decreasing
    unit: np.ndarray = NO_UNITS  # (n,) uint32
    value: np.ndarray | None = None  # (n,) float32 on graded streams
    late_us: np.ndarray = NO_TIMES  # (m,) int64 us: one for each event known to be missing, when it was missed; non-decreasing


def cut(
    chunks: Iterable[Events],
    begin_us: int,
    packet_us: int,
    max_events: int,
    *,
    end_us: int | None = None,
    resume_us: int | None = None,
    episode: int = 0,
    label: int = -1,
) -> Iterator[Packet]:
    """The packets of one episode, each beginning where the one before ended, the last one with `last`.

    chunks: taken as they are needed; each begins no earlier than the one before ended. Events before begin_us are left out.
    end_us: where the episode ends (later events are left out), or None: one microsecond after its last event.
    resume_us: the end of the last packet handed out; the packets after it follow, given the chunks that hold their events.

    A packet holds more than max_events only when one microsecond alone does. Its `lost` counts the late_us inside it.

    >>> events = Events(np.array([3, 4, 5, 25]), np.array([7, 8, 9, 7], np.uint32))
    >>> [(p.begin_us, p.end_us, p.n, p.last) for p in cut([events], 0, 10, 2)]
    [(0, 5, 2, False), (5, 10, 1, False), (10, 20, 0, False), (20, 26, 1, True)]
    """
    knife = _Knife(begin_us, begin_us if resume_us is None else resume_us, packet_us, max_events, episode, label)
    for chunk in chunks:
        knife.hold(_between(chunk, knife.now_us, end_us))
        if knife.ready():
            yield from knife.cut()
        if end_us is not None and chunk.t_us.size and chunk.t_us[-1] >= end_us:
            break
    yield from knife.finish(end_us)


class _Knife:
    """The events not yet handed out, and where the next packet begins."""

    def __init__(self, anchor_us: int, now_us: int, packet_us: int, max_events: int, episode: int, label: int) -> None:
        self.now_us = now_us
        self._window_end_us = anchor_us + ((now_us - anchor_us) // packet_us + 1) * packet_us
        self._packet_us, self._max_events, self._episode, self._label = packet_us, max_events, episode, label
        self._held: list[Events] = []
        self._count = 0
        self._first_us = self._newest_us = now_us  # of the events held

    def hold(self, chunk: Events) -> None:
        if chunk.t_us.size:
            if not self._count:
                self._first_us = int(chunk.t_us[0])
            self._count += chunk.t_us.size
            self._newest_us = int(chunk.t_us[-1])
        if chunk.t_us.size or chunk.late_us.size:
            self._held.append(chunk)

    def ready(self) -> bool:
        """Whether the next packet is settled: no event still to come can belong to it, nor can it be the last."""
        if not self._count or self._newest_us < self.now_us:
            return False
        overfull = self._count > self._max_events and self._newest_us > self._first_us
        return overfull or self._newest_us >= self._window_end_us

    def cut(self) -> Iterator[Packet]:
        """All packets that are settled. What is left stays held, in one piece."""
        held = joined(self._held)
        at = 0
        while True:
            stop_us, stop = self._next_stop(held.t_us, at)
            if stop_us > self._newest_us:
                break
            yield self._packet(held, at, stop, stop_us, last=False)
            at = stop
        self._keep(held, at)

    def finish(self, end_us: int | None) -> Iterator[Packet]:
        """The rest of the episode."""
        held = joined(self._held)
        if end_us is None:
            end_us = max(self.now_us, self._newest_us + 1) if self._count else self.now_us
        at = 0
        while True:
            stop_us, stop = self._next_stop(held.t_us, at)
            last = stop_us >= end_us
            yield self._packet(held, at, stop, min(stop_us, end_us), last=last)
            if last:
                return
            at = stop

    def _next_stop(self, t_us: np.ndarray, at: int) -> tuple[int, int]:
        """Where the packet that begins at event `at` ends: in time, and as an event number."""
        limit = at + self._max_events
        stop = at + int(t_us[at : limit + 1].searchsorted(self._window_end_us))
        if stop <= limit:
            return self._window_end_us, stop
        stop_us = max(int(t_us[limit]), int(t_us[at]) + 1)
        return stop_us, at + int(t_us[at:].searchsorted(stop_us))

    def _packet(self, held: Events, at: int, stop: int, stop_us: int, last: bool) -> Packet:
        begin_us, self.now_us = self.now_us, stop_us
        if stop_us >= self._window_end_us:
            self._window_end_us += self._packet_us
        lost = 0
        if held.late_us.size:
            first, past = held.late_us.searchsorted((begin_us, stop_us))
            lost = int(past - first)
        value = None if held.value is None else held.value[at:stop]
        return Packet(begin_us, stop_us, held.t_us[at:stop], held.unit[at:stop], value, self._episode, last, self._label, lost)

    def _keep(self, held: Events, at: int) -> None:
        value = None if held.value is None else held.value[at:]
        late_us = held.late_us[held.late_us.searchsorted(self.now_us) :] if held.late_us.size else held.late_us
        rest = Events(held.t_us[at:], held.unit[at:], value, late_us)
        self._held, self._count = [], 0
        self.hold(rest)


def _between(chunk: Events, begin_us: int, end_us: int | None) -> Events:
    """The events of a chunk in [begin_us, end_us)."""
    t_us = chunk.t_us
    late_us = chunk.late_us
    if late_us.size:
        late_us = late_us[(late_us >= begin_us) & (late_us < (end_us if end_us is not None else late_us[-1] + 1))]
    if not t_us.size or (t_us[0] >= begin_us and (end_us is None or t_us[-1] < end_us)):
        return chunk._replace(late_us=late_us)
    first = int(t_us.searchsorted(begin_us))
    past = t_us.size if end_us is None else max(first, int(t_us.searchsorted(end_us)))
    value = None if chunk.value is None else chunk.value[first:past]
    return Events(t_us[first:past], chunk.unit[first:past], value, late_us)


def joined(chunks: list[Events]) -> Events:
    """The events of several chunks in one."""
    if len(chunks) == 1:
        return chunks[0]
    if not chunks:
        return Events()
    graded = any(chunk.value is not None for chunk in chunks)
    value = np.concatenate([chunk.value for chunk in chunks if chunk.value is not None]) if graded else None
    return Events(
        np.concatenate([chunk.t_us for chunk in chunks]),
        np.concatenate([chunk.unit for chunk in chunks]),
        value,
        np.concatenate([chunk.late_us for chunk in chunks]),
    )
