"""The pacer: due times by the stream's own clock, with a clock and a wait that the test holds."""

from __future__ import annotations

from typing import Literal

import pytest

from pipeline.contract import ReplayConfig, SourceConfig
from pipeline.pace import Pacer
from pipeline.packet import Packet


class PlainReplay(ReplayConfig):
    type: Literal["plain"] = "plain"


class LiveConfig(SourceConfig):
    type: Literal["live"] = "live"


class Clock:
    """Time passes only by waiting, or when the test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now_s += seconds
        return False


def pacer(clock: Clock, **options: object) -> Pacer:
    return Pacer(PlainReplay.model_validate(options), clock.wait, lambda: clock.now_s)


def test_fast_never_waits() -> None:
    clock = Clock()
    pacer(clock).await_due(Packet(0, 5_000_000))
    assert clock.now_s == 100.0


def test_a_live_source_has_no_pace() -> None:
    clock = Clock()
    live = Pacer(LiveConfig(), clock.wait, lambda: clock.now_s)
    live.await_due(Packet(0, 5_000_000))
    assert (clock.now_s, live.report()) == (100.0, {})


def test_realtime_waits_until_the_end_of_each_packet() -> None:
    clock = Clock()
    paced = pacer(clock, pace="realtime")
    paced.await_due(Packet(7_000_000, 7_010_000))
    assert clock.now_s == pytest.approx(100.010)
    paced.await_due(Packet(7_010_000, 7_040_000))
    assert clock.now_s == pytest.approx(100.040)


def test_a_factor_of_two_takes_half_the_time() -> None:
    clock = Clock()
    pacer(clock, pace=2.0).await_due(Packet(0, 1_000_000))
    assert clock.now_s == pytest.approx(100.5)


def test_the_next_episode_begins_a_gap_after_the_end_of_the_one_before() -> None:
    clock = Clock()
    paced = pacer(clock, pace="realtime", gap_ms=100)
    paced.await_due(Packet(0, 200_000, last=True))
    paced.await_due(Packet(0, 50_000, episode=1))
    assert clock.now_s == pytest.approx(100.0 + 0.2 + 0.1 + 0.05)


def test_a_late_packet_is_caught_up_and_its_drift_reported() -> None:
    clock = Clock()
    paced = pacer(clock, pace="realtime")
    paced.await_due(Packet(0, 10_000))
    clock.now_s += 0.030  # the pipeline was busy
    paced.await_due(Packet(10_000, 20_000))
    paced.await_due(Packet(20_000, 100_000))
    assert clock.now_s == pytest.approx(100.100)
    drift_ms = paced.report()["drift_ms"]
    assert drift_ms["max"] == pytest.approx(20.0)
    assert drift_ms["last"] == pytest.approx(0.0, abs=1e-6)


def test_the_last_moments_before_a_packet_is_due_pass_in_looking_at_the_clock() -> None:
    clock = Clock()
    looks = 0

    def look() -> float:
        nonlocal looks
        looks += 1
        clock.now_s += 1e-5
        return clock.now_s

    paced = Pacer(PlainReplay(pace="realtime", spin_us=2000), clock.wait, look)
    paced.await_due(Packet(0, 10_000))
    assert clock.now_s - 100 == pytest.approx(0.010, abs=5e-5)
    assert max(clock.waits) == pytest.approx(0.008, abs=5e-5)
    assert looks >= 200


def test_a_stop_during_the_wait_is_passed_on() -> None:
    stopped = Pacer(PlainReplay(pace="realtime"), lambda seconds: True, lambda: 0.0)
    assert stopped.await_due(Packet(0, 10_000))


def test_a_pace_next_to_standstill_waits_no_longer_at_a_time_than_timers_take() -> None:
    waits: list[float] = []
    stopped = Pacer(PlainReplay(pace=1e-300), lambda seconds: waits.append(seconds) or True, lambda: 0.0)  # type: ignore[func-returns-value]
    assert stopped.await_due(Packet(0, 10_000))
    assert max(waits) <= 3600
