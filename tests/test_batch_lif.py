"""Many episodes at once: what comes out is what the operators give for each, spike for spike."""

import dataclasses
from itertools import pairwise

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import lif
from operators.batch_lif import BatchLIF, Episodes, as_episodes, shown
from operators.bernoulli import BernoulliConfig
from pipeline.layer_spec import LIFSpec, RandomLIFSpec
from pipeline.packet import Format, Packet, join
from tests.packets import recording

MANY = 10 if numba.config.DISABLE_JIT else 60


def one_by_one(make, packets, tick_us):
    """What an operator gives for each episode, as columns of all of them."""
    outputs = []
    for packet in packets:
        operator = make(None)
        outputs.append(join(operator.process(packet), operator.finish()))
    return as_episodes(outputs, tick_us)


def columns(episodes: Episodes):
    return episodes.first.tolist(), episodes.tick.tolist(), episodes.unit.tolist(), episodes.ticks.tolist()


@settings(deadline=None, derandomize=True, max_examples=MANY)
@given(st.data())
def test_a_layer_gives_the_spikes_of_lif_on_every_episode(data):
    seed = data.draw(st.integers(0, 99))
    shape = data.draw(st.sampled_from([(3,), (6, 7)]))
    spec = RandomLIFSpec(shape, data.draw(st.integers(1, 40)), seed, "normal", data.draw(st.sampled_from([0.1, 0.7])),
                         data.draw(st.sampled_from([0.0, 0.2])), tick_us=1000,
                         fields=(3,) if len(shape) > 1 and data.draw(st.booleans()) else (),
                         bias=data.draw(st.sampled_from([0.0, 0.1, 1.5])),
                         tau_ms=data.draw(st.sampled_from([0.0, 0.9, 9.0, np.inf])),
                         reset=data.draw(st.sampled_from(["subtract", "to_zero"]))).lif()
    upstream = Format(data.draw(st.sampled_from(["spikes", "graded"])), shape)
    packets = [recording(upstream, seed + k, begin_us=k * 777) for k in range(data.draw(st.integers(1, 3)))]
    truth = one_by_one(lif.make(spec, upstream), packets, 1000)
    assert columns(BatchLIF(spec)(as_episodes(packets, 1000))) == columns(truth)


def test_wide_layers_of_fields_are_added_by_spans_and_give_the_same():
    spec = RandomLIFSpec((28, 28), 2000, draw="normal", scale=0.2, fields=(9,), tick_us=1000).lif()
    layer = BatchLIF(spec)
    assert not layer._fixed[0].size
    packets = [recording(Format("spikes", (28, 28)), seed) for seed in (1, 2)]
    truth = one_by_one(lif.make(spec, Format("spikes", (28, 28))), packets, 1000)
    assert truth.unit.size > 100
    assert columns(layer(as_episodes(packets, 1000))) == columns(truth)
    assert (layer(as_episodes(packets, 1000), ordered=False).counts(2000) == truth.counts(2000)).all()


@pytest.mark.parametrize("scale", [1.0, 0.3, 9.0])
def test_pictures_are_shown_as_bernoulli_shows_them(scale):
    rng = np.random.default_rng(4)
    value = np.where(rng.random((3, 40)) < 0.3, 0, rng.random((3, 40))).astype(np.float32)
    packets = [Packet(0, 12_000, np.zeros(40, np.int64), np.arange(40, dtype=np.uint32), v) for v in value]
    truth = one_by_one(BernoulliConfig(scale=scale, seed=11).prepare(Format("graded", (40,))), packets, 1000)
    assert columns(shown(as_episodes(packets, 1000), np.full(3, 11), scale)) == columns(truth)


def test_every_picture_may_have_random_numbers_of_its_own():
    picture = Packet(0, 50_000, np.zeros(40, np.int64), np.arange(40, dtype=np.uint32), np.full(40, 0.5, np.float32))
    first, tick, unit, _ = columns(shown(as_episodes([picture] * 3, 1000), np.array([1, 2, 1])))
    one, other, again = (list(zip(tick[a:b], unit[a:b], strict=True)) for a, b in pairwise(first))
    assert one == again != other


def test_counts_are_spikes_by_unit():
    packets = [Packet(0, 9000, np.array([1, 2, 5000]), np.array([2, 0, 2], np.uint32)), Packet(0, 9000)]
    assert as_episodes(packets, 1000).counts(4).tolist() == [[1, 0, 2, 0], [0, 0, 0, 0]]


def test_more_ticks_than_a_count_can_hold_are_refused():
    with pytest.raises(ValueError, match="255 ticks at most, got 256"):
        as_episodes([Packet(0, 256_000)], 1000).counts(1)


def test_layers_that_have_several_taus_or_no_tick_are_refused():
    spec = LIFSpec(np.ones((1, 2)), np.array([1.0, 2.0]), np.array(1.0), 1000)
    for other in (spec, dataclasses.replace(spec, tau_ms=np.array(1.0), tick_us=None)):
        with pytest.raises(ValueError, match="one tau for all neurons"):
            BatchLIF(other)
