"""conv_lif: the law of its tick, clause by clause; its equality to the plain truth, bit for bit; and what does not fit."""

import math
import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import conv_lif, lif
from operators.conv_lif import ConvLIFConfig
from operators.residual import ResidualConfig
from pipeline.layer_spec import ConvLIFSpec, LIFSpec
from pipeline.model_file import Model, load_model, save_model
from pipeline.packet import Format, Packet, same_events
from tests import naive_conv
from tests.packets import glue, recording, recut
from tests.test_parity_kernels import TAUS, cuts, floats, play, vectors

MANY, FEW = (15, 5) if numba.config.DISABLE_JIT else (250, 60)
INF = math.inf
PIXELS = Format("spikes", (1, 3, 3))


def packet(begin_us, end_us, *events):
    """events: (t_us, y, x) on one channel of 3 x 3 pixels."""
    t_us, y, x = zip(*events, strict=True) if events else ((), (), ())
    return Packet(begin_us, end_us, np.array(t_us, np.int64), (3 * np.array(y, int) + np.array(x, int)).astype(np.uint32))


def layer(weight, tau_ms=INF, threshold=1.0, tick_us=1000, shape_in=(1, 3, 3), **more):
    return ConvLIFSpec(np.array(weight, np.float32), tau_ms, threshold, shape_in, tick_us=tick_us, **more)


def spikes(out):
    return list(zip(out.t_us.tolist(), out.unit.tolist(), strict=True))


def run(spec, *packets, kind="spikes"):
    return play(conv_lif.make(spec, Format(kind, spec.shape_in))(None), packets)


# --- the law ---


def test_an_event_adds_the_kernel_around_it_upside_down():
    operator = conv_lif.make(layer([[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]], threshold=100.0, padding=1), PIXELS)(None)
    operator.process(packet(0, 1000, (0, 1, 1)))
    assert operator.snapshot()["v"].tolist() == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_two_events_of_a_tick_meet_in_one_sum_and_are_compared_once():
    spec = layer([[[[0.6]]]])
    assert spikes(run(spec, packet(0, 3000, (100, 0, 1), (900, 0, 1), (1000, 2, 2)))) == [(0, 1)]


def test_an_event_of_no_tick_yet_waits_for_its_tick_to_close():
    operator = conv_lif.make(layer([[[[1.0]]]]), PIXELS)(None)
    first, second = operator.process(packet(0, 1500, (1200, 1, 1))), operator.process(packet(1500, 2000))
    assert (first.n, first.end_us, spikes(second), second.end_us) == (0, 1000, [(1000, 4)], 2000)


def test_a_pixel_still_at_its_threshold_after_a_reset_fires_again_in_silence():
    assert spikes(run(layer([[[[3.5]]]]), packet(0, 9000, (0, 0, 2)))) == [(0, 2), (1000, 2), (2000, 2)]


def test_in_event_mode_it_fires_again_a_microsecond_later():
    assert spikes(run(layer([[[[2.5]]]], tick_us=None), packet(0, 9000, (40, 0, 2)))) == [(40, 2), (41, 2)]


def test_spikes_come_in_the_order_of_their_units_channel_by_channel():
    spec = layer([[[[1.0]]], [[[2.0]]]], reset="to_zero")
    out = run(spec, packet(0, 1000, (1, 2, 2), (2, 0, 0), (3, 1, 1)))
    assert spikes(out) == [(0, 0), (0, 4), (0, 8), (0, 9), (0, 13), (0, 17)]


def test_the_decay_over_a_gap_is_one_power_of_the_stored_decay():
    spec = layer([[[[0.7]]]], tau_ms=20)
    operator = conv_lif.make(spec, PIXELS)(None)
    operator.process(packet(0, 600_000, (0, 0, 0), (100_000, 2, 2), (500_000, 0, 0)))
    d = float(spec.decay()[0])
    assert operator.snapshot()["v"][0] == np.float32(0.7) * np.float32(d**500) + np.float32(0.7)


