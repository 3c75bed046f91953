"""Packets, formats, specs and the decisions read from packets."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from pipeline.layer_spec import DelaySpec, LIFSpec, ReadoutSpec, decay
from pipeline.packet import NO_VALUES, Format, Packet, decisions, join, same_events, with_flags

SPIKES = Format("spikes", (2, 3, 4))
TWO = Format("decisions", (2,), names=("left", "right"), exit_at=0.9)


def spikes(begin_us: int, end_us: int, *events: tuple[int, int], **flags: object) -> Packet:
    t_us = np.array([t for t, _ in events], np.int64)
    return Packet(begin_us, end_us, t_us, np.array([unit for _, unit in events], np.uint32), **flags)  # type: ignore[arg-type]


def test_columns_become_read_only() -> None:
    packet = spikes(0, 10, (1, 2))
    with pytest.raises(ValueError, match="read-only"):
        packet.t_us[0] = 3


def test_a_packet_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        spikes(0, 10).end_us = 20  # type: ignore[misc]


def test_replace_and_pickle_keep_everything() -> None:
    packet = spikes(0, 10, (1, 2), episode=4, label=2, lost=1, barrier=3)
    for copy in (replace(packet), pickle.loads(pickle.dumps(packet))):
        assert same_events(copy, packet)
        assert (copy.episode, copy.last, copy.label, copy.lost, copy.barrier) == (4, False, 2, 1, 3)


@pytest.mark.parametrize(("columns", "error"), [
    ((np.array([1], np.int32), np.array([1], np.uint32)), TypeError),
    ((np.array([1]), np.array([1])), TypeError),
    ((np.array([1]), np.array([1], np.uint32), np.array([1.0])), TypeError),
    ((np.array([1, 2]), np.array([1], np.uint32)), ValueError),
    ((np.array([[1]]), np.array([[1]], np.uint32)), ValueError),
    ((np.array([1]), np.array([1], np.uint32), NO_VALUES), ValueError),
])
def test_columns_of_another_type_or_length_are_refused(columns: tuple[np.ndarray, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        Packet(0, 10, *columns)


def test_an_end_before_the_begin_is_refused() -> None:
    with pytest.raises(ValueError, match="end_us 9 lies before its begin_us 10"):
        Packet(10, 9)


@pytest.mark.parametrize(("packet", "said"), [
    (spikes(5, 10, (4, 0)), r"times 4..4 us leave the interval \[5, 10\)"),
    (spikes(5, 10, (10, 0)), "leave the interval"),
    (spikes(0, 10, (5, 0), (4, 0)), "run backwards"),
    (spikes(0, 10, (5, 24)), "unit 24 lies outside of spikes of shape 2x3x4"),
    (Packet(0, 10, value=NO_VALUES), "a stream of spikes has no values"),
])
def test_check_names_what_does_not_fit(packet: Packet, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        packet.check(SPIKES)


def test_check_accepts_the_edges() -> None:
    spikes(5, 10, (5, 23), (9, 0)).check(SPIKES)
    spikes(7, 7).check(SPIKES)


def test_joined_packets_hold_both_and_the_flags_of_the_second() -> None:
    joined = join(spikes(0, 5, (1, 2), lost=1), spikes(5, 9, (6, 1), last=True, lost=2, episode=3))
    assert same_events(joined, spikes(0, 9, (1, 2), (6, 1)))
    assert (joined.last, joined.lost, joined.episode) == (True, 3, 3)


def test_packets_that_do_not_meet_cannot_be_joined() -> None:
    with pytest.raises(ValueError, match="one ends at 5 us, the next begins at 6 us"):
        join(spikes(0, 5), spikes(6, 9))


def test_flags_are_taken_from_the_other_packet() -> None:
    flagged = with_flags(spikes(0, 5, (1, 2)), spikes(7, 9, episode=2, last=True, label=1, lost=4, barrier=6))
    assert same_events(flagged, spikes(0, 5, (1, 2)))
    assert (flagged.episode, flagged.last, flagged.label, flagged.lost, flagged.barrier) == (2, True, 1, 4, 6)


def decided(*right: float, last: bool = False) -> Packet:
    t_us = np.repeat(np.arange(len(right)), 2)
    value = np.array([[1 - r, r] for r in right], np.float32).reshape(-1)
    return Packet(0, 10, t_us, np.tile(np.array([0, 1], np.uint32), len(right)), value, last=last)


def test_the_class_is_the_greatest_value_the_lowest_index_on_a_tie() -> None:
    assert [d.name for d in decisions(decided(0.6, 0.5, 0.4), TWO)] == ["right", "left", "left"]


def test_a_decision_is_final_when_sure_enough_or_when_it_closes_its_episode() -> None:
    assert [d.final for d in decisions(decided(0.6, 0.9, 0.7, last=True), TWO)] == [False, True, True]
    assert [d.final for d in decisions(decided(0.6, 0.7), TWO)] == [False, False]


def test_half_a_decision_is_refused() -> None:
    with pytest.raises(ValueError, match="1 events are not whole decisions over 2 classes"):
        list(decisions(Packet(0, 10, np.array([1]), np.array([0], np.uint32), np.ones(1, np.float32)), TWO))


@pytest.mark.parametrize(("tau_ms", "kept"), [(np.inf, 1.0), (0.0, 0.0), (10.0, np.float32(np.exp(-1.0)))])
def test_decay_is_exact_at_its_ends(tau_ms: float, kept: float) -> None:
    assert decay(np.array([tau_ms]), 10_000)[0] == kept


@pytest.mark.parametrize(("make", "said"), [
    (lambda: LIFSpec(np.ones(3), 10, 1, 1000), r"weight must have shape \(n_in, n_out\), got \(3,\)"),
    (lambda: LIFSpec(np.full((1, 1), np.nan), 10, 1, 1000), "weight holds values that are not finite"),
    (lambda: LIFSpec(np.ones((1, 2)), [1, 2, 3], 1, 1000), r"tau_ms must have shape \(2,\), got \(3,\)"),
    (lambda: LIFSpec(np.ones((1, 1)), -1, 1, 1000), "tau_ms must be at least 0, got -1"),
    (lambda: LIFSpec(np.ones((1, 1)), 10, 0, 1000), "threshold must be above 0"),
    (lambda: LIFSpec(np.ones((1, 1)), 10, 1, 0), "tick_us must be at least 1"),
    (lambda: LIFSpec(np.ones((1, 1)), 10, 1, None, bias=1.0), "event mode"),
    (lambda: LIFSpec(np.ones((1, 1)), 10, 1, 1000, "hard"), "reset must be subtract or to_zero"),
    (lambda: DelaySpec(np.array([1.5])), "whole microseconds"),
    (lambda: DelaySpec(np.array([-1])), "at least 0, got -1"),
    (lambda: ReadoutSpec("membrane", ("a",)), "needs tau_ms and tick_us"),
    (lambda: ReadoutSpec("spike_count", ("a",), tick_us=1000), "has no tau_ms and no tick_us"),
    (lambda: ReadoutSpec("spike_count", ("a", "a")), "different class names"),
    (lambda: ReadoutSpec("spike_count", ("a", "b"), np.ones((3, 3))), "3 columns for 2 classes"),
    (lambda: ReadoutSpec("votes", ("a",)), "score must be spike_count, membrane, max_membrane or softmax_sum"),
])
def test_a_spec_refuses_what_is_no_physics(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]
