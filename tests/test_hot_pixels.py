from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.hot_pixels import HotPixelsConfig
from pipeline.packet import Format
from tests import naive_filters as naive
from tests.filtering import cuts, events_of, few, filtered, packet_of, recordings, spikes

DVS = Format("spikes", (2, 4, 5))
OFF_1_1, OFF_2_2, OFF_3_3, ON_1_1 = 6, 12, 18, 26  # polarity, x, y

# windows of 10 us; more than 2 events in one are too many, one in a window lets a pixel pass again
STRICT = {"window_ms": 0.01, "max_rate_hz": 200_000, "release_rate_hz": 100_000}


def kept(events: list[tuple[int, int]], format: Format = DVS, **options: object) -> list[tuple[int, int]]:
    config = HotPixelsConfig(**(STRICT | options))  # type: ignore[arg-type]
    return spikes(filtered(config, format, packet_of(format, sorted(events), 0, 1000)))


def of(unit: int, *times_us: int) -> list[tuple[int, int]]:
    return [(t_us, unit) for t_us in times_us]


def test_a_pixel_that_fires_too_often_is_silenced_from_the_next_window_on() -> None:
    assert kept(of(OFF_1_1, 1, 2, 3, 11, 12, 19)) == of(OFF_1_1, 1, 2, 3)


def test_a_pixel_at_the_greatest_rate_allowed_passes() -> None:
    assert kept(of(OFF_1_1, 1, 2, 11, 12, 21)) == of(OFF_1_1, 1, 2, 11, 12, 21)


def test_a_hot_pixel_stays_silenced_while_it_fires_above_the_release_rate() -> None:
    assert kept(of(OFF_1_1, 1, 2, 3, 11, 12, 21)) == of(OFF_1_1, 1, 2, 3)


def test_a_hot_pixel_passes_again_after_a_window_at_the_release_rate() -> None:
    assert kept(of(OFF_1_1, 1, 2, 3, 11, 21, 22)) == of(OFF_1_1, 1, 2, 3, 21, 22)


def test_a_hot_pixel_passes_again_after_a_silent_window() -> None:
    assert kept(of(OFF_1_1, 1, 2, 3, 21, 905)) == of(OFF_1_1, 1, 2, 3, 21, 905)


def test_the_release_rate_is_half_of_the_greatest_unless_given() -> None:
    assert kept(of(OFF_1_1, 1, 2, 3, 11, 12, 21), release_rate_hz=None) == of(OFF_1_1, 1, 2, 3)
    assert kept(of(OFF_1_1, 1, 2, 3, 11, 21), release_rate_hz=None) == of(OFF_1_1, 1, 2, 3, 21)


def test_both_polarities_count_and_are_silenced_together() -> None:
    assert kept([(1, OFF_1_1), (2, ON_1_1), (3, OFF_1_1), (11, OFF_1_1), (12, ON_1_1), (13, OFF_2_2)])[3:] == [(13, OFF_2_2)]


def test_windows_lie_on_the_grid_of_stream_time_not_at_the_first_event() -> None:
    assert kept(of(OFF_1_1, 8, 9, 11, 12, 22)) == of(OFF_1_1, 8, 9, 11, 12, 22)


def test_an_edge_that_most_neighbours_see_as_well_passes_at_any_rate() -> None:
    everywhere = [(t_us, unit) for t_us in range(0, 30) for unit in range(20)]
    assert kept(everywhere) == sorted(everywhere)


def test_a_hot_pixel_beside_a_hotter_one_is_found() -> None:
    weak, strong = of(OFF_1_1, 1, 2, 3, 11), [(t_us, OFF_2_2) for t_us in range(0, 12)]
    assert (11, OFF_1_1) not in kept(weak + strong)


def test_half_of_the_neighbours_are_not_most_of_them() -> None:
    row, busy = Format("spikes", (3,)), range(0, 9)
    both = [(t_us, unit) for t_us in busy for unit in (0, 1)]
    assert kept([*both, (11, 1)], row) == sorted([*both, (11, 1)])
    assert kept([*of(1, *busy), (11, 1)], row) == of(1, *busy)


def test_the_rate_alone_decides_if_neighbours_do_not_matter() -> None:
    everywhere = [(t_us, unit) for t_us in range(0, 30) for unit in range(20)]
    assert kept(everywhere, over_neighbours=0) == sorted(event for event in everywhere if event[0] < 10)


def test_a_masked_pixel_never_passes_in_either_polarity() -> None:
    assert kept([(1, OFF_1_1), (2, ON_1_1), (3, OFF_3_3)], mask=[[1, 1]]) == [(3, OFF_3_3)]