def test_of_a_window_the_greatest_sum_counts_and_silent_pixels_are_zero():
    spec = layer([[[[1.0]]]], pool_size=3)
    assert spikes(run(spec, packet(0, 3000, (0, 0, 0), (1, 2, 2), (2, 0, 0), (1000, 0, 1), (2000, 0, 1)))) == [
        (0, 0), (1000, 0), (2000, 0)]  # v: 2 -> 1 | 1 + 1 -> 1 | 2 -> 1
    inhibits = layer([[[[-1.0]]]], pool_size=3)
    operator = conv_lif.make(inhibits, PIXELS)(None)
    operator.process(packet(0, 2000, *((5, y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1))))
    assert operator.snapshot()["v"].tolist() == [0.0]


def test_a_window_of_nothing_but_inhibition_inhibits():
    operator = conv_lif.make(layer([[[[-1.0]]]], pool_size=3), PIXELS)(None)
    operator.process(packet(0, 2000, *((5, y, x) for y in range(3) for x in range(3))))
    assert operator.snapshot()["v"].tolist() == [-1.0]


def test_a_bias_that_reaches_the_threshold_makes_every_pixel_fire_in_silence():
    spec = layer([[[[0.0]]], [[[1.0]]]], tau_ms=20, bias=np.array([0.3, 0.0]))
    assert spikes(run(spec, packet(0, 9000))) == [(t_us, pixel) for t_us in (3000, 7000) for pixel in range(9)]


def test_a_bias_below_the_threshold_is_skipped_and_arrives_at_its_rest():
    spec = layer([[[[0.001]]]], tau_ms=20, bias=0.04)
    operator = conv_lif.make(spec, PIXELS)(None)
    operator.process(packet(0, 10**12, (10**12 - 5, 0, 0)))  # 10^9 ticks: they cannot have been run one by one
    assert operator.snapshot()["v"][0] == pytest.approx(0.04 / (1 - float(spec.decay()[0])) + 0.001, rel=1e-6)


def test_more_spikes_than_the_output_buffer_holds_all_come_out():
    spec = layer(np.full((600, 1, 1, 1), 7.5), shape_in=(1, 3, 3))
    out = run(spec, packet(0, 20_000, *((0, y, x) for y in range(3) for x in range(3))))
    assert spikes(out) == [(k * 1000, j) for k in range(7) for j in range(5400)]


def test_a_kernel_as_large_as_the_image_is_a_dense_layer():
    rng = np.random.default_rng(4)
    weight, tau_ms = rng.normal(0.1, 0.5, (5, 2, 4, 3)), rng.uniform(2, 20, 5)
    stream = Format("graded", (2, 4, 3))
    episode = recording(stream, 1)
    convolved = play(conv_lif.make(layer(weight, tau_ms, shape_in=(2, 4, 3)), stream)(None), [episode])
    dense = play(lif.make(LIFSpec(weight.reshape(5, 24).T, tau_ms, 1.0, 1000), stream)(None), [episode])
    assert dense.n > 20
    assert same_events(convolved, dense)


def test_the_report_counts_the_additions_that_were_made():
    operator = conv_lif.make(layer(np.ones((4, 1, 3, 3)), padding=1, threshold=100.0), PIXELS)(None)
    operator.process(packet(0, 5000, (0, 0, 0), (7, 1, 1)))
    assert operator.report() == {"spikes": 0, "synaptic_operations": 4 * (4 + 9)}


def test_a_shortcut_past_a_layer_adds_each_input_spike_once(tmp_path):
    spec = layer(np.ones((2, 2, 3, 3)), threshold=2.0, padding=1, shape_in=(2, 3, 3))
    stream = Format("spikes", (2, 3, 3), tick_us=1000)
    save_model(tmp_path / "m.safetensors", Model(stream, {"unit": spec}))
    body = ConvLIFConfig(model=tmp_path / "m.safetensors", layer="unit")
    episode = recording(stream, 3, n=40)
    around = play(ResidualConfig(body=[body]).prepare(stream)(None), recut(episode, [1_240_000, 1_250_500]))
    through = play(body.prepare(stream)(None), [episode])
    assert through.n > 100
    assert sorted(spikes(around)) == sorted(spikes(through) + spikes(episode))


# --- the plain truth ---


