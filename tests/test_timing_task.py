"""The timing tasks: the class lies where it is said to lie, and nowhere else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pydantic import ValidationError

from operators.probe import ProbeConfig
from pipeline.packet import Packet, join
from sources.timing_task import TimingTaskConfig
from tests.packets import glue


def drawn(**options: object) -> list[Packet]:
    packets = TimingTaskConfig(**options).prepare()(None).packets()  # type: ignore[arg-type]
    return [glue(list(group)) for _, group in itertools.groupby(packets, key=lambda packet: packet.episode)]


def times(episode: Packet, unit: int) -> np.ndarray:
    return episode.t_us[episode.unit == unit] // 1000


def test_both_classes_come_about_as_often():
    labels = [episode.label for episode in drawn(task="isi", samples=200)]
    assert 70 < sum(labels) < 130


def test_isi_pairs_are_all_of_one_interval():
    for episode in drawn(task="isi", samples=20):
        n = times(episode, 0).size
        assert n % 2 == 0
        differences = {int(b - a) for a, b in itertools.combinations(times(episode, 0).tolist(), 2)}
        common = set.intersection(*({int(b - a) for a, b in itertools.combinations(times(episode, unit).tolist(), 2)}
                                    for unit in range(10)))
        assert n >= 2
        assert common & differences, "all neurons share the interval of the sample"


def test_cross_channel_partners_fire_an_interval_apart_round_the_end_of_the_episode():
    for episode in drawn(task="cross_channel_isi", samples=20, max_interval_ms=400):
        rate = times(episode, 0).size
        lags = np.concatenate([lags_of_pair(episode, pair) for pair in range(10)])
        assert np.bincount(lags).max() >= 10 * rate, "all pairs share one interval"
        assert np.bincount(lags).argmax() <= 400


def test_a_cross_channel_neuron_alone_tells_nothing_of_the_interval():
    early: dict[int, list[float]] = {0: [], 1: []}
    for episode in drawn(task="cross_channel_isi", samples=300, max_interval_ms=400):
        early[episode.label].append(float((np.concatenate([times(episode, 2 * p + 1) for p in range(10)]) < 200).mean()))
    for shares in early.values():
        assert 0.19 < np.mean(shares) < 0.21, "second neurons fire as often early as late, after long intervals and short"


@pytest.mark.parametrize(("task", "interval", "spikes_a_pair"), [("isi", 99, 2), ("cross_channel_isi", 500, 1)])
def test_spike_counts_alone_tell_nothing_of_the_class(task: str, interval: int, spikes_a_pair: int):
    episodes = drawn(task=task, max_interval_ms=interval, samples=1000)
    counts, labels = np.array([np.bincount(e.unit) for e in episodes]), np.array([e.label for e in episodes])
    assert (counts == counts[:, :1]).all(), "all neurons of a sample fire as often, so its rate is all that counts tell"
    rates = counts[:, 0] // spikes_a_pair
    assert set(rates.tolist()) == {2, 4, 6, 8, 10}
    guess = {rate: labels[:500][rates[:500] == rate].mean() > 0.5 for rate in (2, 4, 6, 8, 10)}
    right = np.mean([guess[rate] == label for rate, label in zip(rates[500:].tolist(), labels[500:], strict=True)])
    assert abs(right - 0.5) < 0.07  # three deviations of 500 tosses


def test_the_interval_is_all_that_tells_the_class_of_cross_channel_pairs():
    """Told by the most frequent lag of the ten pairs and the rate; once all spikes are relocated nothing is left of it."""
    episodes = drawn(task="cross_channel_isi", max_interval_ms=500, samples=400)
    probe, format = ProbeConfig(how="relocate", share=1.0), TimingTaskConfig(task="cross_channel_isi").check()
    relocated = [join(operator.process(e), operator.finish()) for e in episodes for operator in [probe.prepare(format)(None)]]
    labels = [episode.label for episode in episodes]
    assert np.mean([told(e, 500) == label for e, label in zip(episodes, labels, strict=True)]) == 1
    assert abs(np.mean([told(e, 500) == label for e, label in zip(relocated, labels, strict=True)]) - 0.5) < 0.08


def lags_of_pair(episode: Packet, pair: int) -> np.ndarray:
    """How long after each spike of the first neuron each one of the second fires, round the end of the episode, in ms."""
    return ((times(episode, 2 * pair + 1)[:, None] - times(episode, 2 * pair)) % 1000).ravel()


def told(episode: Packet, longest: int) -> int:
    """The side of the line, y > -x / 2, of the most frequent lag, by the middle of what x may be at this rate."""
    lags = np.bincount(np.concatenate([lags_of_pair(episode, pair) for pair in range(10)]), minlength=longest + 1)[: longest + 1]
    y = (lags.argmax() - 1) / (longest - 1) * 20 - 10
    x = {2: -8, 4: -4, 6: 0, 8: 4, 10: 8}[times(episode, 0).size]
    return int(y > -x / 2)


def test_two_of_three_groups_share_their_volleys_and_counts_are_balanced():
    for episode in drawn(task="coincidence", samples=12):
        volleys = [set(times(episode, 20 * group).tolist()) for group in range(3)]
        assert {len(v) for v in volleys} == {8}
        shared = {(0, 1): 0, (0, 2): 1, (1, 2): 2}
        best = max(shared, key=lambda pair: len(volleys[pair[0]] & volleys[pair[1]]))
        assert shared[best] == episode.label
        assert volleys[best[0]] == volleys[best[1]]


def test_at_full_overlap_no_two_groups_share_more_than_by_chance():
    together = []
    for episode in drawn(task="coincidence", samples=30, overlap=1.0):
        volleys = [set(times(episode, 20 * group).tolist()) for group in range(3)]
        first, second = ((0, 1), (0, 2), (1, 2))[episode.label]
        together.append(len(volleys[first] & volleys[second]))
    assert np.mean(together) < 1


def test_a_sample_follows_from_draw_and_number_alone():
    few, many = drawn(task="isi", samples=3, draw=5), drawn(task="isi", samples=6, draw=5)
    assert [e.t_us.tolist() for e in few] == [e.t_us.tolist() for e in many[:3]]
    assert few[0].t_us.tolist() != drawn(task="isi", samples=1, draw=6)[0].t_us.tolist()


def test_an_interval_that_does_not_fit_the_episode_is_refused():
    with pytest.raises(ValidationError, match="max_interval_ms must be below duration_ms 100"):
        TimingTaskConfig(task="isi", duration_ms=100, max_interval_ms=100)
    with pytest.raises(ValidationError, match="at most 99, as 10 pairs must fit duration_ms 1000, got 100"):
        TimingTaskConfig(task="isi", max_interval_ms=100)
