"""Events of a live sensor become packets that meet; the test holds the host's clock."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sources.minting import Mint


def arrive(mint: Mint, host_us: int, *t_us: int, lost: int = 0):
    return mint.add(np.array(t_us, np.int64), np.arange(len(t_us), dtype=np.uint32), host_us, lost=lost)


def test_the_first_event_is_stamped_with_the_host_time_since_the_start():
    mint = Mint(lateness_us=20)
    packet = arrive(mint, 300, 1_000_000, 1_000_010)
    assert (packet.begin_us, packet.end_us, packet.t_us.tolist()) == (0, 310, [300])


def test_an_event_waits_until_nothing_of_its_microsecond_can_follow():
    mint = Mint(lateness_us=20)
    first, second = arrive(mint, 0, 5, 9), arrive(mint, 4, 9, 9, 12)
    assert (first.t_us.tolist(), second.t_us.tolist()) == ([0], [4, 4, 4])
    assert second.unit.tolist() == [1, 0, 1]


def test_in_silence_the_end_follows_the_host_clock_less_the_lateness():
    mint = Mint(lateness_us=20_000)
    arrive(mint, 0, 7)
    ends = [mint.tick(host_us).end_us for host_us in (10_000, 50_000, 50_000, 200_000)]
    assert ends == [0, 30_000, 30_000, 180_000]


def test_silence_before_the_first_event_passes_too():
    assert Mint(lateness_us=20_000).tick(100_000).end_us == 80_000


def test_an_event_later_than_the_lateness_is_dropped_and_counted():
    mint = Mint(lateness_us=100)
    arrive(mint, 0, 0)
    mint.tick(1000)  # handed out up to 900
    packet = arrive(mint, 1001, 890, 899, 900, 950)
    assert (packet.t_us.tolist(), packet.lost, mint.late) == ([900], 2, 2)


def test_a_clock_that_is_far_ahead_after_a_reconnection_is_another_one():
    mint = Mint(lateness_us=100)
    arrive(mint, 0, 0)
    arrive(mint, 10, 50_000_000)  # a replay that is faster than real time
    mint.reconnected()
    packet = arrive(mint, 60_000_000, 3_600_000_000, 3_600_000_007)
    assert (packet.end_us, mint.clock_resets) == (60_000_007, 1)


def test_a_clock_that_went_on_through_a_reconnection_is_the_same():
    mint = Mint(lateness_us=100)
    arrive(mint, 0, 500)
    mint.reconnected()
    packet = arrive(mint, 2_000_100, 2_000_503, 2_000_510)
    assert (packet.end_us, mint.clock_resets) == (2_000_010, 0)


def test_events_out_of_order_within_a_datagram_are_sorted():
    mint = Mint(lateness_us=100)
    packet = arrive(mint, 0, 10, 12, 11, 20)
    assert (packet.t_us.tolist(), packet.unit.tolist(), mint.disordered) == ([0, 1, 2], [0, 2, 1], 1)


def test_events_without_times_get_that_of_their_arrival_but_none_twice_handed_out():
    mint = Mint(lateness_us=100)
    first, second = (mint.stamp(np.array([3, 1], np.uint32), host_us) for host_us in (50, 50))
    assert (first.begin_us, first.end_us, first.t_us.tolist(), first.unit.tolist()) == (0, 51, [50, 50], [3, 1])
    assert (second.begin_us, second.end_us, second.t_us.tolist()) == (51, 52, [51, 51])


def test_a_sensor_that_begins_anew_goes_on_from_here():
    mint = Mint(lateness_us=100)
    arrive(mint, 0, 5_000_000, 7_000_000)
    packet = arrive(mint, 2_100_000, 3, 13)
    assert (packet.begin_us, packet.end_us, packet.t_us.tolist()) == (2_000_000, 2_100_010, [2_000_000, 2_100_000])
    assert (mint.clock_resets, mint.late) == (1, 0)


def test_at_the_end_what_waits_is_given_out():
    mint = Mint(lateness_us=100)
    arrive(mint, 0, 10, 15)
    packet = mint.flush()
    assert (packet.begin_us, packet.end_us, packet.t_us.tolist()) == (5, 6, [5])
    assert mint.flush().n == 0


def test_what_is_known_to_be_lost_is_in_the_packet_that_comes_next():
    mint = Mint(lateness_us=100)
    assert arrive(mint, 0, lost=4).lost == 4
    assert arrive(mint, 0, 3, 9).lost == 0


@given(st.lists(st.tuples(st.integers(0, 3000), st.lists(st.integers(0, 5000), max_size=5)), max_size=20))
def test_packets_meet_and_every_event_is_in_one_or_counted(script):
    mint, host_us, packets = Mint(lateness_us=200), 0, []
    for wait_us, times in script:
        host_us += wait_us
        packets.append(arrive(mint, host_us, *times) if times else mint.tick(host_us))
    packets.append(mint.tick(host_us + 1_000_000))
    assert all(b.begin_us == a.end_us for a, b in pairwise(packets))
    for packet in packets:
        assert packet.n == 0 or packet.begin_us <= packet.t_us[0] <= packet.t_us[-1] < packet.end_us
        assert (np.diff(packet.t_us) >= 0).all()
    assert sum(p.n + p.lost for p in packets) == sum(len(times) for _, times in script)
