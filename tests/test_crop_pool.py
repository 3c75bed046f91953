import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.crop_pool import CropPoolConfig
from pipeline.packet import Format
from tests import naive_filters as naive
from tests.filtering import cuts, events_of, few, filtered, packet_of, recordings, spikes

DVS = Format("spikes", (2, 4, 6), names=("left", "right"))


def unit(polarity: int, y: int, x: int, shape: tuple[int, ...] = DVS.shape) -> int:
    return (polarity * shape[1] + y) * shape[2] + x


def moved(events: list[tuple[int, int]], format: Format = DVS, **options: object) -> list[tuple[int, int]]:
    return spikes(filtered(CropPoolConfig(**options), format, packet_of(format, events, 0, 1000)))  # type: ignore[arg-type]


def test_blocks_of_pixels_become_one_pixel_each() -> None:
    small = (2, 2, 3)
    assert moved([(1, unit(1, 0, 5)), (2, unit(0, 3, 2))], to=small) == [(1, unit(1, 0, 2, small)), (2, unit(0, 1, 1, small))]


def test_two_events_that_fall_on_one_pixel_stay_two() -> None:
    assert moved([(1, unit(0, 0, 0)), (1, unit(0, 1, 1))], to=[2, 2, 3]) == [(1, 0), (1, 0)]


def test_events_outside_of_the_crop_are_dropped() -> None:
    events = [(1, unit(0, 1, 2)), (2, unit(0, 1, 1)), (3, unit(1, 2, 5)), (4, unit(1, 3, 4))]
    assert moved(events, crop=[2, 1, 3, 2]) == [(1, 0)]


def test_a_crop_alone_keeps_its_resolution() -> None:
    assert CropPoolConfig(crop=[2, 1, 3, 2]).check(DVS).shape == (2, 2, 3)
    assert moved([(1, unit(1, 2, 4))], crop=[2, 1, 3, 2]) == [(1, unit(1, 1, 2, (2, 2, 3)))]


def test_a_ratio_that_is_not_whole_makes_blocks_that_differ_by_one() -> None:
    row = Format("spikes", (1, 1, 7))
    assert [u for _, u in moved([(x, x) for x in range(7)], row, to=[1, 1, 3])] == [0, 0, 0, 1, 1, 2, 2]


def test_the_centre_is_pooled_by_one_whole_ratio() -> None:
    camera = Format("spikes", (2, 720, 1280))
    config = CropPoolConfig(crop="center", to=[2, 34, 34])
    corner = (unit(0, 3, 283, camera.shape), unit(0, 3 + 713, 283 + 713, camera.shape))
    before, after = unit(0, 2, 283, camera.shape), unit(0, 3 + 714, 283 + 713, camera.shape)
    episode = packet_of(camera, [(1, before), (2, corner[0]), (3, corner[1]), (4, after)], 0, 10)
    assert spikes(filtered(config, camera, episode)) == [(2, 0), (3, 34 * 34 - 1)]


def test_events_of_one_microsecond_come_out_in_order_of_their_new_unit() -> None:
    assert moved([(1, unit(0, 0, 5)), (1, unit(0, 1, 0))], to=[2, 2, 3]) == [(1, 0), (1, 2)]


def test_values_go_along_with_their_events_and_equal_units_keep_their_order() -> None:
    pixels = Format("graded", (1, 1, 4))
    out = filtered(CropPoolConfig(to=[1, 1, 2]), pixels, packet_of(pixels, [(5, 3), (5, 1), (5, 2), (5, 0)], 0, 10))
    assert events_of(out) == [(5, 0, 1.0), (5, 0, 3.0), (5, 1, 0.0), (5, 1, 2.0)]


def test_channels_of_a_cochlea_are_pooled_with_their_neighbours() -> None:
    assert moved([(1, 4), (2, 5), (3, 699)], Format("spikes", (700,)), to=[140]) == [(1, 0), (2, 1), (3, 139)]


def test_channels_of_a_cochlea_become_an_image_of_one_row() -> None:
    row = Format("spikes", (700,))
    options = {"crop": [200, 0, 500, 1], "to": [1, 1, 50]}
    assert CropPoolConfig(**options).check(row) == Format("spikes", (1, 1, 50))  # type: ignore[arg-type]
    assert moved([(1, 199), (2, 200), (3, 699)], row, **options) == [(2, 0), (3, 49)]


def test_what_comes_out_has_the_shape_asked_for_and_is_else_as_before() -> None:
    assert CropPoolConfig(to=[2, 2, 3]).check(DVS) == Format("spikes", (2, 2, 3), names=("left", "right"))


@pytest.mark.parametrize(
    ("options", "format", "message"),
    [
        ({}, DVS, "crop_pool needs `to`, `crop: [x, y, width, height]` or both"),
        ({"crop": "center"}, DVS, "crop_pool needs `to`"),
        ({"to": [1, 2, 3]}, DVS, "to must be [2, height, width] (`polarity` folds channels) on spikes of shape 2x4x6"),
        ({"to": [2, 3]}, DVS, "to must be [2, height, width]"),
        ({"to": [2, 2, 2]}, Format("spikes", (9,)), "to must be [n] or [1, 1, n] on spikes of shape 9, got [2, 2, 2]"),
        ({"crop": [4, 0, 3, 4]}, DVS, "crop [4, 0, 3, 4] leaves the 6 x 4 sensor"),
        ({"to": [2, 5, 6]}, DVS, "to is 6 x 5 pixels, more than the 6 x 4 that it pools"),
        ({"crop": "center", "to": [2, 5, 5]}, DVS, "to is 5 x 5 pixels, more than the 5 x 4 that it pools"),
        ({"crop": "center", "to": [3]}, Format("spikes", (9,)), "crop: center needs height and width"),
        ({"to": [2, 2, 2]}, Format("decisions", (10,)), "crop_pool takes spikes or graded of shape"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, object], format: Format, message: str) -> None:
    with pytest.raises(ValueError) as error:
        CropPoolConfig(**options).check(format)  # type: ignore[arg-type]
    assert message in str(error.value)


@few
@given(st.data(), st.sampled_from(["spikes", "graded"]))
def test_it_is_the_plain_truth_however_the_recording_is_cut(data: st.DataObject, kind: str) -> None:
    channels, height, width = (data.draw(st.integers(1, most)) for most in (3, 7, 7))
    w, h = data.draw(st.integers(1, width)), data.draw(st.integers(1, height))
    region = (data.draw(st.integers(0, width - w)), data.draw(st.integers(0, height - h)), w, h)
    to = (channels, data.draw(st.integers(1, h)), data.draw(st.integers(1, w)))
    format = Format(kind, (channels, height, width))  # type: ignore[arg-type]
    episode = data.draw(recordings(format, span_us=15))
    out = filtered(CropPoolConfig(crop=region, to=to), format, episode, data.draw(cuts()))
    assert events_of(out) == naive.crop_pool(events_of(episode), format.shape, region, to)  # type: ignore[arg-type]
