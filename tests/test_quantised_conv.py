"""quantised_conv_lif: whole numbers times a scale, against plain Python and torch; its twin, what it folds; what is refused."""

import dataclasses
import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from operators import conv_lif, quantised_conv_lif  # noqa: E402
from pipeline.layer_spec import QuantisedConvLIFSpec, ReadoutSpec  # noqa: E402
from pipeline.layer_spec.quantised_conv import pack_filters  # noqa: E402
from pipeline.layer_spec.quantised_lif import GREATEST, quantise  # noqa: E402
from pipeline.model_file import Model, load_model, save_model  # noqa: E402
from pipeline.packet import Format, Packet  # noqa: E402
from spikeline.catalog import make_catalog  # noqa: E402
from tests import naive_conv  # noqa: E402
from tests.packets import glue, recut  # noqa: E402
from trainer.command import compare, train  # noqa: E402
from trainer.layers import QuantisedConvLIF, build  # noqa: E402
from trainer.parity import check, compare_spikes  # noqa: E402
from trainer.recipe import read_recipe  # noqa: E402
from trainer.start import start  # noqa: E402
from trainer.surrogate import gather  # noqa: E402

MANY = 3 if numba.config.DISABLE_JIT else 30
CATALOG = make_catalog(custom=False)
BITS = sorted(GREATEST)


def random_spec(seed, bits=1, shape_in=(2, 5, 4), c_out=3, **other):
    rng = np.random.default_rng(seed)
    codes = rng.integers(-GREATEST[bits], GREATEST[bits] + 1, (c_out, shape_in[0], 3, 2))
    codes = np.where(codes == 0, 1, codes) if bits == 1 else codes
    given = {"stride": (1, 2), "padding": (1, 0)} | other
    scale = rng.uniform(0.2, 0.6, c_out) / GREATEST[bits]
    tau_ms = rng.choice([0.0, 2.0, 20.0, np.inf], c_out)
    return QuantisedConvLIFSpec(pack_filters(codes, bits), scale, tau_ms, 1.0, bits, shape_in, (3, 2), 1000, **given)


def random_episode(seed, units, n, length_us=30_000):
    rng = np.random.default_rng(seed)
    return Packet(700, length_us, np.sort(rng.integers(700, length_us, n)), rng.integers(0, units, n).astype(np.uint32))


def spikes(packet):
    return list(zip(packet.t_us.tolist(), packet.unit.tolist(), strict=True))


@settings(deadline=None, derandomize=True, max_examples=MANY)
@given(st.integers(0, 2**32 - 1), st.sampled_from(BITS), st.sampled_from(["subtract", "to_zero"]), st.booleans(),
       st.sampled_from([(1, 1), (2, 3)]), st.lists(st.integers(700, 30_000), max_size=5))  # fmt: skip
def test_it_equals_the_plain_truth_bit_for_bit(seed, bits, reset, biased, stride, cuts_us):
    bias = np.random.default_rng(seed).choice([-0.3, 0.01, 0.2], 3) if biased else None
    spec = random_spec(seed, bits, reset=reset, bias=bias, stride=stride)
    episode = random_episode(seed, spec.n_in, seed % 150)
    make = quantised_conv_lif.make(spec, Format("spikes", spec.shape_in))
    operator, outputs = make(None), []
    for packet in recut(episode, sorted(cuts_us)):
        operator = make(operator.snapshot())  # stopped before every packet, and resumed
        outputs.append(operator.process(packet))
    outputs.append(operator.finish())
    found, v = naive_conv.conv_lif(spec.of_codes(), episode, spec.scale)
    assert spikes(glue(outputs)) == found
    expected = np.zeros(spec.shape_out, np.float32)
    for site, value in v.items():
        expected[site] = value
    assert (operator.snapshot()["v"].reshape(-1, spec.c_out).T.ravel() == expected.ravel()).all()


