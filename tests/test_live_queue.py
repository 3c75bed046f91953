"""The queue of the live sources: what it drops, what it keeps, and that its counters agree at every instant."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.packet import NO_VALUES, Packet
from sources.live_queue import LiveQueue, RateCap

POLICIES = ("block", "latest", "drop_oldest", "rate_cap")


def packet(k: int, n: int = 1, **flags: int | bool) -> Packet:
    """The k-th interval of 10 us, with n events in it."""
    return Packet(10 * k, 10 * k + 10, 10 * k + np.arange(n), np.full(n, k, np.uint32), **flags)  # type: ignore[arg-type]


def drained(queue: LiveQueue) -> list[Packet]:
    return [taken[0] for taken in iter(lambda: queue.take(0), None)]


def balance(queue: LiveQueue) -> int:
    counts = queue.counts()
    return counts["received"] - counts["sent"] - counts["discarded"] - counts["queued"]


def test_a_queue_with_room_hands_out_what_went_in_with_its_mark():
    queue = LiveQueue("drop_oldest", 3)
    sent = [packet(0), packet(1, 0), packet(2, 3, last=True)]
    assert [queue.put(p, mark) for mark, p in enumerate(sent)] == [True] * 3
    assert [queue.take(0), queue.take(0), queue.take(0)] == [(p, mark) for mark, p in enumerate(sent)]
    assert queue.counts() == {"received": 4, "sent": 4, "discarded": 0, "queued": 0}


def test_block_takes_nothing_in_while_it_is_full():
    queue = LiveQueue("block", 2)
    assert [queue.put(packet(k), timeout_s=0) for k in range(3)] == [True, True, False]
    queue.take(0)
    assert queue.put(packet(2), timeout_s=0)
    assert queue.counts() == {"received": 3, "sent": 1, "discarded": 0, "queued": 2}


def test_block_wakes_the_receiver_when_there_is_room():
    queue, went_in = LiveQueue("block", 1), threading.Event()
    queue.put(packet(0))
    receiver = threading.Thread(target=lambda: queue.put(packet(1)) and went_in.set())
    receiver.start()
    queue.take(None)
    receiver.join(10)
    assert went_in.is_set()


def test_drop_oldest_thins_the_oldest_intervals():
    queue = LiveQueue("drop_oldest", 2)
    for k in range(5):
        queue.put(packet(k, k + 1), k)
    got = drained(queue)
    assert [(p.begin_us, p.end_us, p.n, p.lost) for p in got] == [(0, 40, 4, 6), (40, 50, 5, 0)]
    assert got[0].unit.tolist() == [3, 3, 3, 3]
    assert queue.counts() == {"received": 15, "sent": 9, "discarded": 6, "queued": 0}


def test_latest_holds_only_the_newest_packet():
    queue = LiveQueue("latest", 8)
    for k in range(4):
        queue.put(packet(k), k)
    assert queue.counts()["queued"] == 1
    newest, mark = queue.take(0)
    assert (newest.begin_us, newest.end_us, newest.t_us.tolist(), newest.lost, mark) == (0, 40, [30], 3, 3)


def test_silence_drops_nothing():
    queue = LiveQueue("latest", 8)
    queue.put(packet(0, 2))
    queue.put(packet(1, 0, lost=3))
    [got] = drained(queue)
    assert (got.begin_us, got.end_us, got.n, got.lost) == (0, 20, 2, 3)


def test_the_end_of_an_episode_is_never_dropped():
    queue = LiveQueue("latest", 8)
    queue.put(packet(0))
    queue.put(packet(1, episode=0, last=True, label=7))
    queue.put(packet(0, episode=1))
    ending, begun = drained(queue)
    assert (ending.begin_us, ending.end_us, ending.n, ending.lost, ending.last, ending.label) == (0, 20, 0, 2, True, 7)
    assert (begun.episode, begun.n, begun.lost) == (1, 1, 0)


def test_what_was_lost_before_is_added_to_what_is_dropped():
    queue = LiveQueue("drop_oldest", 1)
    queue.put(packet(0, 2, lost=5))
    queue.put(packet(1, 1, lost=1))
    assert drained(queue)[0].lost == 8


def test_dropped_values_go_with_their_events():
    queue = LiveQueue("drop_oldest", 1)
    for k in range(3):
        queue.put(Packet(10 * k, 10 * k + 10, np.array([10 * k]), np.array([0], np.uint32), np.array([k], np.float32)))
    queue.put(Packet(30, 40, value=NO_VALUES))
    [got] = drained(queue)
    assert (got.value.tolist(), got.lost, got.end_us) == ([2], 2, 40)


def test_rate_cap_keeps_events_evenly_spread_and_counts_the_others():
    cap = RateCap(200_000.0)  # 2 events in 10 us
    crowded = cap.thinned(packet(0, 8, lost=1))
    assert (crowded.t_us.tolist(), crowded.lost) == ([0, 4], 7)


def test_rate_cap_saves_up_what_quiet_time_leaves_for_a_tenth_of_a_second():
    cap = RateCap(100.0)  # at most 10 are saved up
    cap.thinned(Packet(0, 5_000_000))
    assert cap.thinned(packet(500_000, 10)).n == 10
    assert cap.thinned(packet(500_001, 10)).n == 0


def test_rate_cap_counts_as_discarded():
    queue = LiveQueue("rate_cap", 8, 200_000.0)
    queue.put(packet(0, 8))
    assert queue.counts() == {"received": 8, "sent": 0, "discarded": 6, "queued": 2}


def test_an_error_of_the_receiver_comes_after_what_it_had_put():
    queue = LiveQueue("block", 2)
    queue.put(packet(0))
    queue.end(ValueError("unplugged"))
    assert queue.take(None) is not None
    with pytest.raises(ValueError, match="unplugged"):
        queue.take(None)


def test_an_ended_queue_is_drained_first():
    queue = LiveQueue("block", 2)
    queue.put(packet(0))
    queue.end()
    assert not queue.ended
    drained(queue)
    assert queue.ended


def test_a_closed_queue_lets_everybody_go():
    queue = LiveQueue("block", 1)
    queue.put(packet(0))
    queue.close()
    assert not queue.put(packet(1))
    assert queue.ended


TAKES_AND_PUTS = st.lists(st.none() | st.tuples(st.integers(0, 5), st.booleans()), max_size=30)


@given(st.sampled_from(POLICIES), st.integers(1, 3), TAKES_AND_PUTS)
def test_counters_agree_and_intervals_meet_whatever_happens(policy, most, script):
    queue = LiveQueue(policy, most, 300_000.0 if policy == "rate_cap" else None)
    got, k, episode, accepted = [], 0, 0, 0
    for action in script:
        if action is None:
            got += [taken[0]] if (taken := queue.take(0)) else []
        elif queue.put(packet(k, action[0], episode=episode, last=action[1]), timeout_s=0):
            accepted += action[0]
            k, episode = k + 1, episode + action[1]
        assert balance(queue) == 0
    got += drained(queue)
    assert balance(queue) == 0
    assert queue.counts()["received"] == accepted == sum(p.n + p.lost for p in got)
    assert [p.begin_us for p in got] == [0, *[p.end_us for p in got[:-1]]][: len(got)]
    assert [p.episode for p in got if p.last] == list(range(episode))
    assert policy == "block" or k == 0 or got == [] or got[-1].end_us == 10 * k
