"""pool and flatten: what becomes of the events of a window, beside the plain truth and torch."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import pool
from operators.flatten import FlattenConfig
from operators.pool import PoolConfig
from pipeline.layer_spec import ConvLIFSpec, PoolSpec, ReadoutSpec
from pipeline.model_file import Model, save_model
from pipeline.packet import Format, Packet
from tests import naive_conv
from tests.packets import divisions, glue, recording

IMAGE = Format("spikes", (2, 4, 6))
ON_TICK = Format("spikes", (2, 4, 6), tick_us=1000)


def packet(*events, end_us=10_000):
    """events: (t_us, channel, y, x) on IMAGE."""
    t_us, *place = np.array(events, np.int64).T
    return Packet(0, end_us, np.ascontiguousarray(t_us), np.ravel_multi_index(place, IMAGE.shape).astype(np.uint32))


def pooled(config, upstream, *packets):
    operator = config.prepare(upstream)(None)
    return glue([*(operator.process(each) for each in packets), operator.finish()])


def events_of(out, shape):
    return [(t, *(int(k) for k in np.unravel_index(u, shape))) for t, u in zip(out.t_us.tolist(), out.unit.tolist(), strict=True)]


FOUR = packet((5, 1, 3, 5), (5, 0, 0, 0), (5, 0, 1, 1), (9, 0, 0, 0))


def test_a_sum_fires_for_every_event_of_the_window():
    out = pooled(PoolConfig(how="sum", size=2), IMAGE, FOUR)
    assert events_of(out, (2, 2, 3)) == [(5, 0, 0, 0), (5, 0, 0, 0), (5, 1, 1, 2), (9, 0, 0, 0)]


def test_a_maximum_fires_once_at_a_time():
    out = pooled(PoolConfig(how="max", size=2), IMAGE, FOUR)
    assert events_of(out, (2, 2, 3)) == [(5, 0, 0, 0), (5, 1, 1, 2), (9, 0, 0, 0)]


def test_an_average_counts_each_event_by_the_share_of_its_pixel():
    config = PoolConfig(how="average", size=(2, 3))
    assert config.check(IMAGE) == Format("graded", (2, 2, 2))
    out = pooled(config, IMAGE, FOUR)
    assert out.value.tolist() == [np.float32(1 / 6)] * 4
    graded = dataclasses.replace(FOUR, value=np.array([3, 6, 0, -6], np.float32))
    values = pooled(config, dataclasses.replace(IMAGE, kind="graded"), graded).value
    assert values.tolist() == pytest.approx([1, 0, 0.5, -1])


def test_windows_that_overlap_share_events_and_those_that_do_not_fit_are_left_out():
    config = PoolConfig(how="sum", size=3, stride=[2, 1])
    assert config.check(IMAGE).shape == (2, 1, 4)
    assert events_of(pooled(config, IMAGE, packet((1, 0, 2, 2), (2, 0, 3, 0))), (2, 1, 4)) == [
        (1, 0, 0, 0), (1, 0, 0, 1), (1, 0, 0, 2)]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.data())
def test_it_equals_the_plain_truth_however_it_is_cut(data):
    how, kind = data.draw(st.sampled_from([("sum", "spikes"), ("sum", "graded"), ("average", "graded"), ("max", "spikes")]))
    sides = st.tuples(st.integers(1, 3), st.integers(1, 3))
    spec = PoolSpec(how, (2, 4, 5), data.draw(sides), data.draw(st.none() | sides))
    stream = Format(kind, spec.shape_in, data.draw(st.sampled_from([None, 1000])))
    episode = recording(stream, data.draw(st.integers(0, 99)), n=60, length_us=9000)
    make = pool.make(spec, stream)
    truth = naive_conv.pool(spec, episode)
    for packets in divisions(episode):
        operator = make(None)
        out = glue([*(operator.process(each) for each in packets), operator.finish()])
        assert list(zip(out.t_us.tolist(), out.unit.tolist(), strict=True)) == [event[:2] for event in truth]
        assert out.value is None or out.value.tolist() == [event[2] for event in truth]


@pytest.mark.parametrize("how", ["sum", "average", "max"])
def test_it_is_what_torch_pools(how):
    pytest.importorskip("torch")
    from trainer.parity import check

    rng = np.random.default_rng(2)
    conv = ConvLIFSpec(rng.normal(0.2, 0.5, (3, 2, 3, 3)), 10.0, 1.0, (2, 7, 8), tick_us=1000)
    between = PoolSpec(how, conv.shape_out, (2, 3), (1, 2), 1000)
    last = ConvLIFSpec(rng.normal(0.3, 0.5, (4, 3, 2, 2)), 10.0, 0.5, between.shape_out, tick_us=1000)
    model = Model(Format("spikes", (2, 7, 8)), {
        "conv": conv, "pool": between, "last": last, "out": ReadoutSpec("spike_count", ("a", "b"), np.ones((last.n_out, 2)))})
    report = check(model, [recording(model.input, 3)])
    assert report.equal, str(report)
    assert min(report.spikes.values()) > 20


def test_a_layer_of_a_model_is_pooled_as_the_model_says(tmp_path):
    save_model(tmp_path / "m.safetensors", Model(IMAGE, {"pool": PoolSpec("max", IMAGE.shape, 2, tick_us=1000)}))
    config = PoolConfig(model=tmp_path / "m.safetensors", layer="pool")
    assert config.check(ON_TICK) == Format("spikes", (2, 2, 3), 1000)
    with pytest.raises(ValueError, match="maximum over ticks of 1 ms"):
        config.check(IMAGE)
    with pytest.raises(ValueError, match="takes shape 2x4x6"):
        config.check(Format("spikes", (2, 6, 4), 1000))


@pytest.mark.parametrize(("options", "complaint"), [
    ({"how": "max"}, "pool needs how and size"),
    ({"how": "max", "size": 2, "model": "m", "layer": "a"}, "leave out these or the model"),
    ({"model": "m"}, "belong together"),
    ({"how": "mean", "size": 2}, "how"),
    ({"how": "max", "size": 0}, "size"),
])
def test_options_that_make_no_sense_are_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        PoolConfig(**options)


@pytest.mark.parametrize(("options", "upstream", "complaint"), [
    ({"how": "max", "size": 2}, Format("graded", (2, 4, 6)), "takes spikes of shape"),
    ({"how": "sum", "size": 5}, IMAGE, "does not fit into"),
    ({"how": "sum", "size": 2}, Format("decisions", (3,)), "takes spikes or graded"),
])
def test_what_does_not_fit_is_one_clear_line(options, upstream, complaint):
    with pytest.raises(ValueError, match=complaint):
        PoolConfig(**options).check(upstream)


def test_flatten_changes_the_shape_alone():
    config = FlattenConfig()
    assert config.check(ON_TICK) == Format("spikes", (48,), 1000)
    out = pooled(config, IMAGE, FOUR)
    assert sorted(zip(out.t_us.tolist(), out.unit.tolist(), strict=True)) == sorted(
        zip(FOUR.t_us.tolist(), FOUR.unit.tolist(), strict=True))
