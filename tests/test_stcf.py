import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.stcf import StcfConfig
from pipeline.packet import Format
from tests import naive_encoders as naive
from tests import naive_filters
from tests.filtering import cuts, events_of, few, filtered, packet_of, recordings, spikes

DVS = Format("spikes", (2, 6, 7), names=("left", "right"))


def off(x: int, y: int) -> int:
    return y * 7 + x


def kept(events: list[tuple[int, int]], format: Format = DVS, **options: object) -> list[tuple[int, int]]:
    config = StcfConfig(window_ms=0.01, **options)  # type: ignore[arg-type]
    return spikes(filtered(config, format, packet_of(format, events, 0, 1000)))


def test_an_event_needs_as_many_pixels_around_it_as_support_says() -> None:
    events = [(100, off(1, 1)), (101, off(1, 1)), (102, off(1, 2)), (103, off(2, 2))]
    assert kept(events) == [(103, off(2, 2))]
    assert kept(events, support=1) == [(102, off(1, 2)), (103, off(2, 2))]


def test_support_lasts_for_the_correlation_time_and_no_longer() -> None:
    assert kept([(100, off(1, 1)), (110, off(2, 2))], support=1) == [(110, off(2, 2))]
    assert kept([(100, off(1, 1)), (111, off(2, 2))], support=1) == []


def test_a_wider_neighbourhood_reaches_further() -> None:
    events = [(100, off(1, 1)), (101, off(4, 4))]
    assert kept(events, support=1, radius=2) == []
    assert kept(events, support=1, radius=3) == [(101, off(4, 4))]


def test_a_wide_neighbourhood_does_not_wrap_around_at_the_borders() -> None:
    events = [(100, off(6, 2)), (101, off(0, 3)), (102, off(6, 5))]
    assert kept(events, support=2, radius=5) == []
    assert kept(events, support=2, radius=6) == [(102, off(6, 5))]


def test_of_the_events_of_one_microsecond_those_that_came_before_support() -> None:
    assert kept([(100, off(2, 2)), (100, off(1, 1)), (100, off(1, 2))], support=1) == [(100, off(1, 1)), (100, off(1, 2))]
    assert kept([(100, off(2, 2)), (100, off(1, 1)), (100, off(1, 2))], support=2) == [(100, off(1, 2))]


def test_polarities_support_each_other_unless_kept_apart() -> None:
    events = [(100, off(1, 1) + 42), (105, off(2, 2))]
    assert kept(events, support=1) == [(105, off(2, 2))]
    assert kept(events, support=1, polarities="apart") == []


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"takes spikes of shape .* got graded of shape 2x6x7"):
        StcfConfig().check(Format("graded", (2, 6, 7)))
    with pytest.raises(ValueError, match="support is 3, a pixel of spikes of shape 9 has at most 2 others around it"):
        StcfConfig(support=3).check(Format("spikes", (9,)))


@few
@given(st.data(), st.sampled_from([(2, 6, 7), (1, 1, 5), (3, 2, 2), (9,)]), st.integers(1, 3), st.integers(1, 5), st.booleans())
def test_it_is_the_plain_truth_however_the_recording_is_cut(
    data: st.DataObject, shape: tuple[int, ...], radius: int, support: int, apart: bool
) -> None:
    format, planes = Format("spikes", shape), naive_filters.planes(shape)
    side = 2 * radius + 1
    support = min(support, min(side, planes[1]) * min(side, planes[2]) - 1)
    episode = data.draw(recordings(format))
    config = StcfConfig(window_ms=0.008, support=support, radius=radius, polarities="apart" if apart else "together")
    out = filtered(config, format, episode, data.draw(cuts()))
    assert events_of(out) == naive.stcf(events_of(episode), planes, 8, support, radius, apart)