def test_the_kernels_equal_the_plain_truth_without_their_compiler():
    if numba.config.DISABLE_JIT:
        pytest.skip("the compiler is off already")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__, "-k", "bit_for_bit"]
    done = subprocess.run(command, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout[-3000:]


def test_more_spikes_than_the_output_holds_come_out_whole():
    codes = np.ones((64, 1, 1, 1))
    spec = QuantisedConvLIFSpec(pack_filters(codes, 1), np.ones(64), np.inf, 0.25, 1, (1, 8, 10), (1, 1), 1000)  # fires again
    every = np.arange(80, dtype=np.uint32)
    episode = Packet(0, 3000, np.repeat([0, 1000, 2000], 80), np.tile(every, 3))
    operator = quantised_conv_lif.make(spec, Format("spikes", (1, 8, 10)))(None)
    assert glue([operator.process(episode), operator.finish()]).n == 3 * 80 * 64
    assert operator.report() == {"spikes": 3 * 80 * 64, "synaptic_operations": 3 * 80 * 64}


@pytest.mark.parametrize("bits", BITS)
def test_it_is_conv_lif_with_the_weights_scale_code_where_the_scale_is_a_power_of_two(bits):
    spec = random_spec(5, bits)
    spec = dataclasses.replace(spec, scale=np.full(3, 0.25))
    episode = random_episode(6, spec.n_in, 300)
    plain = spec.of_codes()
    plain = type(plain)(plain.weight * 0.25, plain.tau_ms, 1.0, plain.shape_in, (1, 2), (1, 0), tick_us=1000)
    both = [module.make(each, Format("spikes", spec.shape_in))(None)
            for module, each in ((quantised_conv_lif, spec), (conv_lif, plain))]
    ours, theirs = (spikes(glue([each.process(episode), each.finish()])) for each in both)
    assert ours == theirs
    assert len(ours) > 5


@pytest.mark.parametrize("bits", BITS)
def test_the_module_is_the_operator_spike_for_spike_and_round_trips(bits, tmp_path):
    spec = random_spec(3, bits, bias=np.array([0.05, -0.1, 0.0]))
    layer = build(spec, 1000).eval()
    again = layer.spec()
    assert (again.packed == spec.packed).all()
    assert (again.scale == spec.scale).all()
    model = Model(Format("spikes", spec.shape_in), {"conv": spec, "out": ReadoutSpec("spike_count", ("a", "b"), np.ones(
        (spec.n_out, 2)))})
    save_model(tmp_path / "m.safetensors", model)
    report = check(load_model(tmp_path / "m.safetensors"), [random_episode(seed, spec.n_in, 400) for seed in range(5)])
    assert report.equal, report
    assert report.spikes["conv"] > 100


def test_without_bias_not_even_a_borderline_spike_differs():
    spec = random_spec(4)
    counts = np.random.default_rng(0).poisson(0.4, (25, spec.n_in))
    x = torch.from_numpy(counts[:, None].astype(np.float32))
    tick, unit = (np.repeat(place, counts[counts > 0]) for place in np.nonzero(counts))
    operator = quantised_conv_lif.make(spec, Format("spikes", spec.shape_in))(None)
    out = glue([operator.process(Packet(0, 25_000, tick * 1000, unit.astype(np.uint32))), operator.finish()])
    reference = torch.zeros(25, 1, spec.n_out)
    reference[out.t_us // 1000, 0, out.unit.astype(np.int64)] = 1
    assert not compare_spikes(build(spec, 1000).eval(), x, reference, 0, "conv")
    assert reference.sum() > 50


def test_a_normalisation_with_negative_gains_goes_into_signs_scale_and_bias():
    spec = random_spec(7)
    weight = np.random.default_rng(7).normal(0, 0.3, (3, 2, 3, 2)).astype(np.float32)
    layer = QuantisedConvLIF(spec, weight=weight, batch_norm=True, norm_gain=np.array([1.0, -0.7, 0.5]), norm_shift=0.1)
    x = torch.from_numpy(np.random.default_rng(1).poisson(0.3, (6, 8, spec.n_in)).astype(np.float32))
    for _ in range(200):
        layer(x)
    normalised = layer.current(x)
    layer.eval()
    torch.testing.assert_close(layer.current(x), normalised, rtol=1e-2, atol=1e-2)
    folded = layer.spec()
    codes, _ = quantise(weight.reshape(3, -1).T, 1)
    assert (folded.codes() == codes.T.reshape(weight.shape) * np.array([1, -1, 1])[:, None, None, None]).all()
    torch.testing.assert_close(build(folded, 1000).eval().current(x), layer.current(x))


def test_the_gradient_passes_straight_through_to_the_float_weights():
    spec = random_spec(8)
    weight = np.random.default_rng(8).normal(0, 0.3, (3, 2, 3, 2)).astype(np.float32)
    weight[0, 0, 0, 0] = 1.5  # beyond 1: no slope
    layer = QuantisedConvLIF(spec, weight=weight)
    x = torch.from_numpy(np.random.default_rng(1).poisson(0.3, (4, 2, spec.n_in)).astype(np.float32))
    layer.current(x).sum().backward()
    codes, scale = layer._quantised()
    filters = (codes * scale[:, None, None, None]).requires_grad_()
    torch.nn.functional.conv2d(x.reshape(-1, *spec.shape_in), filters, None, spec.stride, spec.padding).sum().backward()
    expected = filters.grad.clone()
    expected[0, 0, 0, 0] = 0
    torch.testing.assert_close(layer.weight.grad, expected)


@pytest.mark.parametrize(("change", "message"), [
    ({"bits": 3}, "bits must be 1, 2"),
    ({"kernel": (2, 2)}, r"packed must be uint8 of shape \(8, 1\)"),
    ({"packed": np.full((12, 1), 255, np.uint8)}, "bits behind the last channel"),
    ({"shape_in": (2, 1, 1), "padding": (0, 0)}, "do not fit"),
    ({"scale": np.zeros(3)}, "scale must be above 0"),
])  # fmt: skip
def test_a_wrong_spec_says_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(random_spec(0), **change)


def test_it_takes_spikes_of_its_shape_alone():
    spec = random_spec(0)
    with pytest.raises(ValueError, match="takes spikes alone"):
        quantised_conv_lif.make(spec, Format("graded", spec.shape_in))
    with pytest.raises(ValueError, match="takes shape 2x5x4"):
        quantised_conv_lif.make(spec, Format("spikes", (2, 4, 5)))


RECIPE = """
train: {type: dvs_scene, width: 8, height: 8, motions: [right, left], episode_ms: [60, 100], seed: 1, episodes: 12}
validation: {type: dvs_scene, width: 8, height: 8, motions: [right, left], episode_ms: [60, 100], seed: 2, episodes: 4}
model:
  tick_ms: 10
  layers:
    - {type: CONVconv_lif, name: conv, channels: 3, kernel: 3, padding: 1, tau_ms: 10, batch_norm: true, gain: 1}
    - {type: pool, name: smaller, size: 4}
    - {type: DENSElif, name: dense, units: 8, tau_ms: 10}
    - {type: readout, score: spike_count}
training: {epochs: 1, batch: 8, early_weight: 0, rate_weight: 0, seed: 5, learning_rate: 0.01, gradient: sltt}
export: {path: NAME.safetensors, folder: run}
"""


def recipe(folder, name, conv="quantised_", dense="quantised_"):
    path = folder / f"{name}.yaml"
    path.write_text(RECIPE.replace("CONV", conv).replace("DENSE", dense).replace("NAME", name))
    return path


def test_a_second_stage_starts_from_the_float_network_and_runs_in_whole_numbers(tmp_path):
    first = train(recipe(tmp_path, "float", "", ""), [], False, CATALOG)
    path = recipe(tmp_path, "one_bit")
    second = train(path, [f"training.start={tmp_path}/float.safetensors"], False, CATALOG)
    for name in ("conv", "dense"):  # a few steps turn few signs over
        assert (np.sign(first.layers[name].weight) == second.layers[name].codes()).mean() > 0.8, name
    assert compare(path, [], CATALOG).equal
    assert (tmp_path / "one_bit.safetensors").stat().st_size < (tmp_path / "float.safetensors").stat().st_size


def test_the_start_keeps_the_statistics_of_every_normalised_channel(tmp_path):
    train(recipe(tmp_path, "float", "", ""), [], False, CATALOG)
    options = read_recipe(recipe(tmp_path, "one_bit"), [f"training.start={tmp_path}/float.safetensors"], CATALOG)
    data = gather(options, options.training)
    network = start(options.model, options.training, data.format.names, data.first, data.format.shape)
    given = build(load_model(tmp_path / "float.safetensors").layers["conv"], 10_000).eval()
    ours, theirs = (layer.current(data.first.x).reshape(-1, 3, 64) for layer in (network.layers["conv"].train(), given))
    torch.testing.assert_close(ours.mean((0, 2)), theirs.mean((0, 2)), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(ours.std((0, 2)), theirs.std((0, 2)), rtol=1e-3, atol=1e-3)


def test_another_layer_of_the_same_name_is_refused(tmp_path):
    train(recipe(tmp_path, "float", "", ""), [], False, CATALOG)
    override = [f"training.start={tmp_path}/float.safetensors", "model.layers.2.units=9"]
    with pytest.raises(ValueError, match=r"'dense' .*: want QuantisedLIF of 12 inputs and 9 units, got LIF of 12 inputs and 8"):
        train(recipe(tmp_path, "one_bit"), override, False, CATALOG)
