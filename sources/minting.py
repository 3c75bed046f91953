"""Events of a live sensor in, as they arrive; packets that meet out, also in silence."""

from __future__ import annotations

import numpy as np

from pipeline.packet import NO_TIMES, NO_UNITS, Packet
from sources.clock_fit import ClockFit

RESET_US = 1_000_000  # a sensor's clock that falls back by more has begun anew


class Mint:
    """Makes contiguous packets of events that a sensor stamped. All times in us.

    Stream time is the sensor's, counted from its first event, which is stamped with the host time since the start. An event waits
    until a later microsecond has come, or silence: then nothing of its own microsecond can follow. In silence the end follows the
    host's clock, by the fit of the two clocks, less lateness_us. What arrives for an interval that was handed out is dropped and
    counted in `lost`. A sensor whose clock falls back by more than a second has begun anew, and so has one whose clock is more
    than a second ahead after a reconnection; its time goes on from here.

    >>> mint = Mint(lateness_us=20)
    >>> packet = mint.add(np.array([700, 703, 703]), np.array([1, 2, 3], np.uint32), host_us=5)
    >>> packet.begin_us, packet.end_us, packet.t_us.tolist()
    (0, 8, [5])
    >>> packet = mint.tick(host_us=1000)
    >>> packet.end_us, packet.t_us.tolist()
    (983, [8, 8])
    """

    def __init__(self, lateness_us: int, end_us: int = 0) -> None:
        self._lateness_us = lateness_us
        self._shift_us: int | None = None  # stream time less sensor time
        self.end_us = end_us
        self._fit = ClockFit()
        self._t_us, self._unit = NO_TIMES, NO_UNITS  # the events of the newest microsecond
        self._lost = 0
        self._doubtful = False  # whether the next events may be of another clock
        self.late = self.disordered = self.clock_resets = 0

    def add(self, sensor_us: np.ndarray, unit: np.ndarray, host_us: int, *, lost: int = 0) -> Packet:
        """The packet up to the newest of these events. host_us: when they arrived, counted from the source's start."""
        self._lost += lost
        if not sensor_us.size:
            return self._packet(NO_TIMES, NO_UNITS, self.end_us)
        newest_us = int(sensor_us.max())
        if self._shift_us is None or self._began_anew(newest_us + self._shift_us, host_us):
            self.clock_resets += self._shift_us is not None
            self._begin(int(sensor_us.min()), host_us)
        assert self._shift_us is not None
        t_us = sensor_us + self._shift_us
        self._fit.add(int(t_us.max()), host_us)
        t_us, unit = self._in_order(t_us, unit)
        on_time = int(t_us.searchsorted(self.end_us))
        self.late += on_time
        self._lost += on_time
        if on_time == t_us.size:
            return self._packet(NO_TIMES, NO_UNITS, self.end_us)
        t_us = np.concatenate((self._t_us, t_us[on_time:]))
        unit = np.concatenate((self._unit, unit[on_time:]))
        end_us = int(t_us[-1])
        settled = int(t_us.searchsorted(end_us))
        self._t_us, self._unit = t_us[settled:], unit[settled:]
        return self._packet(t_us[:settled], unit[:settled], end_us)

    def stamp(self, unit: np.ndarray, host_us: int, *, lost: int = 0) -> Packet:
        """The packet of events without times of their own: they get that of their arrival."""
        self._lost += lost
        t_us = max(host_us, self.end_us)
        return self._packet(np.full(unit.size, t_us, np.int64), unit, t_us + 1)

    def tick(self, host_us: int) -> Packet:
        """Nothing came: the packet up to what the host's clock says, less the lateness."""
        now_us = round(self._fit.sensor_us(host_us)) if self._fit.known else host_us
        end_us = max(self.end_us, now_us - self._lateness_us)
        t_us, unit = NO_TIMES, NO_UNITS
        if self._t_us.size and end_us > self._t_us[0]:
            t_us, unit, self._t_us, self._unit = self._t_us, self._unit, NO_TIMES, NO_UNITS
        return self._packet(t_us, unit, end_us)

    def flush(self) -> Packet:
        """Nothing will follow: the packet of the events that wait."""
        t_us, unit, self._t_us, self._unit = self._t_us, self._unit, NO_TIMES, NO_UNITS
        return self._packet(t_us, unit, int(t_us[-1]) + 1 if t_us.size else self.end_us)

    @property
    def drift_ppm(self) -> float:
        return self._fit.drift * 1e6

    @property
    def sensor_us_at_0(self) -> int | None:
        """What the sensor's clock showed at stream time 0, by its latest start. None: no event has come."""
        return None if self._shift_us is None else -self._shift_us

    def reconnected(self) -> None:
        """The same sensor may follow, or another: what comes next is of the same clock if it is near what that should show."""
        self._doubtful = True

    def _began_anew(self, newest_us: int, host_us: int) -> bool:
        """Whether the sensor's clock is another one than before. That it runs ahead tells so after a reconnection alone:
        who replays a recording may be faster than real time."""
        doubtful, self._doubtful = self._doubtful, False
        ahead = doubtful and newest_us > self._fit.sensor_us(host_us) + RESET_US
        return ahead or newest_us < self.end_us - RESET_US

    def _begin(self, sensor_us: int, host_us: int) -> None:
        """Let the sensor's time now be the host's; never before what was handed out."""
        held_us = int(self._t_us[-1]) + 1 if self._t_us.size else 0
        self._shift_us = max(host_us, self.end_us, held_us) - sensor_us
        self._fit = ClockFit()

    def _in_order(self, t_us: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if (t_us[1:] >= t_us[:-1]).all():
            return t_us, unit
        self.disordered += int((t_us[1:] < t_us[:-1]).sum())
        order = t_us.argsort(kind="stable")
        return t_us[order], unit[order]

    def _packet(self, t_us: np.ndarray, unit: np.ndarray, end_us: int) -> Packet:
        begin_us, self.end_us = self.end_us, end_us
        lost, self._lost = self._lost, 0
        return Packet(begin_us, end_us, t_us, unit, lost=lost)
