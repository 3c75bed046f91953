import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.refractory import RefractoryConfig
from pipeline.packet import Format
from tests import naive_filters as naive
from tests.filtering import cuts, events_of, few, filtered, packet_of, recordings, spikes

CELLS = Format("spikes", (8,), tick_us=None, names=("left", "right"))


def kept(events: list[tuple[int, int]], period_ms: float = 0.01) -> list[tuple[int, int]]:
    return spikes(filtered(RefractoryConfig(period_ms=period_ms), CELLS, packet_of(CELLS, events, 0, 1000)))


def test_an_event_within_the_period_is_dropped_and_one_after_it_passes() -> None:
    assert kept([(100, 3), (109, 3), (110, 3)]) == [(100, 3), (110, 3)]


def test_units_do_not_hinder_each_other() -> None:
    assert kept([(100, 3), (101, 4)]) == [(100, 3), (101, 4)]


def test_a_dropped_event_does_not_prolong_the_period() -> None:
    assert kept([(100, 3), (106, 3), (112, 3)]) == [(100, 3), (112, 3)]


def test_of_two_events_of_a_unit_in_one_microsecond_one_passes() -> None:
    assert kept([(100, 3), (100, 3)]) == [(100, 3)]


def test_the_first_event_passes_at_any_time() -> None:
    assert kept([(0, 3)], period_ms=1e6) == [(0, 3)]


def test_events_of_one_microsecond_come_out_in_order_of_their_unit() -> None:
    assert kept([(100, 5), (100, 2), (100, 4)]) == [(100, 2), (100, 4), (100, 5)]


def test_graded_events_are_refused() -> None:
    with pytest.raises(ValueError, match="refractory takes spikes, got graded of shape 8"):
        RefractoryConfig().check(Format("graded", (8,)))


def test_what_comes_out_is_described_as_what_goes_in() -> None:
    assert RefractoryConfig().check(CELLS) == CELLS


@few
@given(st.data(), st.sampled_from([(2, 3, 2), (4,), (2, 2)]), st.integers(1, 30))
def test_it_is_the_plain_truth_however_the_recording_is_cut(data: st.DataObject, shape: tuple[int, ...], period_us: int) -> None:
    format = Format("spikes", shape)
    episode = data.draw(recordings(format))
    out = filtered(RefractoryConfig(period_ms=period_us / 1000), format, episode, data.draw(cuts()))
    assert events_of(out) == naive.refractory(events_of(episode), period_us)
