from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.send_on_delta import SendOnDeltaConfig
from pipeline.packet import Format, Packet
from tests import naive_encoders as naive
from tests.filtering import cuts, events_of, few, filtered, recordings, spikes

SOUND = Format("graded", (2,), rate_hz=1e6, names=("left", "right"))
DOWN, UP = 0, 2  # of channel 0


def fired(values: list[float], **options: object) -> list[tuple[int, int]]:
    """Channel 0 gets a value every microsecond."""
    n = len(values)
    episode = Packet(0, n, np.arange(n), np.zeros(n, np.uint32), np.array(values, np.float32))
    return spikes(filtered(SendOnDeltaConfig(**options), SOUND, episode))  # type: ignore[arg-type]


def test_a_spike_tells_that_the_value_has_moved_by_delta_from_the_one_last_sent() -> None:
    assert fired([5, 5.5, 6, 6.9, 5.1, 5], delta=1) == [(2, UP), (5, DOWN)]


def test_one_value_makes_one_spike_however_far_it_is() -> None:
    assert fired([0, 10, 10.5, 11], delta=1) == [(1, UP), (3, UP)]


def test_hysteresis_holds_back_a_turn_but_not_what_goes_on() -> None:
    assert fired([0, 1, 0, 1, 2, 0.4], delta=1, hysteresis=0.5) == [(1, UP), (4, UP), (5, DOWN)]


def test_values_within_the_refractory_period_are_passed_over() -> None:
    assert fired([0, 1, 2, 3, 3, 3], delta=1, refractory_ms=0.003) == [(1, UP), (4, UP)]


def test_not_a_number_is_passed_over() -> None:
    nan = float("nan")
    assert fired([nan, 0, nan, 1, nan], delta=1) == [(3, UP)]


def test_down_and_up_are_a_first_axis_and_pictures_become_those_of_an_event_camera() -> None:
    config = SendOnDeltaConfig(delta=1)
    assert config.check(SOUND) == Format("spikes", (2, 2), names=("left", "right"))
    assert config.check(Format("graded", (1, 4, 5))).shape == config.check(Format("graded", (4, 5))).shape == (2, 4, 5)


def test_spikes_are_refused() -> None:
    with pytest.raises(ValueError, match="takes graded events, got spikes of shape 4"):
        SendOnDeltaConfig(delta=1).check(Format("spikes", (4,)))


@few
@given(st.data(), st.sampled_from([0.1, 1.0, 2.5]), st.sampled_from([0.0, 0.3]), st.integers(0, 5))
def test_it_is_the_plain_truth_however_the_recording_is_cut(
    data: st.DataObject, delta: float, hysteresis: float, refractory_us: int
) -> None:
    episode = data.draw(recordings(SOUND))
    values = data.draw(st.lists(st.floats(-3, 3, width=32), min_size=episode.n, max_size=episode.n))
    episode = replace(episode, value=np.array(values, np.float32))
    config = SendOnDeltaConfig(delta=delta, hysteresis=hysteresis, refractory_ms=refractory_us / 1000)
    out = events_of(filtered(config, SOUND, episode, data.draw(cuts())))
    assert out == naive.send_on_delta(events_of(episode), 2, delta, hysteresis, refractory_us)
