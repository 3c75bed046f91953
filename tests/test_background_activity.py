import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.background_activity import BackgroundActivityConfig
from pipeline.packet import Format
from tests import naive_filters as naive
from tests.filtering import cuts, events_of, few, filtered, packet_of, recordings, spikes

DVS = Format("spikes", (2, 4, 5), names=("left", "right"))
OFF_1_1, OFF_1_2, OFF_2_2, OFF_4_3, ON_1_1 = 6, 11, 12, 19, 26  # polarity, x, y


def kept(events: list[tuple[int, int]], format: Format = DVS, **options: object) -> list[tuple[int, int]]:
    config = BackgroundActivityConfig(window_ms=0.01, **options)  # type: ignore[arg-type]
    return spikes(filtered(config, format, packet_of(format, events, 0, 1000)))


def test_an_event_that_a_neighbour_supports_passes_and_the_first_one_does_not() -> None:
    assert kept([(100, OFF_1_1), (105, OFF_2_2)]) == [(105, OFF_2_2)]
    assert kept([(100, OFF_1_1), (101, OFF_2_2), (900, OFF_1_1)]) == [(101, OFF_2_2)]


def test_support_lasts_for_the_window_and_no_longer() -> None:
    assert kept([(100, OFF_1_1), (110, OFF_2_2), (900, OFF_1_1)]) == [(110, OFF_2_2)]
    assert kept([(100, OFF_1_1), (111, OFF_2_2), (900, OFF_1_1)]) == []


def test_a_pixel_does_not_support_itself_in_either_polarity() -> None:
    assert kept([(100, OFF_1_1), (101, OFF_1_1), (102, ON_1_1)]) == []


def test_an_event_that_was_dropped_supports_others() -> None:
    first, *others = [(100, OFF_1_1), (108, OFF_2_2), (116, OFF_1_1), (124, OFF_2_2)]
    assert kept([first, *others]) == others


def test_polarities_support_each_other_unless_kept_apart() -> None:
    events = [(100, ON_1_1), (105, OFF_2_2)]
    assert kept(events) == [(105, OFF_2_2)]
    assert kept(events, polarities="apart") == []


def test_events_of_one_microsecond_support_each_other_in_any_order() -> None:
    assert kept([(100, OFF_2_2), (100, OFF_1_1)]) == kept([(100, OFF_1_1), (100, OFF_2_2)]) == [(100, OFF_1_1), (100, OFF_2_2)]


@pytest.mark.parametrize("neighbour", [0, 1, 2, 5, 7, 10, 11, 12])
def test_each_of_the_8_around_supports_a_simultaneous_event_and_no_other_does(neighbour: int) -> None:
    pair = sorted([(100, OFF_1_1), (100, neighbour)])
    for events in (pair, pair[::-1]):
        assert kept([*events, (900, OFF_4_3)]) == pair
    assert kept([(100, OFF_1_1), (100, OFF_4_3), (900, OFF_4_3)]) == []


def test_the_last_of_many_simultaneous_events_supports_the_first() -> None:
    far = [(100, 4), (100, 15)]
    assert kept([(100, OFF_1_1), *far, (100, OFF_2_2), (900, 4)]) == [(100, OFF_1_1), (100, OFF_2_2)]
    assert kept([(100, OFF_1_1), far[0], (100, OFF_2_2), far[1], (900, 4)]) == [(100, OFF_1_1), (100, OFF_2_2)]


def test_the_sensor_does_not_wrap_around_at_its_borders() -> None:
    left_of_row_2, right_of_row_1, bottom, top = 10, 9, 17, 2
    assert kept([(100, right_of_row_1), (101, left_of_row_2), (102, top), (103, bottom)]) == []


def test_two_neighbours_may_be_demanded() -> None:
    events = [(100, OFF_1_1), (101, OFF_1_1), (102, OFF_1_2), (103, OFF_2_2)]
    assert kept(events, min_neighbours=2) == [(103, OFF_2_2)]
    assert kept([(100, OFF_1_1), (104, OFF_1_2), (110, OFF_2_2)], min_neighbours=2) == [(110, OFF_2_2)]
    assert kept([(100, OFF_1_1), (104, OFF_1_2), (111, OFF_2_2)], min_neighbours=2) == []


def test_the_neighbours_of_a_cochlea_channel_are_the_two_beside_it() -> None:
    assert kept([(0, 3), (5, 4), (6, 6)], Format("spikes", (9,))) == [(5, 4)]


def test_what_comes_out_is_described_as_what_goes_in() -> None:
    assert BackgroundActivityConfig().check(DVS) == DVS


@pytest.mark.parametrize(
    ("format", "options", "message"),
    [
        (Format("graded", (2, 4, 5)), {}, "takes spikes of shape (channels, height, width) or (n,), got graded of shape 2x4x5"),
        (Format("spikes", (3, 2, 4, 5)), {}, "got spikes of shape 3x2x4x5"),
        (Format("spikes", (700,)), {"min_neighbours": 3}, "min_neighbours is 3, a pixel of spikes of shape 700 has at most 2"),
    ],
)
def test_what_does_not_fit_is_refused(format: Format, options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError) as error:
        BackgroundActivityConfig(**options).check(format)  # type: ignore[arg-type]
    assert message in str(error.value)


SHAPES = st.sampled_from([(2, 4, 5), (1, 1, 3), (3, 2, 1), (7,), (1, 1, 1), (1,)])


@few
@given(st.data(), SHAPES, st.integers(1, 20), st.integers(1, 8), st.booleans())
def test_it_is_the_plain_truth_however_the_recording_is_cut(
    data: st.DataObject, shape: tuple[int, ...], window_us: int, min_neighbours: int, apart: bool
) -> None:
    format = Format("spikes", shape)
    planes = naive.planes(shape)
    min_neighbours = max(1, min(min_neighbours, min(3, planes[1]) * min(3, planes[2]) - 1))
    if planes[1:] == (1, 1):
        return
    config = BackgroundActivityConfig(
        window_ms=window_us / 1000, min_neighbours=min_neighbours, polarities="apart" if apart else "together"
    )
    episode = data.draw(recordings(format))
    out = filtered(config, format, episode, data.draw(cuts()))
    assert events_of(out) == naive.background_activity(events_of(episode), planes, window_us, min_neighbours, apart)


def test_a_long_unordered_burst_in_one_microsecond_comes_out_sorted() -> None:
    units = np.random.default_rng(0).permutation(DVS.size).repeat(50).tolist()
    out = kept([(100, unit) for unit in units])
    assert out == [(100, unit) for unit in sorted(units)]
