"""The kernel with which every filter puts the events of one microsecond in order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.kernels.order import BLOCK, order_runs
from tests.filtering import few


def ordered(t_us: list[int], unit: list[int]) -> list[tuple[int, int, float]]:
    """The i-th event has value i. Spikes, which have none, are ordered by another way, and must come out the same."""
    columns = np.array(t_us, np.int64), np.array(unit, np.uint32), np.arange(len(t_us), dtype=np.float32)
    spikes = np.array(unit, np.uint32)
    order_runs(columns[0], spikes, np.empty(0, np.float32), len(t_us))
    order_runs(*columns, len(t_us))
    assert spikes.tolist() == columns[1].tolist()
    return list(zip(*(column.tolist() for column in columns), strict=True))


def truth(t_us: list[int], unit: list[int]) -> list[tuple[int, int, float]]:
    return sorted(zip(t_us, unit, map(float, range(len(t_us))), strict=True), key=lambda event: event[:2])


def test_units_are_sorted_within_a_microsecond_and_equal_ones_keep_their_order() -> None:
    assert ordered([1, 1, 1, 2, 2], [5, 3, 5, 4, 0]) == [(1, 3, 1.0), (1, 5, 0.0), (1, 5, 2.0), (2, 0, 4.0), (2, 4, 3.0)]


@pytest.mark.parametrize("first", [0, 1])
def test_pairs_out_of_order_are_found_at_every_place_of_a_block(first: int) -> None:
    n = 3 * BLOCK
    t_us, unit = [(i + first) // 2 for i in range(n)], [n - i for i in range(n)]
    assert ordered(t_us, unit) == truth(t_us, unit)


@pytest.mark.parametrize("n", [2, 40, 5000])
def test_a_long_run_in_random_order_is_sorted_and_equal_units_keep_their_order(n: int) -> None:
    unit = np.random.default_rng(n).integers(0, 20, n).tolist()
    assert ordered([7] * n, unit) == truth([7] * n, unit)


@pytest.mark.parametrize("begin_us", [0, -5, 2**62])
@pytest.mark.parametrize("span_us", [3, 2**31, 2**40])
def test_the_span_of_the_times_does_not_matter(begin_us: int, span_us: int) -> None:
    t_us, unit = [begin_us] * 4 + [begin_us + span_us] * 4, [7, 2**32 - 1, 0, 3, 2, 2, 1, 0]
    assert ordered(t_us, unit) == truth(t_us, unit)


def test_only_the_first_n_are_touched() -> None:
    unit = np.array([2, 1, 9, 0], np.uint32)
    order_runs(np.zeros(4, np.int64), unit, np.empty(0, np.float32), 2)
    assert unit.tolist() == [1, 2, 9, 0]


@few
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=60))
def test_it_is_a_stable_sort(events: list[tuple[int, int]]) -> None:
    t_us, unit = sorted(t for t, _ in events), [u for _, u in events]
    assert ordered(t_us, unit) == truth(t_us, unit)
