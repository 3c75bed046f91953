from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.latency import LatencyConfig
from pipeline.packet import Format, Packet
from tests import naive_encoders as naive
from tests.filtering import cuts, events_of, few, filtered, recordings, spikes

SIGNAL = Format("graded", (5,), rate_hz=8000.0, names=("left", "right"))


def fired(values: list[tuple[int, int, float]], **options: object) -> list[tuple[int, int]]:
    t_us, unit, value = zip(*values, strict=True)
    episode = Packet(0, 100, np.array(t_us), np.array(unit, np.uint32), np.array(value, np.float32))
    return spikes(filtered(LatencyConfig(window_ms=0.1, **options), SIGNAL, episode))  # type: ignore[arg-type]


def test_a_greater_value_fires_sooner_and_zero_does_not() -> None:
    assert fired([(10, 0, 1.0), (10, 1, 0.75), (10, 2, 0.0), (10, 3, -1.0), (10, 4, 8.0)]) == [(10, 0), (10, 4), (35, 1)]


def test_the_smallest_value_fires_within_the_window_after_the_end_of_the_recording() -> None:
    assert fired([(99, 0, 1e-9)]) == [(198, 0)]


def test_values_up_to_the_threshold_do_not_fire() -> None:
    assert fired([(0, 0, 0.5), (0, 1, 0.501)], threshold=0.5) == [(49, 1)]


def test_pixels_are_scaled() -> None:
    assert fired([(0, 0, 255.0), (0, 1, 64.0)], scale=1 / 255) == [(0, 0), (74, 1)]


def test_the_logarithmic_law_is_the_time_in_which_a_membrane_reaches_the_threshold() -> None:
    out = fired([(0, 0, 1.0), (0, 1, 0.2), (0, 2, 0.1000001)], law="logarithmic", threshold=0.1, tau_ms=0.05)
    assert out == [(5, 0), (34, 1)]
    v = 0.2 * (1 - np.exp(-34.657 / 50))
    assert v == pytest.approx(0.1, abs=1e-5)


def test_not_a_number_does_not_fire() -> None:
    assert fired([(0, 0, float("nan"))]) == []


def test_what_comes_out_are_spikes_on_no_tick() -> None:
    assert LatencyConfig().check(SIGNAL) == replace(SIGNAL, kind="spikes", rate_hz=None)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="takes graded events, got spikes of shape 4"):
        LatencyConfig().check(Format("spikes", (4,)))
    with pytest.raises(ValueError, match="needs a threshold above 0"):
        LatencyConfig(law="logarithmic")


@few
@given(st.data(), st.integers(1, 30), st.sampled_from([0.0, 0.2]))
def test_it_is_the_plain_truth_however_the_recording_is_cut(data: st.DataObject, window_us: int, threshold: float) -> None:
    episode = data.draw(recordings(SIGNAL))
    values = data.draw(st.lists(st.floats(-1, 2, width=32), min_size=episode.n, max_size=episode.n))
    episode = replace(episode, value=np.array(values, np.float32))
    cut, events = data.draw(cuts()), events_of(episode)
    out = filtered(LatencyConfig(window_ms=window_us / 1000, threshold=threshold), SIGNAL, episode, cut)
    assert events_of(out) == naive.latency_linear(events, window_us, 1.0, threshold)
    assert out.end_us == episode.end_us + window_us
    config = LatencyConfig(window_ms=window_us / 1000, law="logarithmic", threshold=0.3, tau_ms=0.01)
    assert events_of(filtered(config, SIGNAL, episode, cut)) == naive.latency_logarithmic(events, window_us, 0.3, 10.0)
