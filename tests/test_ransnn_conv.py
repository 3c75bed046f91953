"""Random convolutions: counts are a pipeline's, weights what the recipe says, and the model runs as it was trained."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators import conv_lif  # noqa: E402
from pipeline.chain import Chain  # noqa: E402
from pipeline.model_file import load_model  # noqa: E402
from spikeline import load, run  # noqa: E402
from tests.test_ransnn import CATALOG, PIPELINE, RECIPE, folder  # noqa: E402, F401
from trainer.command import compare, train  # noqa: E402
from trainer.conv_features import ConvFeatures  # noqa: E402
from trainer.data import labelled, nodes  # noqa: E402
from trainer.recipe import read_recipe  # noqa: E402
from trainer.recipe_random import RandomConvLayer  # noqa: E402

TAPS = "  - {type: bernoulli, tick_ms: 1, scale: 0.4}\n  - {type: delay_taps, taps_ms: [0, 1, 3]}\n"
LAYER = "{type: random_conv_lif, name: hidden, channels: 12, kernel: [5, 3], inputs: 2, tau_ms: 4}"


@pytest.fixture
def recipe(folder, tmp_path):  # noqa: F811
    path = tmp_path / "recipe.yaml"
    head, _, tail = RECIPE.replace("{folder}", str(folder)).partition("  - {type: bernoulli, tick_ms: 1}\n")
    kept = [line for line in tail.splitlines(keepends=True) if "random_lif" not in line]
    path.write_text(head + TAPS + "".join(kept).replace("  layers:\n", f"  layers:\n    - {LAYER}\n"))
    return path


def features_of(recipe):
    read = read_recipe(recipe, [], CATALOG)
    packets, format = labelled(read.train, "train")
    features = ConvFeatures(read.operators, format, 1000)
    layer = read.model.layers[0]
    spec = features.add_layer("hidden", layer, layer.spec(features.format.shape, 5, 1000), packets)
    return features, spec, packets, Chain(nodes(read.operators, format)[0])


def test_counts_are_the_spikes_that_a_pipeline_counts(recipe):
    features, spec, packets, chain = features_of(recipe)
    counts = features.all(packets[:40])
    for packet, counted in zip(packets, counts, strict=False):
        operator = conv_lif.make(spec, features.format)(None)
        spikes = np.concatenate([operator.process(chain.push(packet)).unit, operator.finish().unit])
        assert np.bincount(spikes, minlength=spec.n_out).tolist() == counted.tolist()
    assert counts.sum() > 1000
    assert features.rates() == {"hidden": pytest.approx(float(counts.mean()) / 15, abs=1e-4)}


def test_chunks_do_not_change_counts(recipe, monkeypatch):
    features, _, packets, _ = features_of(recipe)
    whole = features.all(packets[:30])
    monkeypatch.setattr("trainer.conv_features.AT_ONCE", 7)
    monkeypatch.setattr("trainer.conv_features.BATCH", 2)
    assert (features.all(packets[:30]) == whole).all()


def test_parts_of_an_episode_count_what_was_heard_by_then(recipe):
    features, _, packets, _ = features_of(recipe)
    some, whole = next(features.parts(packets[:20], (0.5, 1.0)))
    assert (whole == features.all(packets[:20])).all()
    assert (some <= whole).all()
    assert 0.2 * whole.sum() < some.sum() < 0.9 * whole.sum()


def test_weights_are_centred_tapered_and_of_some_inputs_alone():
    layer = RandomConvLayer(name="a", channels=20, kernel=(2, 5), inputs=3, taper=False)
    weight = layer.spec((7, 2, 40), 1, 1000).weight
    assert ((weight != 0).any((2, 3)).sum(1) == 3).all()
    assert np.abs(weight.sum((1, 2, 3))).max() < 1e-5
    tapered = layer.model_copy(update={"taper": True}).spec((7, 2, 40), 1, 1000).weight
    assert np.abs(tapered[..., 0]).mean() < 0.5 * np.abs(tapered[..., 2]).mean()
    assert (layer.spec((7, 2, 40), 2, 1000).weight != weight).any()


def test_the_input_of_a_tick_has_the_deviation_that_gain_says(recipe):
    _, spec, _, _ = features_of(recipe)
    again, _, packets, chain = features_of(recipe)
    from trainer.data import collate, encode
    from trainer.layers.conv import ConvLIF

    batch = collate([encode(packet, chain, 1000, again.format.size) for packet in packets], again.format.size)
    with torch.no_grad():
        current = ConvLIF(spec).eval().current(batch.x).reshape(*batch.x.shape[:2], spec.c_out, -1)
    assert (current**2).mean((0, 1, 3)).sqrt().numpy() == pytest.approx(np.ones(spec.c_out), rel=0.3)


def test_a_recipe_becomes_a_model_that_a_pipeline_runs_as_it_was_trained(recipe, folder, capsys):  # noqa: F811
    train(recipe, [], False, CATALOG)
    capsys.readouterr()
    model = load_model(folder / "model.safetensors")
    assert model.metrics["test_accuracy"] > 0.7  # a third is chance
    pipeline = PIPELINE.replace("  - {type: bernoulli, tick_ms: 1}\n", TAPS).replace("random_lif", "conv_lif")
    (folder / "convolved.yaml").write_text(pipeline)
    summary = run(load(folder / "convolved.yaml"), inline=True)
    assert summary["accuracy"] == pytest.approx(model.metrics["test_accuracy"], abs=1e-4)
    report = compare(recipe, [], CATALOG)
    assert report.equal
    assert report.spikes["hidden"] > 1000
    assert not report.decided_otherwise


def test_a_readout_that_learns_parts_answers_earlier(recipe, folder, capsys):  # noqa: F811
    early = {}
    for parts in ("[1.0]", "[0.5, 1.0]"):
        train(recipe, [f"training.parts={parts}"], False, CATALOG)
        out = load_model(folder / "model.safetensors").layers["out"]
        features, _, packets, _ = features_of(recipe)
        counts = next(features.parts(packets, (0.5,)))[0]
        told = (counts.astype(np.float32) @ out.weight + out.bias).argmax(1)
        early[parts] = np.mean(told == [packet.label for packet in packets])
    capsys.readouterr()
    assert early["[0.5, 1.0]"] > early["[1.0]"]


def test_a_random_convolution_is_refused_where_layers_learn(recipe):
    with pytest.raises(ValueError, match="conv_lif is the layer that learns"):
        train(recipe, ["training={method: surrogate, epochs: 1}"], False, CATALOG)
    with pytest.raises(ValueError, match="or random_conv_lif layers alone"):
        train(recipe, [f"model.layers=[{LAYER}, {{type: time_bins, name: b, bins: 2, bin_ms: 5}}, {{type: readout}}]"], False,
              CATALOG)
