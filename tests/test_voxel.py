import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.voxel import VoxelConfig
from pipeline.packet import Format
from tests import naive_encoders as naive
from tests.filtering import cuts, events_of, few, filtered, packet_of, recordings, spikes

DVS = Format("spikes", (2, 3, 4), names=("left", "right"))


def present(events: list[tuple[int, int]], **options: int) -> list[tuple[int, int]]:
    return spikes(filtered(VoxelConfig(window_ms=0.1, **options), DVS, packet_of(DVS, events, 0, 1000)))


def test_a_unit_fires_once_a_window_however_often_it_did() -> None:
    assert present([(20, 5), (30, 1), (99, 5), (100, 5)]) == [(0, 1), (0, 5), (100, 5)]


def test_bins_are_channels_of_their_own() -> None:
    assert present([(10, 5), (49, 5), (50, 5), (99, 3)], bins=2) == [(0, 5), (0, 27), (0, 29)]


def test_the_open_window_counts_at_the_end() -> None:
    out = filtered(VoxelConfig(window_ms=0.1), DVS, packet_of(DVS, [(120, 5)], 110, 130))
    assert (out.begin_us, out.end_us, spikes(out)) == (100, 200, [(100, 5)])


def test_windows_that_lie_an_hour_apart_come_out_in_order() -> None:
    events = [(0, 5), (0, 4), (3_600_000_000, 3), (3_600_000_000, 2)]
    out = filtered(VoxelConfig(window_ms=0.001), DVS, packet_of(DVS, events, 0, 3_600_000_001))
    assert spikes(out) == sorted(events)


def test_what_comes_out_is_on_a_tick_of_one_window() -> None:
    assert VoxelConfig(window_ms=5, bins=3).check(DVS) == dataclasses.replace(DVS, shape=(6, 3, 4), tick_us=5000)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="takes spikes, got graded of shape 4"):
        VoxelConfig().check(Format("graded", (4,)))
    with pytest.raises(ValueError, match="a window of 2 us cannot be divided into 3 bins"):
        VoxelConfig(window_ms=0.002, bins=3).check(DVS)


@few
@given(st.data(), st.integers(1, 20), st.integers(1, 4))
def test_it_is_the_plain_truth_however_the_recording_is_cut(data: st.DataObject, window_us: int, bins: int) -> None:
    bins, episode = min(bins, window_us), data.draw(recordings(DVS))
    out = filtered(VoxelConfig(window_ms=window_us / 1000, bins=bins), DVS, episode, data.draw(cuts()))
    assert events_of(out) == naive.voxel(events_of(episode), DVS.size, window_us, bins)
