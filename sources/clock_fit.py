"""Pairs of a sensor's time and the host's time in; the straight line between the two clocks, and how sure it is, out."""

from __future__ import annotations

import math

import numpy as np

from pipeline.contract import State

LEAST_SPAN_US = 1_000_000.0  # below it a slope says more of the jitter than of the clocks: 1 is taken
MOST_DRIFT = 1e-2  # clocks that differ by more do not run at one speed: the fit is of something else, and 1 is taken


class ClockFit:
    """host = offset + (1 + drift) * sensor, by least squares over the pairs so far, older ones fading.

    A pair that is `memory_s` older than the newest weighs 1/e. Jitter of the arrival averages out; a constant delay of the way
    stays in the offset. Times in us, reckoned from the first pair, so that epochs cost no precision. drift is 0 until the pairs
    span a second.

    >>> fit = ClockFit()
    >>> for k in range(100):
    ...     fit.add(100_000 * k, 5_000_000 + 100_000 * k + 5 * k)  # 50 us a second fast
    >>> round(fit.host_us(20_000_000)), round(fit.drift * 1e6)
    (25001000, 50)

    Source: weighted least squares by running sums of deviations: D. H. D. West, "Updating mean and variance estimates" (1979).
    """

    def __init__(self, memory_s: float = 60.0, state: State | None = None) -> None:
        self._memory_us = memory_s * 1e6
        self._origin = np.zeros(2, np.int64)  # the first pair
        # weight, greatest sensor time, means of sensor and host time, sums of their squared deviations and of their product
        self._sums = np.zeros(7)
        if state is not None:
            self._origin, self._sums = state["origin"].copy(), state["sums"].copy()

    def add(self, sensor_us: int, host_us: int) -> None:
        """Take a pair: `host_us` is when the event of `sensor_us` arrived."""
        weight, newest, mean_x, mean_y, xx, yy, xy = self._sums.tolist()
        if weight == 0:
            self._origin[:] = sensor_us, host_us
        x, y = float(sensor_us - int(self._origin[0])), float(host_us - int(self._origin[1]))
        fade = math.exp(-max(0.0, x - newest) / self._memory_us)
        weight, xx, yy, xy = weight * fade + 1.0, xx * fade, yy * fade, xy * fade
        dx, dy = x - mean_x, y - mean_y
        mean_x, mean_y = mean_x + dx / weight, mean_y + dy / weight
        xx, yy, xy = xx + dx * (x - mean_x), yy + dy * (y - mean_y), xy + dx * (y - mean_y)
        self._sums[:] = weight, max(newest, x), mean_x, mean_y, xx, yy, xy

    @property
    def known(self) -> bool:
        return bool(self._sums[0] > 0)

    @property
    def drift(self) -> float:
        """By how much the host's clock runs faster than the sensor's: 50e-6 is 50 us a second."""
        weight, _, _, _, xx, _, xy = self._sums.tolist()
        if weight < 2 or xx < weight * LEAST_SPAN_US**2 / 12:  # the deviation of pairs spread over the least span
            return 0.0
        drift = xy / xx - 1.0
        return drift if abs(drift) < MOST_DRIFT else 0.0

    def host_us(self, sensor_us: float) -> float:
        """The host's time at a time of the sensor."""
        _, _, mean_x, mean_y, *_ = self._sums.tolist()
        return mean_y + (1.0 + self.drift) * (sensor_us - int(self._origin[0]) - mean_x) + int(self._origin[1])

    def sensor_us(self, host_us: float) -> float:
        """The sensor's time at a time of the host."""
        _, _, mean_x, mean_y, *_ = self._sums.tolist()
        return mean_x + (host_us - int(self._origin[1]) - mean_y) / (1.0 + self.drift) + int(self._origin[0])

    def uncertainty_us(self, sensor_us: float) -> float:
        """The standard error of host_us there; infinite with fewer than three pairs."""
        weight, _, mean_x, _, xx, yy, xy = self._sums.tolist()
        if weight <= 2 or xx == 0:
            return math.inf
        slope = 1.0 + self.drift
        residual = max(0.0, yy - 2 * slope * xy + slope * slope * xx) / (weight - 2)
        distance = sensor_us - int(self._origin[0]) - mean_x
        return math.sqrt(residual * (1 / weight + distance * distance / xx))

    def snapshot(self) -> State:
        return {"origin": self._origin.copy(), "sums": self._sums.copy()}
