"""time_bins: every event keeps its time and is told apart by the part of the episode that it came in."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.time_bins import TimeBinsConfig, make
from pipeline.layer_spec import TimeBinsSpec
from pipeline.packet import Format, Packet, join
from tests import naive
from tests.packets import recording, recut


def through(spec, upstream, packets):
    operator = make(spec, upstream)(None)
    return reduce(join, [*(operator.process(packet) for packet in packets), operator.finish()])


def test_a_spike_becomes_one_of_its_bin_and_keeps_its_time():
    packet = Packet(1000, 9000, np.array([1000, 2999, 3000, 8000]), np.array([1, 0, 1, 0], np.uint32))
    out = through(TimeBinsSpec(2, 3, 2000), Format("spikes", (2,)), [packet])
    assert out.t_us.tolist() == [1000, 2999, 3000, 8000]
    assert out.unit.tolist() == [1, 0, 2 + 1, 4 + 0], "bins begin with the episode; the last never ends"


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(0, 99), st.sampled_from(["spikes", "graded"]), st.integers(1, 6), st.sampled_from([1, 700, 5000, 10**7]))
def test_any_cut_gives_what_plain_python_gives(seed, kind, bins, bin_us):
    upstream = Format(kind, (2, 3))
    episode = recording(upstream, seed, begin_us=seed * 777)
    spec = TimeBinsSpec(6, bins, bin_us)
    cuts_us = np.random.default_rng(seed).integers(episode.begin_us, episode.end_us, 5).tolist()
    out = through(spec, upstream, recut(episode, cuts_us))
    assert naive.events(out) == naive.time_bins(spec, episode)


def test_the_shape_tells_bins_and_units():
    assert TimeBinsConfig(bin_ms=2, bins=5).check(Format("spikes", (2, 8, 8), tick_us=1000)) == Format("spikes", (5, 128), 1000)


@pytest.mark.parametrize(("options", "message"), [
    ({"bins": 3}, "needs bin_ms and bins, or model and layer; got bins"),
    ({}, "got none of both"),
    ({"model": "a.safetensors"}, "model and layer belong together"),
    ({"model": "a.safetensors", "layer": "b", "bins": 3}, "got bins beside a model"),
])  # fmt: skip
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        TimeBinsConfig(**options)


def test_a_spec_without_room_is_refused():
    with pytest.raises(ValueError, match="must be at least 1, got 3, 0 and 5"):
        TimeBinsSpec(3, 0, 5)
    with pytest.raises(ValueError, match="more units than can be addressed"):
        TimeBinsSpec(2**20, 2**12, 5)
    with pytest.raises(ValueError, match="has 3 inputs"):
        make(TimeBinsSpec(3, 2, 5), Format("spikes", (4,)))
