"""What each probe takes away from an episode, and what it leaves."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError

from operators.probe import ProbeConfig
from pipeline.packet import Format, Packet
from tests.packets import glue

FORMAT = Format("spikes", (6,))


def episode(number: int = 0, n: int = 120) -> Packet:
    """Spikes of six units, one a ms and unit at most, at odd places inside their ms, in an episode of 100 ms."""
    cells = np.random.default_rng(3).choice(600, n, replace=False)
    t_us, unit = cells % 100 * 1000 + 5_000 + cells % 7, (cells // 100).astype(np.uint32)
    order = np.lexsort((unit, t_us))
    return Packet(5_000, 105_000, t_us[order].astype(np.int64), unit[order], None, number, True)


def probed(packet: Packet, **options: object) -> Packet:
    operator = ProbeConfig(**options).prepare(FORMAT)(None)  # type: ignore[arg-type]
    return glue([operator.process(packet), operator.finish()])


def per_unit(packet: Packet) -> Counter[int]:
    return Counter(packet.unit.tolist())


def test_relocation_keeps_the_counts_of_every_unit_and_one_spike_a_bin():
    before, after = episode(), probed(episode(), how="relocate", share=1)
    assert per_unit(after) == per_unit(before)
    assert len(set(zip(after.unit.tolist(), ((after.t_us - 5_000) // 1000).tolist(), strict=True))) == after.n
    moved = set(zip(before.t_us.tolist(), before.unit.tolist(), strict=True)) ^ set(zip(after.t_us.tolist(), after.unit.tolist(),
                                                                                        strict=True))
    assert len(moved) > 1.5 * before.n


def test_relocation_moves_about_the_share_that_it_is_asked_to_move():
    before, after = episode(), probed(episode(), how="relocate", share=0.25)
    stayed = len(set(zip(before.t_us, before.unit, strict=True)) & set(zip(after.t_us, after.unit, strict=True)))
    assert 0.65 * before.n < stayed < 0.85 * before.n


@pytest.mark.parametrize("options", [{"how": "relocate", "share": 0}, {"how": "jitter", "sigma_ms": 0},
                                     {"how": "unit_jitter", "sigma_ms": 0}, {"how": "delete", "share": 0}])
def test_a_probe_of_no_strength_changes_nothing(options):
    before, after = episode(), probed(episode(), **options)
    assert (after.t_us.tolist(), after.unit.tolist()) == (before.t_us.tolist(), before.unit.tolist())


def test_jitter_keeps_counts_and_stays_near():
    before, after = episode(n=30), probed(episode(n=30), how="jitter", sigma_ms=2)
    assert per_unit(after) == per_unit(before)
    assert before.t_us.tolist() != after.t_us.tolist()
    for unit in range(6):
        shift = np.sort(after.t_us[after.unit == unit]) - np.sort(before.t_us[before.unit == unit])
        assert np.abs(shift).max() < 12_000


def test_unit_jitter_moves_all_spikes_of_a_unit_by_one_amount():
    before, after = episode(), probed(episode(), how="unit_jitter", sigma_ms=4)
    shifts = []
    for unit in range(6):
        old, new = before.t_us[before.unit == unit], after.t_us[after.unit == unit]
        # Those that left the episode are gone: what is left is a stretch of the unit's train, moved as a whole.
        matches = [new[0] - old[skip] for skip in range(old.size - new.size + 1)
                   if (new - old[skip : skip + new.size] == new[0] - old[skip]).all()]
        assert len(matches) == 1
        shifts.append(int(matches[0]))
    assert len(set(shifts)) == 6


def test_deletion_drops_the_share_and_moves_nothing():
    before, after = episode(), probed(episode(), how="delete", share=0.4)
    assert set(zip(after.t_us, after.unit, strict=True)) < set(zip(before.t_us, before.unit, strict=True))
    assert 0.45 * before.n < after.n < 0.75 * before.n


def test_reversal_runs_backwards_and_twice_is_as_before():
    once = probed(episode(), how="reverse")
    assert sorted(once.t_us.tolist()) == sorted((5_000 + 105_000 - 1 - episode().t_us).tolist())
    twice = probed(Packet(5_000, 105_000, once.t_us, once.unit, None, 0, True), how="reverse")
    assert (twice.t_us.tolist(), twice.unit.tolist()) == (episode().t_us.tolist(), episode().unit.tolist())


def test_every_episode_and_every_seed_has_numbers_of_its_own():
    def times(number: int, seed: int) -> list[int]:
        return probed(episode(number), how="relocate", share=1, seed=seed).t_us.tolist()

    assert times(0, 0) == times(0, 0)
    assert times(0, 0) != times(1, 0)
    assert times(0, 0) != times(0, 1)


def test_a_unit_whose_bins_are_all_full_stays_as_it_is():
    t_us = np.arange(5_000, 15_000, 1000)
    full = Packet(5_000, 15_000, t_us, np.zeros(10, np.uint32), None, 0, True)
    assert sorted(probed(full, how="relocate", share=1).t_us.tolist()) == t_us.tolist()


@pytest.mark.parametrize("options", [{"how": "relocate"}, {"how": "relocate", "share": 0.1, "sigma_ms": 1},
                                     {"how": "jitter", "share": 0.1}, {"how": "reverse", "share": 1}])
def test_an_amount_that_does_not_belong_to_the_probe_is_refused(options):
    with pytest.raises(ValidationError, match=r"needs|has no"):
        ProbeConfig(**options)