@st.composite
def conv_specs(draw):
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    c_out, into = groups * draw(st.integers(1, 3)), draw(st.integers(1, 2))
    pairs = st.integers(1, 2) | st.tuples(st.integers(1, 3), st.integers(1, 2))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    weight = draw(vectors(floats(-2, 3), c_out * into * kernel[0] * kernel[1])).reshape(c_out, into, *kernel)
    pooled = {"pool_size": draw(pairs), "pool_stride": draw(st.none() | pairs)} if draw(st.booleans()) else {}
    tick_us = draw(st.none() | st.sampled_from([1, 7, 1000]))
    bias = draw(st.none() | vectors(st.sampled_from([0.0, 0.01, 0.2, -0.3]), c_out)) if tick_us == 1000 else None
    shape_in = (groups * into, draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    try:
        return ConvLIFSpec(weight, draw(st.one_of(TAUS, vectors(TAUS, c_out))), draw(floats(0.125, 2)), shape_in, draw(pairs),
                           draw(st.integers(0, 2)), draw(pairs), groups, **pooled, tick_us=tick_us,
                           reset=draw(st.sampled_from(["subtract", "to_zero"])), bias=bias)
    except ValueError:  # it does not fit into the image
        return layer(weight[:1, :1, :1, :1], shape_in=(1, 2, 2), tick_us=tick_us)


@st.composite
def crowds(draw, units, longest_gap_us):
    """Crowded moments, gaps of every size, and a begin and an end off every grid."""
    begin_us = draw(st.integers(0, 3000))
    gaps = draw(st.lists(st.sampled_from([0, 0, 0, 1, 3, 990, 5003, longest_gap_us]), max_size=30))
    t_us = begin_us + np.cumsum(np.array(gaps, np.int64))
    unit = np.array(draw(st.lists(st.integers(0, units - 1), min_size=len(gaps), max_size=len(gaps))), np.uint32)
    value = draw(vectors(floats(-2, 2), len(gaps))) if draw(st.booleans()) else None
    end_us = int(t_us[-1] if gaps else begin_us) + draw(st.sampled_from([1, 2, 998, 4000]))
    return Packet(begin_us, end_us, t_us, unit, value)


def channel_last(v, spec):
    """v of the plain truth as the operator keeps it: (groups, pixels, channels of a group)."""
    array = np.zeros(spec.shape_out, np.float32)
    for site, value in v.items():
        array[site] = value
    return array.reshape(spec.groups, -1, spec.shape_out[1] * spec.shape_out[2]).transpose(0, 2, 1).ravel()


@settings(deadline=None, derandomize=True, max_examples=MANY)
@given(st.data())
def test_it_equals_the_plain_truth_bit_for_bit(data):
    spec = data.draw(conv_specs())
    episode = data.draw(crowds(spec.n_in, 20_000 if spec.bias is not None else 10**9))
    stream = Format("spikes" if episode.value is None else "graded", spec.shape_in)
    operator = conv_lif.make(spec, stream)(None)
    out = play(operator, cuts(data.draw, episode))
    found, v = naive_conv.conv_lif(spec, episode)
    assert spikes(out) == found
    assert (operator.snapshot()["v"] == channel_last(v, spec)).all()


@pytest.mark.parametrize("cuts_at", [(), (3,), (150,), (3, 150, 152), (40, 41), (75,)])
@pytest.mark.parametrize(("pool_size", "stride"), [(2, 2), (3, 2), (2, 1)])
def test_a_tick_of_many_events_is_the_same_whichever_way_its_parts_are_added(pool_size, stride, cuts_at):
    """A tick whose events reach most sums marks these instead of listing them; its parts may be of either kind."""
    rng = np.random.default_rng(5)
    weight = rng.normal(0, 0.4, (3, 2, 3, 3))
    spec = ConvLIFSpec(weight, 20.0, 1.0, (2, 9, 8), pool_size=pool_size, pool_stride=stride, tick_us=1000)
    t_us = np.sort(np.r_[rng.integers(0, 1000, 153), rng.integers(1000, 6000, 5), rng.integers(6000, 9000, 300)])
    episode = Packet(0, 20_000, t_us, rng.integers(0, spec.n_in, t_us.size).astype(np.uint32))
    operator = conv_lif.make(spec, Format("spikes", spec.shape_in))(None)
    out = play(operator, recut(episode, [int(t_us[k]) for k in cuts_at]))
    found, v = naive_conv.conv_lif(spec, episode)
    assert len(found) > 10
    assert spikes(out) == found
    assert (operator.snapshot()["v"] == channel_last(v, spec)).all()


@settings(deadline=None, derandomize=True, max_examples=FEW)
@given(st.data())
def test_stopping_anywhere_and_going_on_gives_the_same_bits(data):
    spec = data.draw(conv_specs())
    episode = data.draw(crowds(spec.n_in, 20_000))
    make = conv_lif.make(spec, Format("spikes" if episode.value is None else "graded", spec.shape_in))
    whole, operator, outputs = play(make(None), [episode]), make(None), []
    for each in cuts(data.draw, episode):
        operator = make(operator.snapshot())
        outputs.append(operator.process(each))
    operator = make(operator.snapshot())
    assert same_events(glue([*outputs, operator.finish()]), whole)


def test_the_kernels_equal_the_plain_truth_without_their_compiler():
    if numba.config.DISABLE_JIT:
        pytest.skip("the compiler is off already")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error::RuntimeWarning", __file__,
               "-k", "same_bits or bit_for_bit"]
    done = subprocess.run(command, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)
    assert "2 passed" in done.stdout, done.stdout[-3000:]


