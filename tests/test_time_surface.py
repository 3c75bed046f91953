from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.time_surface import TimeSurfaceConfig
from pipeline.packet import Format
from tests import naive_encoders as naive
from tests.filtering import cuts, events_of, few, filtered, packet_of, recordings

DVS = Format("spikes", (2, 3, 4), names=("left", "right"))


def test_a_value_falls_with_the_time_since_its_unit_fired_last() -> None:
    episode = packet_of(DVS, [(400, 3), (900, 3), (2000, 20)], 0, 3000)
    out = events_of(filtered(TimeSurfaceConfig(every_ms=1, tau_ms=2), DVS, episode))
    assert [(t, u) for t, u, _ in out] == [(0, 3), (1000, 3), (2000, 3), (2000, 20)]
    assert [v for _, _, v in out] == pytest.approx([np.exp(-0.05), np.exp(-0.55), np.exp(-1.05), np.exp(-0.5)])


def test_a_unit_is_dark_once_its_value_is_below_the_least() -> None:
    config = TimeSurfaceConfig(every_ms=1, tau_ms=2, least=0.3)  # 2.4 ms
    assert [t for t, _, _ in events_of(filtered(config, DVS, packet_of(DVS, [(0, 3)], 0, 9000)))] == [0, 1000]


def test_long_silence_is_skipped() -> None:
    episode = packet_of(DVS, [(0, 3), (3_600_000_000_000, 4)], 0, 3_600_000_001_000)
    assert filtered(TimeSurfaceConfig(every_ms=0.001, tau_ms=0.01), DVS, episode).n == 46 * 2


def test_a_large_sensor_comes_out_whole() -> None:
    wide = Format("spikes", (2, 100, 100))
    out = filtered(TimeSurfaceConfig(), wide, packet_of(wide, [(5, unit) for unit in range(20_000)], 0, 20_000))
    assert out.unit.tolist() == [*range(20_000)] * 2


def test_what_comes_out_is_graded_on_the_tick() -> None:
    assert TimeSurfaceConfig(every_ms=5).check(DVS) == replace(DVS, kind="graded", tick_us=5000)
    with pytest.raises(ValueError, match="takes spikes, got graded of shape 4"):
        TimeSurfaceConfig().check(Format("graded", (4,)))


@few
@given(st.data(), st.integers(1, 15), st.integers(1, 20))
def test_it_is_the_plain_truth_however_the_recording_is_cut(data: st.DataObject, every_us: int, tau_us: int) -> None:
    episode = data.draw(recordings(DVS))
    config = TimeSurfaceConfig(every_ms=every_us / 1000, tau_ms=tau_us / 1000, least=0.2)
    out = events_of(filtered(config, DVS, episode, data.draw(cuts())))
    truth = naive.time_surface(events_of(episode), (episode.begin_us, episode.end_us), every_us, tau_us, 0.2)
    assert [(t, u) for t, u, _ in out] == [(t, u) for t, u, _ in truth]
    assert [v for _, _, v in out] == pytest.approx([v for _, _, v in truth], rel=1e-6)
