"""Pacer: hands packets out at the pace of their own time, and says how far from true it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pipeline.contract import ReplayConfig, SourceConfig
from pipeline.metrics import LogHistogram
from pipeline.packet import Packet

LONGEST_WAIT_S = 3600.0  # at a time: the operating system's timers take no time without end


class Pacer:
    """Waits until the end of a packet is due: begin of the replay + (stream time since) / pace. Never hands out before.

    Episodes follow each other, `gap_ms` apart; the due times of all are reckoned from the first packet, so no error adds up.
    Drift is how much later than due a packet was handed out. An operating system wakes a process late by tens of microseconds,
    with cold caches: the last `spin_us` before a packet is due pass in looking at the clock instead.

    clock: seconds, monotonic. wait(seconds) -> True when the run is to stop.
    """

    def __init__(self, config: SourceConfig, wait: Callable[[float], bool], clock: Callable[[], float] = time.monotonic) -> None:
        pace, gap_ms = (config.pace, config.gap_ms) if isinstance(config, ReplayConfig) else ("fast", 0.0)
        self.factor = None if pace == "fast" else 1.0 if pace == "realtime" else float(pace)
        self._gap_s = gap_ms / 1e3
        self._spin_s = config.spin_us / 1e6 if isinstance(config, ReplayConfig) else 0.0
        self._wait, self._clock = wait, clock
        self._origin_s: float | None = None  # the clock's reading that stream time `_begin_us` of this episode stands for
        self._begin_us = 0
        self._between = True  # the next packet begins an episode
        self._due_s = 0.0
        self.late_us = LogHistogram()
        self.last_late_s = 0.0

    def await_due(self, packet: Packet) -> bool:
        """Return once `packet` is due; True when the run is to stop instead."""
        if self.factor is None:
            return self._wait(0.0)
        if self._origin_s is None:
            self._origin_s = self._due_s = self._clock()
        elif self._between:
            self._origin_s = self._due_s + self._gap_s / self.factor
        if self._between:
            self._begin_us = packet.begin_us
        self._between = packet.last
        self._due_s = self._origin_s + (packet.end_us - self._begin_us) / 1e6 / self.factor
        # A wait may return a little early: only the clock decides.
        while (left_s := self._due_s - self._clock()) > 0:
            if left_s > self._spin_s and self._wait(min(left_s - self._spin_s, LONGEST_WAIT_S)):
                return True
        self.last_late_s = -left_s
        self.late_us.add(self.last_late_s * 1e6)
        return self._wait(0.0)

    def report(self) -> dict[str, Any]:
        """Drift in ms: median, 99th percentile, greatest, and that of the last packet. Empty when not paced."""
        if self.factor is None:
            return {}
        drift = {name: round(value / 1e3, 3) for name, value in self.late_us.summary().items()}
        return {"pace": self.factor, "drift_ms": drift | {"last": round(self.last_late_s * 1e3, 3)}}
