"""What sources of a live sensor share: its events go in from a thread, with its own times; packets that meet come out."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from pydantic import Field

from pipeline.contract import State
from pipeline.packet import Format, Packet
from sources.live import LiveConfig, LiveSource, report_of
from sources.minting import Mint


class SensorConfig(LiveConfig):
    """The options of every live source whose sender is a sensor with a clock of its own."""

    lateness_ms: float = Field(20.0, ge=0, description="how late an event may arrive in silence, ms")

    @property
    def wait_s(self) -> float:
        """How long to wait for the sensor before silence is handed out."""
        return max(0.001, min(self.lateness_ms, self.heartbeat_ms) / 1e3)


class SensorSource(LiveSource):
    """A live source whose stream is there from the start: its time goes on from where it was, in silence by the host's clock.

    A subclass gives `listen`, which runs in a thread of its own until the queue is closed, and hands what arrives to `take` or
    `stamp`, and silence to `silence`; and `figures`, its part of the report.
    """

    def __init__(self, config: SensorConfig, format: Format, state: State | None) -> None:
        super().__init__(config, format, state)
        self._sensor = config
        self._position.open = True
        self._mint = Mint(round(config.lateness_ms * 1000), self._position.end_us)
        self._begin_s = self._heard_s = time.monotonic()
        self._origin_us = self._mint.end_us

    def listen(self) -> None:
        raise NotImplementedError

    def figures(self) -> dict[str, Any]:
        raise NotImplementedError

    def receive(self) -> None:
        self._begin_s = self._heard_s = time.monotonic()
        self._origin_us = self._mint.end_us
        try:
            self.listen()
        except Exception:
            self.finished()  # what came before the trouble
            raise

    def report(self) -> dict[str, Any]:
        """Events received, sent, discarded, queued; what was wrong with those that came; and how its clock runs.

        sensor_us_at_0: what the sensor's clock showed at stream time 0, so that its own times are found again. None: not known.
        """
        mint = self._mint
        return report_of(self._queue, **self.figures(), events_late=mint.late, events_disordered=mint.disordered,
                         clock_resets=mint.clock_resets, drift_ppm=round(mint.drift_ppm, 3), sensor_us_at_0=mint.sensor_us_at_0)

    def take(self, t_us: np.ndarray, unit: np.ndarray, lost: int = 0) -> bool:
        """Hand out events with the sensor's times; False when the source is closed."""
        self._heard_s = time.monotonic()
        return self._put(self._mint.add(t_us, unit, self._host_us(), lost=lost))

    def stamp(self, unit: np.ndarray, lost: int = 0) -> bool:
        """Hand out events without times of their own; False when the source is closed."""
        self._heard_s = time.monotonic()
        return self._put(self._mint.stamp(unit, self._host_us(), lost=lost))

    def silence(self, what: str, remedy: str) -> bool:
        """Nothing came: hand out the time that passed; False when the source is closed.

        ValueError after idle_timeout_s of it, saying what is silent and what to do.
        """
        limit_s = self._sensor.idle_timeout_s
        if limit_s is not None and time.monotonic() - self._heard_s > limit_s:
            raise ValueError(f"{self._sensor.type}: {what} for {limit_s:g} s; {remedy}")
        return self._put(self._mint.tick(self._host_us()))

    def finished(self) -> None:
        """Nothing will follow: hand out what waits."""
        self._put(self._mint.flush())

    def _put(self, packet: Packet) -> bool:
        begin_s = time.monotonic()
        taken = self._queue.put(packet)
        self._heard_s += time.monotonic() - begin_s  # who waits for room hears nothing: that is not the sensor's silence
        return taken

    def _host_us(self) -> int:
        return self._origin_us + round((time.monotonic() - self._begin_s) * 1e6)
