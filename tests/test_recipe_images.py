"""Recipes of convolutions, pools and shortcuts: they train, teach one another, and run as they were trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators import conv_lif  # noqa: E402
from operators.conv_lif import ConvLIFConfig  # noqa: E402
from operators.pool import PoolConfig  # noqa: E402
from operators.readout import ReadoutConfig  # noqa: E402
from operators.residual import ResidualConfig  # noqa: E402
from pipeline.chain import Chain  # noqa: E402
from pipeline.layer_spec import LIFSpec, PoolSpec, ReadoutSpec, ShortcutSpec  # noqa: E402
from pipeline.model_file import load_model  # noqa: E402
from pipeline.packet import Format, decisions  # noqa: E402
from spikeline.catalog import make_catalog  # noqa: E402
from trainer.command import compare, train  # noqa: E402
from trainer.data import Batch, labelled, nodes  # noqa: E402
from trainer.losses import distillation, guidance, steps  # noqa: E402
from trainer.network import Network, Outcome  # noqa: E402
from trainer.recipe import read_recipe  # noqa: E402
from trainer.recipe_layers import Place  # noqa: E402
from trainer.sltt import ByTick  # noqa: E402
from trainer.start import start  # noqa: E402
from trainer.surrogate import gather  # noqa: E402
from trainer.teacher import Teacher  # noqa: E402

CATALOG = make_catalog(custom=False)
RECIPE = """
train: {type: dvs_scene, width: 8, height: 8, motions: [right, left], episode_ms: [60, 100], seed: 1, episodes: 16}
validation: {type: dvs_scene, width: 8, height: 8, motions: [right, left], episode_ms: [60, 100], seed: 2, episodes: 6}
model:
  tick_ms: 10
  layers:
    - {type: conv_lif, name: first, channels: 3, padding: 1, tau_ms: 10, batch_norm: true, gain: 1}
    - {type: conv_lif, name: unit, channels: 3, kernel: [3, 1], padding: [1, 0], tau_ms: 10, batch_norm: true, gain: 1}
    - {type: shortcut, name: past_unit, over: 1}
    - {type: pool, name: smaller, how: sum, size: 2}
    - {type: conv_lif, name: second, channels: 4, stride: 2, gain: 2, tau_ms: 10, learn: [threshold]}
    - {type: readout, score: spike_count}
training: {epochs: 2, batch: 8, every_ms: 20, early_weight: 0, rate_weight: 0, seed: 5, learning_rate: 0.01}
export: {path: model.safetensors, folder: run}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def prepared(recipe: Path, *overrides: str) -> tuple[Network, Batch]:
    options = read_recipe(recipe, overrides, CATALOG)
    data = gather(options, options.training)
    return start(options.model, options.training, data.format.names, data.first, data.format.shape), data.first


@pytest.mark.parametrize("gradient", ["full", "sltt"])
def test_it_trains_and_the_pipeline_with_a_residual_decides_as_the_network_does(recipe, tmp_path, gradient):
    model = train(recipe, [f"training.gradient={gradient}"], False, CATALOG)
    report = compare(recipe, [], CATALOG)
    assert report.equal, report
    assert report.spikes["unit"] > 50
    assert not report.decided_otherwise

    path = tmp_path / "model.safetensors"
    first, unit, second = (ConvLIFConfig(model=path, layer=layer) for layer in ("first", "unit", "second"))
    operators = [first, ResidualConfig(body=(unit,)), PoolConfig(model=path, layer="smaller"), second,
                 ReadoutConfig(model=path, layer="out")]
    found, format = labelled(read_recipe(recipe, [], CATALOG).validation, "validation")
    own, out = nodes(operators, format)
    network = Network(model.layers, 10_000).eval()
    batch = next(iter(gather(read_recipe(recipe, [], CATALOG), read_recipe(recipe, [], CATALOG).training).validation))
    expected = network(batch.x, batch.ticks).final().argmax(1).tolist()
    assert [list(decisions(Chain(own).push(episode), out))[-1].index for episode in found] == expected


def test_tick_by_tick_gives_the_scores_of_the_whole_network(recipe):
    network, batch = prepared(recipe)
    network.eval()
    _, scores, rates = ByTick(network).backward(batch, read_recipe(recipe, [], CATALOG).training)
    outcome = network(batch.x, batch.ticks)
    torch.testing.assert_close(scores, outcome.final().detach(), rtol=1e-4, atol=1e-5)
    for name, rate in outcome.rates().items():
        assert rates[name].item() == pytest.approx(rate.mean().item(), rel=1e-4)  # spikes behind the end of a sample do not count


