"""Between a receiving thread and the stage: packets of a live source go in, and come out when the stage asks for them.

The queue is bounded. What happens when it is full is its policy, and whatever it drops thins an interval: the packet's time stays
in the stream, joined to the packet that follows, and its events are counted in that packet's `lost`.
At every instant received = sent + discarded + queued, in events.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace
from typing import Literal

import numpy as np

from pipeline.packet import NO_TIMES, NO_UNITS, NO_VALUES, Packet, join

OnOverload = Literal["block", "latest", "drop_oldest", "rate_cap"]
BURST_S = 0.1  # how much of its rate a capped stream may save up


class LiveQueue:
    """Packets of one stream, each beginning where the one before ended, with a mark each.

    policy, when `most_packets` are held:
        block        put waits: the sender, or the socket's buffer, has to
        latest       at all times only the newest packet is held, those before it are dropped
        drop_oldest  the oldest are dropped
        rate_cap     as drop_oldest; besides, of a packet's events at most max_rate_hz, in the stream's time, are kept
    mark: what the receiver wants to know of a packet again when it is handed out. Of packets that were joined, the last one's.

    >>> queue = LiveQueue("latest", 8)
    >>> for t_us in (0, 10):
    ...     _ = queue.put(Packet(t_us, t_us + 10, np.array([t_us]), np.array([0], np.uint32)))
    >>> packet, mark = queue.take(0)
    >>> packet.begin_us, packet.n, packet.lost, queue.counts()
    (0, 1, 1, {'received': 2, 'sent': 1, 'discarded': 1, 'queued': 0})
    """

    def __init__(self, policy: OnOverload, most_packets: int, max_rate_hz: float | None = None) -> None:
        self._policy = policy
        self._most = 1 if policy == "latest" else most_packets
        self._cap = RateCap(max_rate_hz) if policy == "rate_cap" and max_rate_hz is not None else None
        self._held: deque[tuple[Packet, int]] = deque()
        self._changed = threading.Condition()
        self._received = self._sent = self._discarded = self._queued = 0
        self.waited_s = 0.0  # by take, for a packet
        self._error: Exception | None = None
        self._ended = self._closed = False

    def put(self, packet: Packet, mark: int = 0, timeout_s: float | None = None) -> bool:
        """Take a packet in. False if there was no room for it within timeout_s (policy block), or when the queue is closed."""
        with self._changed:
            if self._policy == "block":
                self._changed.wait_for(lambda: self._closed or len(self._held) < self._most, timeout_s)
            if self._closed or (self._policy == "block" and len(self._held) >= self._most):
                return False
            self._received += packet.n
            kept = packet if self._cap is None else self._cap.thinned(packet)
            self._discarded += packet.n - kept.n
            self._queued += kept.n
            if self._policy != "block" and not kept.n and len(self._held) >= self._most and not self._held[-1][0].last:
                kept = join(self._held.pop()[0], kept)  # silence drops nothing
            self._held.append((kept, mark))
            if self._policy != "block" and len(self._held) > self._most:
                self._make_room()
            self._changed.notify_all()
            return True

    def take(self, timeout_s: float | None) -> tuple[Packet, int] | None:
        """The oldest packet and its mark; None if there was none within timeout_s. Then `ended` tells whether one may still come.

        An error that the receiver met is raised once all that came before it has been taken.
        """
        begin_s = time.perf_counter()
        with self._changed:
            self._changed.wait_for(lambda: self._held or self._ended or self._closed, timeout_s)
            self.waited_s += time.perf_counter() - begin_s
            if not self._held:
                if self._error is not None:
                    raise self._error
                return None
            packet, mark = self._held.popleft()
            self._sent += packet.n
            self._queued -= packet.n
            self._changed.notify_all()
            return packet, mark

    def end(self, error: Exception | None = None) -> None:
        """The receiver has no more to put, or met an error."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """The stage takes no more: nobody waits here any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def ended(self) -> bool:
        with self._changed:
            return self._closed or (self._ended and not self._held)

    def counts(self) -> dict[str, int]:
        """Events, of one instant."""
        with self._changed:
            return {"received": self._received, "sent": self._sent, "discarded": self._discarded, "queued": self._queued}

    def _make_room(self) -> None:
        """Drop from the oldest on until no more than the most are held. The newest stays; so does every end of an episode."""
        held = self._held
        index, count = 0, sum(not _is_bare_end(packet) for packet, _ in held)
        while count > self._most and index < len(held) - 1:
            packet, _ = held[index]
            if _is_bare_end(packet):
                index += 1
                continue
            self._discarded += packet.n
            self._queued -= packet.n
            count -= 1
            thin = without_events(packet)
            if thin.last:
                held[index] = (thin, held[index][1])
                continue
            following, mark = held[index + 1]
            held[index + 1] = (join(thin, following), mark)
            del held[index]


class RateCap:
    """Keeps of each packet as many events as max_rate_hz allows for the stream's time so far, evenly spread over the packet."""

    def __init__(self, max_rate_hz: float) -> None:
        self._per_us = max_rate_hz / 1e6
        self._most = max(1.0, max_rate_hz * BURST_S)
        self._saved = 0.0  # events that may pass

    def thinned(self, packet: Packet) -> Packet:
        self._saved = min(self._most, self._saved + (packet.end_us - packet.begin_us) * self._per_us)
        n = packet.n
        kept = min(n, int(self._saved))
        self._saved -= kept
        if kept == n:
            return packet
        chosen = np.arange(kept) * n // max(1, kept)
        value = None if packet.value is None else packet.value[chosen]
        return replace(packet, t_us=packet.t_us[chosen], unit=packet.unit[chosen], value=value, lost=packet.lost + n - kept)


def without_events(packet: Packet) -> Packet:
    """The interval of a packet, its events counted in `lost`."""
    value = None if packet.value is None else NO_VALUES
    return replace(packet, t_us=NO_TIMES, unit=NO_UNITS, value=value, lost=packet.lost + packet.n)


def _is_bare_end(packet: Packet) -> bool:
    return packet.last and packet.n == 0
