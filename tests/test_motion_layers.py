"""delay_motion and linear_attention: their laws, one clause a test; and what their specs refuse."""

import math

import numpy as np
import pytest

from operators import delay_motion, linear_attention
from pipeline.layer_spec import DelayMotionSpec, LinearAttentionSpec
from pipeline.packet import Format
from tests.packets import glue
from tests.test_lif import packet

MS = 1000
SIZE = (1, 6)


def play(operator, *packets):
    return glue([*(operator.process(each) for each in packets), operator.finish()])


def detector(*taps, classes=1, delays=3, bias=-2.0, least=0.5):
    """taps: (class, delay, columns to the right, weight) of kernels of 1 x 3."""
    kernel = np.zeros((classes, 1, delays, 1, 3))
    for c, delay, right, weight in taps:
        kernel[c, 0, delay, 0, 1 + right] = weight
    return delay_motion.make(DelayMotionSpec(kernel, bias, least, SIZE, MS), Format("spikes", (1, *SIZE)))(None)


def places(out):
    """(tick, class, column)"""
    events = zip(out.t_us.tolist(), out.unit.tolist(), strict=True)
    return [(t_us // MS, unit // SIZE[1], unit % SIZE[1]) for t_us, unit in events]


def test_events_that_a_delay_lines_up_are_motion():
    to_the_right = detector((0, 1, 1, 1.5), (0, 0, 0, 1.5))  # an event here, and one on its left a tick ago
    moving = packet(0, 4 * MS, (0, 1), (MS, 2), (2 * MS, 3))
    assert places(play(to_the_right, moving)) == [(1, 0, 2), (2, 0, 3)]


def test_events_that_move_the_other_way_are_not():
    to_the_right = detector((0, 1, 1, 1.5), (0, 0, 0, 1.5))
    assert places(play(to_the_right, packet(0, 4 * MS, (0, 3), (MS, 2), (2 * MS, 1)))) == []


def test_the_value_is_the_sigmoid_of_the_evidence():
    out = play(detector((0, 0, 0, 3.0)), packet(0, MS, (0, 2)))
    assert out.value.tolist() == pytest.approx([1 / (1 + math.exp(-1))])


def test_the_most_evident_class_wins_and_the_lowest_on_a_tie():
    out = play(detector((0, 0, 0, 3.0), (1, 0, 0, 4.0), classes=2), packet(0, MS, (0, 2)))
    assert places(out) == [(0, 1, 2)]
    out = play(detector((0, 0, 0, 3.0), (1, 0, 0, 3.0), classes=2), packet(0, MS, (0, 2)))
    assert places(out) == [(0, 0, 2)]


def test_evidence_to_come_is_given_at_the_end_of_the_episode():
    out = play(detector((0, 2, 1, 3.0)), packet(0, MS, (0, 2)))
    assert (places(out), out.end_us) == ([(2, 0, 3)], 3 * MS)


def test_what_lies_beyond_the_border_is_left_out():
    assert places(play(detector((0, 0, 1, 3.0)), packet(0, MS, (0, 5)))) == []


def test_silence_that_would_be_motion_is_refused():
    with pytest.raises(ValueError, match="silence would be motion"):
        DelayMotionSpec(np.ones((1, 1, 1, 1, 1)), 0.5, 0.6, (2, 2), MS)


def test_a_stream_of_another_shape_does_not_fit():
    spec = DelayMotionSpec(np.ones((1, 1, 1, 1, 1)), -1.0, 0.6, (2, 3), MS)
    with pytest.raises(ValueError, match=r"takes a picture of shape \(1, 2, 3\)"):
        delay_motion.make(spec, Format("spikes", (1, 3, 2)))


def attention(memory_ms=math.inf, scale=1.0):
    """One query, key and value, each fired by an input of its own; the output fires where at least two were read."""
    spec = LinearAttentionSpec(np.eye(3), 1, np.array([memory_ms]), 0.0, 1.0, 0.0, 2.0, MS, scale)
    return linear_attention.make(spec, Format("spikes", (3,)))(None)


QUERY, KEY, VALUE = 0, 1, 2


def test_a_query_reads_the_pairs_of_keys_and_values_so_far():
    pairs = [(0, KEY), (0, VALUE), (MS, KEY), (2 * MS, VALUE), (500 * MS, KEY), (500 * MS, VALUE)]
    out = play(attention(), packet(0, 999 * MS, (0, QUERY), *pairs, (700 * MS, QUERY)))
    assert out.t_us.tolist() == [700 * MS]  # one pair at tick 0, another at 500


def test_a_pair_of_the_same_tick_is_read():
    out = play(attention(scale=2.0), packet(0, MS, (0, QUERY), (0, KEY), (0, VALUE)))
    assert out.t_us.tolist() == [0]


def test_a_memory_with_a_time_constant_forgets():
    pairs = [(0, KEY), (0, VALUE), (10 * MS, KEY), (10 * MS, VALUE)]
    for memory_ms, fires in ((1e6, False), (math.inf, True)):
        out = play(attention(memory_ms), packet(0, 999 * MS, *pairs, (20 * MS, QUERY)))
        assert bool(out.n) == fires


def test_heads_must_divide_keys_and_values():
    with pytest.raises(ValueError, match="heads dividing"):
        LinearAttentionSpec(np.ones((1, 9)), 3, np.ones(2), 1.0, 1.0, 1.0, 1.0, MS)
