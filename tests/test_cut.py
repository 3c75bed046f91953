"""Cutting: windows from the first begin, a cap at microsecond boundaries, the same packets whatever the chunks, and resuming."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.packet import Packet, same_events
from sources.cut import Events, cut


def events(*t_us: int) -> Events:
    return Events(np.array(t_us, np.int64), np.arange(len(t_us), dtype=np.uint32))


def shape(packets) -> list[tuple[int, int, int, bool]]:
    return [(p.begin_us, p.end_us, p.n, p.last) for p in packets]


def test_windows_are_anchored_at_the_begin():
    assert shape(cut([events(103, 112, 131)], 103, 10, 99)) == [
        (103, 113, 2, False), (113, 123, 0, False), (123, 132, 1, True)]


def test_a_packet_over_the_cap_is_cut_at_a_microsecond_and_the_next_goes_on_to_the_windows_end():
    assert shape(cut([events(1, 2, 2, 3, 8, 12)], 0, 10, 2)) == [
        (0, 2, 1, False), (2, 3, 2, False), (3, 10, 2, False), (10, 13, 1, True)]


def test_a_microsecond_that_alone_exceeds_the_cap_stays_whole():
    assert shape(cut([events(4, 5, 5, 5, 5, 6)], 0, 10, 2)) == [(0, 5, 1, False), (5, 6, 4, False), (6, 7, 1, True)]


def test_a_full_window_of_exactly_the_cap_is_not_cut():
    assert shape(cut([events(1, 2, 11)], 0, 10, 2)) == [(0, 10, 2, False), (10, 12, 1, True)]


def test_an_end_in_silence_is_reached_by_empty_packets():
    assert shape(cut([events(1)], 0, 10, 9, end_us=25)) == [(0, 10, 1, False), (10, 20, 0, False), (20, 25, 0, True)]


def test_an_end_before_the_last_event_leaves_out_what_follows():
    assert shape(cut([events(1, 4, 5, 9)], 0, 10, 9, end_us=5)) == [(0, 5, 2, True)]


def test_an_end_on_a_window_boundary_makes_no_empty_packet():
    assert shape(cut([events(1, 19)], 0, 10, 9, end_us=20)) == [(0, 10, 1, False), (10, 20, 1, True)]


def test_events_before_the_begin_are_left_out():
    assert shape(cut([events(1, 4, 5)], 4, 10, 9)) == [(4, 6, 2, True)]


def test_an_episode_without_events_is_one_last_packet():
    assert shape(cut([], 7, 10, 9)) == [(7, 7, 0, True)]
    assert shape(cut([events()], 0, 10, 9, end_us=5)) == [(0, 5, 0, True)]


def test_chunks_after_the_end_are_not_asked_for():
    def chunks():
        yield events(1, 12)
        pytest.fail("a chunk after the end was asked for")

    assert shape(cut(chunks(), 0, 10, 9, end_us=10)) == [(0, 10, 1, True)]


def test_values_go_with_their_events():
    graded = Events(np.array([1, 11]), np.array([0, 1], np.uint32), np.array([0.5, 2.0], np.float32))
    assert [p.value.tolist() for p in cut([graded], 0, 10, 9) if p.value is not None] == [[0.5], [2.0]]


def test_late_events_are_counted_in_the_packet_in_which_they_were_missed():
    first = Events(np.array([1, 12]), np.array([0, 1], np.uint32), None, np.array([1, 1, 12]))
    second = Events(late_us=np.array([12]))
    assert [p.lost for p in cut([first, second], 0, 10, 9)] == [2, 2]


def test_episode_and_label_stand_on_every_packet():
    assert {(p.episode, p.label) for p in cut([events(1, 25)], 0, 10, 9, episode=4, label=2)} == {(4, 2)}


recordings = st.lists(st.integers(0, 60), max_size=40).map(sorted)


@settings(max_examples=200, deadline=None)
@given(recordings, st.lists(st.integers(0, 40), max_size=5).map(sorted), st.integers(1, 30), st.integers(1, 6),
       st.none() | st.integers(0, 90))
def test_packets_do_not_depend_on_the_chunks_and_hold_every_event(times, cuts, packet_us, max_events, end_us):
    t_us, unit = np.array(times, np.int64), np.arange(len(times), dtype=np.uint32)
    chunks = [Events(*columns) for columns in zip(np.split(t_us, cuts), np.split(unit, cuts), strict=True)]
    whole = list(cut([Events(t_us, unit)], 0, packet_us, max_events, end_us=end_us))
    parts = list(cut(chunks, 0, packet_us, max_events, end_us=end_us))
    assert len(whole) == len(parts)
    assert all(map(same_events, whole, parts))
    kept = unit if end_us is None else unit[t_us < end_us]
    assert np.concatenate([p.unit for p in whole]).tolist() == kept.tolist()
    assert [p.last for p in whole] == [False] * (len(whole) - 1) + [True]
    for before, after in itertools.pairwise(whole):
        assert before.end_us == after.begin_us
    for p in whole:
        inside = not p.n or (p.begin_us <= p.t_us[0] and p.t_us[-1] < p.end_us)
        assert inside
        assert p.end_us - p.begin_us <= packet_us
        assert p.n <= max_events or p.t_us[0] == p.t_us[-1]


@settings(max_examples=100, deadline=None)
@given(recordings.filter(len), st.integers(1, 30), st.integers(1, 6), st.none() | st.integers(1, 90))
def test_any_packets_end_is_enough_to_go_on_from(times, packet_us, max_events, end_us):
    whole = Events(np.array(times, np.int64), np.arange(len(times), dtype=np.uint32))
    packets: list[Packet] = list(cut([whole], 0, packet_us, max_events, end_us=end_us))
    for done, packet in enumerate(packets[:-1], 1):
        rest = list(cut([whole], 0, packet_us, max_events, end_us=end_us, resume_us=packet.end_us))
        assert len(rest) == len(packets) - done
        assert all(map(same_events, rest, packets[done:]))
