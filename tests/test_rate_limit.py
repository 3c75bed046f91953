import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.rate_limit import RateLimitConfig
from pipeline.packet import Format, Packet
from tests import naive_encoders as naive
from tests.filtering import cuts, events_of, few, filtered, packet_of, recordings, spikes

DVS = Format("spikes", (2, 3, 4), names=("left", "right"))


def passed(times_us: list[int], **options: float) -> list[int]:
    episode = packet_of(DVS, [(t_us, 5) for t_us in times_us], 0, 10_000_000)
    return [t for t, _ in spikes(filtered(RateLimitConfig(**options), DVS, episode))]  # type: ignore[arg-type]


def test_a_burst_passes_and_then_the_rate() -> None:
    assert passed([*range(0, 1000, 10)], max_rate_hz=10_000, burst=3) == [0, 10, 20, *range(100, 1000, 100)]


def test_a_pause_fills_the_bucket_again_and_no_further() -> None:
    assert passed([0] * 4 + [9_000_000] * 4, max_rate_hz=1, burst=2) == [0, 0, 9_000_000, 9_000_000]


def test_events_of_one_microsecond_are_served_as_they_come_and_come_out_sorted() -> None:
    out = filtered(RateLimitConfig(max_rate_hz=1, burst=2), DVS, packet_of(DVS, [(0, 9), (0, 4), (0, 1)], 0, 10))
    assert spikes(out) == [(0, 4), (0, 9)]


def test_no_span_of_time_holds_more_than_burst_and_rate_allow() -> None:
    times_us = np.sort(np.random.default_rng(0).integers(0, 100_000, 5000))
    out = np.array(passed(times_us.tolist(), max_rate_hz=20_000, burst=50))
    within = np.searchsorted(out, out + 10_000) - np.arange(out.shape[0])
    assert within.max() <= 50 + 200
    assert abs(out.shape[0] - 2050) < 10


def test_what_is_dropped_is_counted_across_a_resume() -> None:
    make = RateLimitConfig(max_rate_hz=1, burst=2).prepare(DVS)
    operator = make(None)
    operator.process(packet_of(DVS, [(0, 1)] * 5, 0, 10))
    resumed = make(operator.snapshot())
    resumed.process(packet_of(DVS, [(10, 1)] * 5, 10, 20))
    assert resumed.report() == {"dropped": 8}  # type: ignore[attr-defined]


def test_the_highest_rate_and_burst_do_not_overflow() -> None:
    assert passed([0, 1, 9_999_999], max_rate_hz=1e9, burst=10**9) == [0, 1, 9_999_999]


def test_values_go_along() -> None:
    sound = Format("graded", (4,))
    episode = Packet(0, 10, np.array([1, 1, 1]), np.array([3, 2, 1], np.uint32), np.array([7, 8, 9], np.float32))
    assert events_of(filtered(RateLimitConfig(max_rate_hz=1, burst=2), sound, episode)) == [(1, 2, 8.0), (1, 3, 7.0)]


def test_decisions_are_refused() -> None:
    with pytest.raises(ValueError, match="takes spikes or graded events, got decisions"):
        RateLimitConfig(max_rate_hz=1).check(Format("decisions", (3,)))


@few
@given(st.data(), st.sampled_from([1, 30_000, 250_000, 2_000_000]), st.integers(1, 9))
def test_it_is_the_plain_truth_however_the_recording_is_cut(data: st.DataObject, max_rate_hz: int, burst: int) -> None:
    episode = data.draw(recordings(DVS))
    out = filtered(RateLimitConfig(max_rate_hz=max_rate_hz, burst=burst), DVS, episode, data.draw(cuts()))
    assert events_of(out) == naive.rate_limit(events_of(episode), max_rate_hz, burst)
