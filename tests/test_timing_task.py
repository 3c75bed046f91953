"""The timing tasks: the class lies where it is said to lie, and nowhere else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.packet import Packet
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


def test_cross_channel_partners_fire_an_interval_apart_and_alone_tell_nothing():
    shares = []
    for episode in drawn(task="cross_channel_isi", samples=40, max_interval_ms=400):
        best = max(range(1, 401), key=lambda d: sum(np.isin(times(episode, 2 * p) + d, times(episode, 2 * p + 1)).sum()
                                                    for p in range(10)))
        inside = sum((times(episode, 2 * p) + best < 1000).sum() for p in range(10))
        hits = sum(np.isin(times(episode, 2 * p) + best, times(episode, 2 * p + 1)).sum() for p in range(10))
        assert hits == inside, "every first spike whose partner still fits has one"
        second = np.concatenate([times(episode, 2 * p + 1) for p in range(10)])
        shares.append((second < 200).mean())
    assert 0.15 < np.mean(shares) < 0.25, "the second neurons fire as often early as late"


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