def test_a_mask_file_may_be_a_list_of_pixels_or_a_picture(tmp_path: Path) -> None:
    np.save(tmp_path / "list.npy", np.array([[1, 1], [3, 3]]))
    picture = np.zeros((4, 5), bool)
    picture[1, 1] = picture[3, 3] = True
    np.save(tmp_path / "picture.npy", picture)
    events = [(1, OFF_1_1), (2, OFF_2_2), (3, OFF_3_3)]
    assert kept(events, mask=tmp_path / "list.npy") == kept(events, mask=str(tmp_path / "picture.npy")) == [(2, OFF_2_2)]


def test_a_mask_file_is_relative_to_the_config_that_names_it(tmp_path: Path) -> None:
    config = HotPixelsConfig.model_validate({"mask": "masks/hot.npy"}, context={"folder": tmp_path})
    assert config.mask == tmp_path / "masks" / "hot.npy"


def test_units_of_one_axis_are_pixels_of_one_row() -> None:
    assert kept([(1, 2), (2, 4)], Format("spikes", (6,)), mask=[[4, 0]]) == [(1, 2)]


@pytest.mark.parametrize(("mask", "pixel"), [([[5, 0]], "[5, 0]"), ([[1, 1], [0, 4]], "[0, 4]")])
def test_a_mask_outside_of_the_sensor_is_refused_by_check(mask: list[list[int]], pixel: str) -> None:
    with pytest.raises(ValueError) as error:
        HotPixelsConfig(mask=mask).check(DVS)
    assert str(error.value) == f"hot_pixels: mask: pixel {pixel} lies outside of the 5 x 4 sensor"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such mask file"),
        (b"no array", "not a .npy file of numbers"),
        (b"", "not a .npy file of numbers"),
        (np.zeros((3, 3), bool), "a mask is (n, 2) integers x, y or (4, 5) truths, got (3, 3) bool"),
        (np.array([[0.5, 1.0]]), "got (1, 2) float64"),
        (np.array([[9, 9]]), "pixel [9, 9] lies outside of the 5 x 4 sensor"),
        (np.array([[-1, 0]]), "pixel [-1, 0] lies outside of the 5 x 4 sensor"),
    ],
)
def test_a_mask_file_that_does_not_fit_is_refused_with_its_name(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "mask.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(ValueError) as error:
        HotPixelsConfig(mask=path).prepare(DVS)
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_release_rate_above_the_greatest_rate_is_refused() -> None:
    with pytest.raises(ValidationError, match="release_rate_hz 300 must not exceed max_rate_hz 200"):
        HotPixelsConfig(release_rate_hz=300)


def test_graded_events_are_refused() -> None:
    with pytest.raises(ValueError, match="hot_pixels takes spikes of shape"):
        HotPixelsConfig().check(Format("graded", (2, 4, 5)))


def test_the_report_says_how_often_a_pixel_turned_hot() -> None:
    operator = HotPixelsConfig(**STRICT).prepare(DVS)(None)
    operator.process(packet_of(DVS, of(OFF_1_1, 1, 2, 3, 11), 0, 20))
    assert operator.report() == {"pixels_found_hot": 1}  # type: ignore[attr-defined]


@few
@given(
    st.data(),
    st.sampled_from([(2, 2, 2), (1, 3, 3), (3,), (1,)]),
    st.integers(2, 12),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from([0, 0.5, 1, 2]),
)
def test_it_is_the_plain_truth_however_the_recording_is_cut(
    data: st.DataObject, shape: tuple[int, ...], window_us: int, most: int, release: int, over_neighbours: float
) -> None:
    format = Format("spikes", shape)
    planes = naive.planes(shape)
    max_rate_hz, release_rate_hz = ((count + 0.5) * 1e6 / window_us for count in (most, min(release, most)))
    masked = data.draw(st.sets(st.tuples(st.integers(0, planes[2] - 1), st.integers(0, planes[1] - 1)), max_size=1))
    config = HotPixelsConfig(
        window_ms=window_us / 1000,
        max_rate_hz=max_rate_hz,
        release_rate_hz=release_rate_hz,
        over_neighbours=over_neighbours,
        mask=sorted(masked),
    )
    episode = data.draw(recordings(format, most=120))
    out = filtered(config, format, episode, data.draw(cuts()))
    truth = naive.hot_pixels(events_of(episode), planes, window_us, max_rate_hz, release_rate_hz, over_neighbours, masked)
    assert events_of(out) == truth