# --- what fits ---


@pytest.fixture
def model(tmp_path):
    save_model(tmp_path / "m.safetensors", Model(Format("spikes", (2, 8, 8)), {
        "first": layer(np.ones((4, 2, 3, 3)), shape_in=(2, 8, 8), stride=(2, 1), padding=1, pool_size=2, tick_us=10_000),
        "dense": LIFSpec(np.ones((8, 3)), 5.0, 1.0, 10_000),
    }))
    return tmp_path / "m.safetensors"


def test_the_format_that_comes_out_is_an_image_again(model):
    upstream = Format("spikes", (2, 8, 8), tick_us=5000, names=("a", "b"))
    out = Format("spikes", (4, 2, 4), 10_000, names=("a", "b"))
    assert ConvLIFConfig(model=model, layer="first").check(upstream) == out
    assert ConvLIFConfig(model=model, layer="first").check(Format("spikes", (128,))).shape == (4, 2, 4)


def test_a_model_file_brings_the_layer_back(model):
    spec = load_model(model).layers["first"]
    assert (spec.stride, spec.padding, spec.pool_size, spec.pool_stride) == ((2, 1), (1, 1), (2, 2), (2, 2))
    assert (spec.shape_conv, spec.shape_out) == ((4, 4, 8), (4, 2, 4))


@pytest.mark.parametrize(("name", "upstream", "complaint"), [
    ("first", Format("spikes", (2, 4, 16)), "takes shape 2x8x8, got spikes of shape 2x4x16"),
    ("first", Format("spikes", (2, 8, 9)), "has 128 inputs"),
    ("first", Format("decisions", (128,)), "takes spikes or graded events"),
    ("first", Format("spikes", (2, 8, 8), 3000), "runs on ticks of 10 ms"),
    ("dense", Format("spikes", (8,)), "layer 'dense' is a lif, not a conv_lif"),
])
def test_what_does_not_fit_is_one_clear_line(model, name, upstream, complaint):
    with pytest.raises(ValueError, match=complaint) as refusal:
        ConvLIFConfig(model=model, layer=name).check(upstream)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("change", "complaint"), [
    ({"weight": np.ones((4, 2, 3))}, "weight must have shape"),
    ({"groups": 3}, "in 3 groups takes 6 channels"),
    ({"shape_in": (2, 2, 8)}, "do not fit into"),
    ({"pool_size": 7}, "do not fit into"),
    ({"stride": 0}, "stride must be one or two whole numbers of at least 1, got 0"),
    ({"padding": 0.5}, "padding must be one or two whole numbers"),
    ({"threshold": 0.0}, "threshold must be above 0"),
    ({"reset": "zero"}, "reset must be"),
    ({"tick_us": None, "bias": 0.1}, "event mode"),
])
def test_a_spec_that_makes_no_sense_is_refused(change, complaint):
    options = {"weight": np.ones((4, 2, 3, 3)), "shape_in": (2, 8, 8)} | change
    with pytest.raises(ValueError, match=complaint):
        layer(**options)