def test_a_shortcut_adds_what_went_into_its_body():
    body = LIFSpec(np.eye(3) * 2, 1e-3, 1.0, 1000)
    network = Network({"body": body, "past": ShortcutSpec(3, 1), "out": ReadoutSpec("spike_count", ("a", "b", "c"))}, 1000)
    x = torch.tensor([[[1.0, 0.0, 2.0]], [[0.0, 0.0, 1.0]]])
    torch.testing.assert_close(network(x, torch.tensor([2])).final(), torch.tensor([[2.0, 0.0, 5.0]]))


def test_a_shortcut_over_no_layer_is_none_and_one_over_too_many_is_named(recipe):
    assert "past_unit" not in prepared(recipe, "model.layers.2.over=0")[0].layers
    with pytest.raises(ValueError, match="over 3 layers must stand behind so many, there are 2"):
        prepared(recipe, "model.layers.2.over=3")


@pytest.mark.parametrize("shape", [(12,), (3, 4), (1, 3, 4)])
def test_a_convolution_takes_rows_and_images_of_one_channel(shape, recipe):
    change = "model.layers.0={type: conv_lif, name: a, channels: 2, kernel: [1, 3]}"
    layer = read_recipe(recipe, [change], CATALOG).model.layers[0]
    spec = layer.begin(Place(12, 1.0, np.random.default_rng(0), 1000, ("a", "b"), 0, "atan", shape))[0]
    assert spec.shape_in == ((1, 1, 12) if len(shape) == 1 else (1, 3, 4))
    assert conv_lif.make(spec, Format("graded", shape)) is not None


def test_a_teacher_of_rectified_units_trains_teaches_and_does_not_run(recipe, tmp_path):
    path = tmp_path / "teacher.safetensors"
    model = train(recipe, ["training.activation=relu", "training.epochs=6", f"export.path={path}"], False, CATALOG)
    assert model.metrics["activation"] == "relu"
    with pytest.raises(ValueError, match="a teacher of relu units"):
        ConvLIFConfig(model=path, layer="first").check(model.input)

    options = read_recipe(recipe, [f"training.teacher={path}"], CATALOG)
    _, batch = prepared(recipe)
    names = model.layers["out"].names
    scores = Teacher(path, names, 10_000).scores(batch)
    own = Network(model.layers, 10_000, activation="relu").eval()
    mean = (batch.x.sum(0) / batch.ticks[:, None])[None]
    expected = own(mean, torch.ones(len(scores)).long()).final().detach()
    torch.testing.assert_close(scores * own.readout.temperature.float(), expected)
    with pytest.raises(ValueError, match=r"knows the classes .*, want a, b"):
        Teacher(path, ("a", "b"), 10_000)
    assert options.training.teacher == path
    train(recipe, [f"training.teacher={path}", "training.gradient=sltt"], False, CATALOG)
    assert list(load_model(tmp_path / "model.safetensors").layers)[2] == "past_unit"


def test_rectified_units_are_refused_where_a_layer_has_none():
    layers = {"a": PoolSpec("max", (1, 2, 2), 2, tick_us=1000), "out": ReadoutSpec("spike_count", ("a",))}
    with pytest.raises(ValueError, match="no units for layer 'a', a Pool"):
        Network(layers, 1000, activation="relu")


def outcome(scores: list[list[list[float]]], ends: list[int]) -> Outcome:
    return Outcome(torch.tensor(scores), torch.tensor(ends), {}, {})


def test_every_step_learns_from_the_teacher_while_its_sample_lasts():
    told = outcome([[[1.0, 0.0], [0.0, 1.0]], [[3.0, 0.0], [9.0, 1.0]]], ends=[2, 1])
    o, inside = steps(told, "spike_count", 1)
    assert o[1, 0].tolist() == [2.0, 0.0]  # what the second tick adds
    assert inside.tolist() == [[1, 1], [1, 0]]
    taught = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    p, q = torch.softmax(taught[0], 0), torch.softmax(o[0, 0], 0)
    expected = (p * (p / q).log()).sum() / 3  # one step of three differs from its teacher
    torch.testing.assert_close(distillation(told, taught, "spike_count", 1, 1.0), expected)
    softer = distillation(told, taught, "spike_count", 1, 20.0)  # in the limit half the variance of the difference over classes
    assert softer.item() == pytest.approx(0.5 * 0.25 / 3, rel=0.02)


def test_guidance_is_zero_where_no_sample_lasts_two_steps():
    assert guidance(outcome([[[1.0, 0.0]]], [1]), "membrane", 1, 2.0) == 0
