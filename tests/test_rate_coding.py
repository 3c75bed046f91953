from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.bernoulli import BernoulliConfig
from operators.hold import HoldConfig
from operators.poisson import PoissonConfig
from pipeline.packet import Format, Packet
from tests import naive_encoders as naive
from tests.filtering import cuts, events_of, few, filtered, recordings, spikes

PICTURE = Format("graded", (2, 3), rate_hz=50.0, names=("left", "right"))


def presented(values: list[float], length_us: int = 1_000_000) -> Packet:
    """A picture that is given at the begin and stays."""
    n = len(values)
    return Packet(0, length_us, np.zeros(n, np.int64), np.arange(n, dtype=np.uint32), np.array(values, np.float32))


def test_a_value_is_the_probability_of_a_spike_on_each_tick_until_it_changes() -> None:
    out = filtered(BernoulliConfig(), PICTURE, presented([0, 0.1, 0.5, 1, 7, -3]))
    counts = np.bincount(out.unit, minlength=6)
    assert counts[[0, 3, 4, 5]].tolist() == [0, 1000, 1000, 0]
    assert abs(counts[1] - 100) < 40
    assert abs(counts[2] - 500) < 70


def test_a_value_is_the_rate_of_a_poisson_process() -> None:
    out = filtered(PoissonConfig(max_rate_hz=2000, scale=0.5), PICTURE, presented([0, 0.2, 1, 2, 9, -1], 5_000_000))
    counts = np.array([np.bincount(out.t_us[out.unit == unit] // 1000, minlength=5000) for unit in range(6)])
    means = np.array([0, 0.2, 1, 2, 2, 0])
    assert np.abs(counts.mean(1) - means).max() < 0.1
    assert np.abs(counts.var(1) - means).max() < 0.2


def test_units_and_ticks_fire_independently() -> None:
    out = filtered(BernoulliConfig(scale=0.5), Format("graded", (200,)), presented([1.0] * 200, 200_000))
    fired = np.zeros((200, 200))
    fired[out.unit, out.t_us // 1000] = 1
    beside = np.asarray(np.corrcoef(fired))[~np.eye(200, dtype=bool)]
    after = np.asarray(np.corrcoef(fired.T))[~np.eye(200, dtype=bool)]
    assert abs(beside.mean()) < 0.01
    assert abs(after.mean()) < 0.01
    assert max(np.abs(beside).max(), np.abs(after).max()) < 0.4


def test_another_seed_gives_other_spikes_and_the_same_seed_the_same() -> None:
    one, other, again = (spikes(filtered(PoissonConfig(seed=s), PICTURE, presented([1.0] * 6))) for s in (1, 2, 1))
    assert one == again != other


def test_a_value_that_comes_within_a_tick_counts_for_it_and_zero_ends_it() -> None:
    episode = Packet(0, 5000, np.array([1999, 3000]), np.array([4, 4], np.uint32), np.array([1, 0], np.float32))
    assert spikes(filtered(BernoulliConfig(), PICTURE, episode)) == [(1000, 4), (2000, 4)]


def test_not_a_number_does_not_fire() -> None:
    assert spikes(filtered(BernoulliConfig(), PICTURE, presented([float("nan"), 1.0], 2000))) == [(0, 1), (1000, 1)]


def test_more_spikes_than_the_output_holds_come_out_whole() -> None:
    format = Format("graded", (1000,))
    out = filtered(PoissonConfig(max_rate_hz=64_000), format, presented([1.0] * 1000, 3000))
    cut = [(1 / 3, True), (2 / 3, True)]
    assert spikes(out) == spikes(filtered(PoissonConfig(max_rate_hz=64_000), format, presented([1.0] * 1000, 3000), cut))
    assert abs(out.n - 3 * 64_000) < 2000


@pytest.mark.parametrize("config", [PoissonConfig(tick_ms=2), BernoulliConfig(tick_ms=2)])
def test_what_comes_out_are_spikes_on_the_tick(config: PoissonConfig | BernoulliConfig) -> None:
    assert config.check(PICTURE) == replace(PICTURE, kind="spikes", tick_us=2000, rate_hz=None)
    with pytest.raises(ValueError, match="takes graded events, got spikes of shape 4"):
        config.check(Format("spikes", (4,)))


def test_a_rate_beyond_counting_is_refused() -> None:
    with pytest.raises(ValueError, match="65 spikes of a unit in a tick of 1 ms, and 64 is the most"):
        PoissonConfig(max_rate_hz=65_000)


def test_a_held_picture_flows_as_a_current_until_its_values_change():
    values = np.array([0.5, float("nan"), 0], np.float32)
    episode = Packet(0, 3500, np.array([0, 0, 2100]), np.array([1, 2, 1], np.uint32), values)
    assert events_of(filtered(HoldConfig(), PICTURE, episode)) == [(0, 1, 0.5), (1000, 1, 0.5)]
    assert HoldConfig(tick_ms=2).check(PICTURE) == replace(PICTURE, tick_us=2000, rate_hz=None)
    with pytest.raises(ValueError, match="takes graded events, got spikes of shape 4"):
        HoldConfig().check(Format("spikes", (4,)))


def test_more_held_values_than_the_output_holds_come_out_whole():
    format = Format("graded", (10_000,))
    assert filtered(HoldConfig(), format, presented([1.0] * 10_000, 3000)).n == 30_000


@st.composite
def pictures(draw: st.DrawFn, format: Format) -> Packet:
    episode = draw(recordings(format, most=20))
    values = draw(st.lists(st.sampled_from([0, 0.25, 0.5, 1, 3, -1]), min_size=episode.n, max_size=episode.n))
    return replace(episode, value=np.array(values, np.float32))


@few
@given(st.data(), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_it_is_the_plain_truth_however_the_recording_is_cut(data: st.DataObject, tick_us: int, seed: int) -> None:
    episode = data.draw(pictures(PICTURE))
    cut, span = data.draw(cuts()), (episode.begin_us, episode.end_us)
    config = BernoulliConfig(tick_ms=tick_us / 1000, scale=0.5, seed=seed)
    assert events_of(filtered(config, PICTURE, episode, cut)) == naive.bernoulli(events_of(episode), span, tick_us, 0.5, seed)
    assert events_of(filtered(HoldConfig(tick_ms=tick_us / 1000), PICTURE, episode, cut)) == naive.hold(
        events_of(episode), span, tick_us)
    rate = PoissonConfig(tick_ms=tick_us / 1000, max_rate_hz=500_000, seed=seed)
    out = events_of(filtered(rate, PICTURE, episode, cut))
    assert out == naive.poisson(events_of(episode), span, tick_us, 500_000, 1.0, seed)
