from collections import Counter
from math import isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.square_root import SquareRootConfig
from pipeline.packet import Format
from tests import naive_filters as naive
from tests.filtering import cuts, events_of, few, filtered, packet_of, recordings, spikes

CELLS = Format("spikes", (8,), tick_us=None, names=("left", "right"))


def kept(events: list[tuple[int, int]], tick_ms: float = 0.1) -> list[tuple[int, int]]:
    return spikes(filtered(SquareRootConfig(tick_ms=tick_ms), CELLS, packet_of(CELLS, events, 0, 1000)))


def test_of_the_spikes_of_a_tick_the_first_the_fourth_and_the_ninth_pass() -> None:
    assert kept([(100 + i, 3) for i in range(15)]) == [(100, 3), (103, 3), (108, 3)]


def test_every_tick_counts_anew() -> None:
    assert kept([(98, 3), (99, 3), (100, 3), (101, 3), (300, 3)]) == [(98, 3), (100, 3), (300, 3)]


def test_units_are_counted_apart() -> None:
    assert kept([(100, 3), (101, 4), (102, 3), (103, 4)]) == [(100, 3), (101, 4)]


def test_spikes_of_one_microsecond_are_counted_and_come_out_in_order_of_their_unit() -> None:
    assert kept([(100, 5), (100, 2), (100, 5), (100, 5), (100, 5)]) == [(100, 2), (100, 5), (100, 5)]


def test_graded_events_are_refused() -> None:
    with pytest.raises(ValueError, match="square_root takes spikes, got graded of shape 8"):
        SquareRootConfig().check(Format("graded", (8,)))


@few
@given(st.data(), st.sampled_from([(2, 3, 2), (4,)]), st.integers(1, 200))
def test_it_is_the_plain_truth_however_the_recording_is_cut(data: st.DataObject, shape: tuple[int, ...], tick_us: int) -> None:
    format = Format("spikes", shape)
    episode = data.draw(recordings(format))
    out = filtered(SquareRootConfig(tick_ms=tick_us / 1000), format, episode, data.draw(cuts()))
    assert events_of(out) == naive.square_root(events_of(episode), tick_us)
    before, after = (Counter((t_us // tick_us, unit) for t_us, unit, _ in events_of(part)) for part in (episode, out))
    assert after == {of: isqrt(n) for of, n in before.items()}
