"""The line between a sensor's clock and the host's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sources.clock_fit import ClockFit

DRIFT = 50e-6
OFFSET_US = 1_700_000_000_000_000  # the host counts from 1970, the sensor from its start


def fitted(seconds: int, *, jitter_us: float, seed: int = 0, drift: float = DRIFT) -> ClockFit:
    """A pair every millisecond."""
    rng, fit = np.random.default_rng(seed), ClockFit()
    for sensor_us in range(0, seconds * 1_000_000, 1000):
        fit.add(sensor_us, OFFSET_US + round(sensor_us * (1 + drift) + rng.normal(0, jitter_us)))
    return fit


@pytest.mark.parametrize("seed", range(5))
def test_with_50_ppm_of_drift_and_1_ms_of_jitter_host_time_is_within_50_us_after_10_s(seed):
    fit = fitted(10, jitter_us=1000, seed=seed)
    assert abs(fit.host_us(10_000_000) - (OFFSET_US + 10_000_000 * (1 + DRIFT))) < 50
    assert fit.uncertainty_us(10_000_000) < 50


@pytest.mark.parametrize("seed", range(5))
def test_the_error_is_within_a_few_of_its_stated_uncertainties(seed):
    fit = fitted(3, jitter_us=1000, seed=seed)
    assert abs(fit.host_us(3_000_000) - (OFFSET_US + 3_000_150)) < 4 * fit.uncertainty_us(3_000_000)


def test_drift_is_found_without_jitter():
    assert fitted(10, jitter_us=0).drift == pytest.approx(DRIFT, abs=1e-7)


def test_sensor_time_is_the_inverse_of_host_time():
    fit = fitted(5, jitter_us=300)
    assert fit.sensor_us(fit.host_us(4_321_000)) == pytest.approx(4_321_000, abs=0.5)  # float64 holds 1.7e15 to 0.25 us


def test_less_than_a_second_gives_the_offset_alone():
    fit = ClockFit()
    fit.add(0, 1000)
    fit.add(1000, 2600)
    assert fit.drift == 0
    assert fit.host_us(500) == pytest.approx(1800, abs=0.01)


def test_one_pair_is_enough_to_map_but_not_to_be_sure():
    fit = ClockFit()
    assert not fit.known
    fit.add(70, 1070)
    assert fit.known
    assert (fit.host_us(80), fit.sensor_us(1080), fit.uncertainty_us(80)) == (1080, 80, math.inf)


def test_clocks_of_another_speed_are_not_believed():
    assert fitted(5, jitter_us=0, drift=0.5).drift == 0


def test_old_pairs_fade():
    fit = ClockFit(memory_s=2)
    for sensor_us in range(0, 30_000_000, 1000):
        fit.add(sensor_us, sensor_us + (0 if sensor_us < 15_000_000 else 400))
    assert fit.host_us(30_000_000) == pytest.approx(30_000_400, abs=10)


def test_it_goes_on_from_a_snapshot():
    fit = fitted(2, jitter_us=100)
    again = ClockFit(state=fit.snapshot())
    for one in (fit, again):
        one.add(2_000_000, OFFSET_US + 2_000_100)
    assert again.host_us(3_000_000) == fit.host_us(3_000_000)
