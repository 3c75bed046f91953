"""RanSNN: features are what a pipeline counts, readouts are what their equations say, and a recipe ends in a model that runs."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pipeline.chain import Chain  # noqa: E402
from pipeline.config_errors import ConfigErrors  # noqa: E402
from pipeline.layer_spec import RandomLIFSpec, TimeBinsSpec  # noqa: E402
from pipeline.model_file import load_model  # noqa: E402
from spikeline import load, run  # noqa: E402
from spikeline.catalog import make_catalog  # noqa: E402
from tests.writers_samples import idx  # noqa: E402
from trainer import linear_readout  # noqa: E402
from trainer.command import compare, train  # noqa: E402
from trainer.data import labelled, nodes  # noqa: E402
from trainer.linear_readout import LeastSquares, Recursive, averaged, descend  # noqa: E402
from trainer.random_features import Features  # noqa: E402
from trainer.recipe import read_recipe  # noqa: E402

CONFIGS = Path(__file__).parent.parent / "configs"
CATALOG = make_catalog(custom=False)
RECIPE = """
train: {type: images, path: "{folder}/train-images-idx3-ubyte", presentation_ms: 12}
test: {type: images, path: "{folder}/test-images-idx3-ubyte", presentation_ms: 12}
validation_share: 0.2
operators:
  - {type: bernoulli, tick_ms: 1}
model:
  tick_ms: 1
  layers:
    - {type: random_lif, name: hidden, units: 60, draw: normal, scale: 0.2, centred: true, fields: [3, 5]}
    - {type: readout, name: out}
training: {method: ransnn, seed: 5}
export: {path: "{folder}/model.safetensors", folder: "{folder}/run"}
"""
PIPELINE = """
source: {type: images, path: test-images-idx3-ubyte, presentation_ms: 12}
operators:
  - {type: bernoulli, tick_ms: 1}
  - {type: random_lif, model: model.safetensors, layer: hidden}
  - {type: readout, model: model.safetensors, layer: out}
sinks: [{type: score}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of bars, 8 x 8, lying, standing and slanting, with noise."""
    path = tmp_path_factory.mktemp("bars")
    rng = np.random.default_rng(3)
    for name, n in (("train", 150), ("test", 60)):
        labels = np.arange(n) % 3
        pictures = rng.integers(0, 60, (n, 8, 8))
        for picture, label in zip(pictures, labels, strict=True):
            at = rng.integers(1, 7)
            y, x = {0: (at, np.arange(8)), 1: (np.arange(8), at), 2: (np.arange(8), (np.arange(8) + at) % 8)}[int(label)]
            picture[y, x] = rng.integers(150, 256, 8)
        (path / f"{name}-images-idx3-ubyte").write_bytes(idx(pictures.astype(np.uint8)))
        (path / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels.astype(np.uint8)))
    return path


@pytest.fixture
def recipe(folder, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace("{folder}", str(folder)))
    return path


def prepared(recipe, *overrides, **options):
    read = read_recipe(recipe, overrides, CATALOG)
    packets, format = labelled(read.train, "train")
    features = Features(read.operators, format, 1000, True, **options)
    features.add_layer("hidden", RandomLIFSpec((8, 8), 60, 5, "normal", 0.2, fields=(3, 5), tick_us=1000))
    return features, packets, read, format


def test_features_are_the_spikes_that_a_pipeline_counts(recipe):
    features, packets, read, format = prepared(recipe)
    layer = RandomLIFSpec((8, 8), 60, 5, "normal", 0.2, fields=(3, 5), tick_us=1000)
    encode = Chain(nodes(read.operators, format)[0])
    from operators import random_lif

    counts = features.all(packets[:20])
    for packet, counted in zip(packets, counts, strict=False):
        operator = random_lif.make(layer, features.format)(None)
        encoded = encode.push(packet)
        spikes = np.concatenate([operator.process(encoded).unit, operator.finish().unit])
        assert np.bincount(spikes, minlength=60).tolist() == counted.tolist()
    assert counts.any()
    assert features.rates() == {"hidden": round(float(counts.mean()) / 12, 4)}


def test_other_encoders_than_bernoulli_run_as_operators(recipe):
    latency = prepared(recipe, "operators=[{type: latency, window_ms: 9}]")[0]
    assert latency.all(labelled(read_recipe(recipe, [], CATALOG).train, "train")[0][:5]).any()


def test_two_layers_count_the_spikes_of_the_second(recipe):
    features, packets, _, _ = prepared(recipe)
    first = features.all(packets[:9])
    features.add_layer("second", RandomLIFSpec((60,), 33, 6, "normal", 0.4, tick_us=1000))
    assert features.all(packets[:9]).shape == (9, 33)
    assert set(features.rates()) == {"hidden", "second"}
    assert first.shape == (9, 60)


def test_neither_chunks_nor_threads_change_features(recipe, monkeypatch):
    whole = prepared(recipe)[0]
    packets = prepared(recipe)[1]
    monkeypatch.setattr("trainer.random_features.ROOM", 7 * 12 * 60)
    parts = prepared(recipe, threads=2)[0]
    assert len(list(parts.chunks(packets))) > 20
    assert (whole.all(packets, 3) == parts.all(packets, 3)).all()


def test_each_presentation_has_random_numbers_of_its_own(recipe):
    features, packets, _, _ = prepared(recipe)
    one, other, again, piped = (features.all(packets, k) for k in (0, 1, 0, None))
    assert (one == again).all()
    assert (one != other).any()
    assert (one != piped).any()


def test_the_weights_of_the_last_steps_may_be_averaged():
    counts, labels = some_counts()
    batches = [(counts[at : at + 20], labels[at : at + 20]) for at in range(0, 200, 20)]
    after = [descend(batches[:steps], 12, 3, 0.05, seed=1)[-1] for steps in (8, 9, 10)]
    last = descend(batches, 12, 3, 0.05, seed=1, keep=3)
    assert [(one.weight == other.weight).all() for one, other in zip(last, after, strict=True)] == [True] * 3
    mean = averaged(last)
    assert mean.weight.numpy() == pytest.approx(np.mean([one.weight.numpy() for one in after], 0), abs=1e-6)
    assert mean.bias.numpy() == pytest.approx(np.mean([one.bias.numpy() for one in after], 0), abs=1e-6)


BINS = "{type: time_bins, name: bins, bin_ms: 3, bins: 3}"


def test_bins_count_the_spikes_of_each_part_of_an_episode(recipe):
    features, packets, _, _ = prepared(recipe)
    total = features.all(packets[:9])
    features.add_bins(TimeBinsSpec(60, 3, 3000))
    parts = features.all(packets[:9]).reshape(9, 3, 60)
    assert (parts.sum(1) == total).all()
    early = features._through(features._encoded(packets[:9], features._seeds(9, None)))[0].reshape(9, 3, 60)[:, 0]
    assert early.any()
    assert (early <= 3).all()
    assert parts[:, 2].max() > 3, "the last bin holds the last six of the twelve ticks"


def test_a_bin_of_a_part_of_a_tick_is_refused(recipe):
    with pytest.raises(ValueError, match=r"whole ticks of 1 ms, got 2.5 ms"):
        prepared(recipe)[0].add_bins(TimeBinsSpec(60, 3, 2500))


def some_counts(seed=0, n=12, m=200):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, m)
    return rng.poisson(3 + 2 * (np.arange(n)[None] % 3 == labels[:, None])).astype(np.uint8), labels


def test_ridge_is_least_squares_with_a_penalty():
    counts, labels = some_counts()
    squares = LeastSquares(12, 3)
    squares.add(counts[:70], labels[:70])
    squares.add(counts[70:], labels[70:])
    x, y = counts - counts.mean(0), np.eye(3)[labels]
    c = x.T @ x
    weight = np.linalg.solve(c + 0.1 * np.diag(c).mean() * np.eye(12), x.T @ y)
    linear = squares.solve(0.1)
    assert linear.weight.numpy() == pytest.approx(weight, abs=1e-6)
    assert linear.bias.numpy() == pytest.approx(y.mean(0) - counts.mean(0) @ weight, abs=1e-6)


@pytest.mark.parametrize("by_bytes", [True, False])
@pytest.mark.parametrize("greatest", [255, 128, 127])
def test_the_sums_of_ridge_are_exact_however_they_are_cut(greatest, by_bytes, monkeypatch):
    if not by_bytes:
        monkeypatch.setattr(linear_readout, "bytes_multiply_exactly", lambda: False)
    counts = np.full((9000, 2), greatest, np.uint8)
    counts[::2, 1] = greatest - 1
    whole, parts = LeastSquares(2, 3), LeastSquares(2, 3)
    labels = np.arange(9000) % 3
    whole.add(counts, labels)
    for at in range(0, 9000, 7):
        parts.add(counts[at : at + 7], labels[at : at + 7])
    assert whole.samples == parts.samples == 9000
    assert whole.solve(1.0).weight.tolist() == parts.solve(1.0).weight.tolist()
    truth = (counts.astype(np.int64).T @ counts.astype(np.int64)).tolist()
    assert whole._gram.tolist() == parts._gram.tolist() == truth


@pytest.mark.parametrize("batch", [1, 7, 200])
def test_recursive_least_squares_ends_where_ridge_does(batch):
    counts, labels = some_counts()
    learner = Recursive(12, 3, 5.0)
    for at in range(0, 200, batch):
        learner.learn(counts[at : at + batch], labels[at : at + batch])
    x, y = np.column_stack([counts, np.ones(200)]), np.eye(3)[labels]
    weight = np.linalg.solve(x.T @ x + 5 * np.eye(13), x.T @ y)
    assert np.vstack([learner.readout().weight, learner.readout().bias]) == pytest.approx(weight, abs=1e-6)


def test_recursive_least_squares_classifies_before_it_learns():
    counts, labels = some_counts()
    learner = Recursive(12, 3, 5.0)
    first = learner.learn(counts[:100], labels[:100])
    assert first == (labels[:100] == 0).sum()  # all scores are 0, and the lowest index wins
    assert learner.learn(counts[100:], labels[100:]) > 60


def test_adam_lowers_the_cross_entropy_as_torch_does():
    counts, labels = some_counts()
    ours = descend([(counts, labels)] * 50, 12, 3, 0.01, seed=1)[-1]
    generator = torch.Generator().manual_seed(1)
    layer = torch.nn.Linear(12, 3)
    with torch.no_grad():
        layer.weight.copy_(((2 * torch.rand(12, 3, generator=generator) - 1) / 12**0.5).T)
        layer.bias.copy_((2 * torch.rand(3, generator=generator) - 1) / 12**0.5)
    optimizer = torch.optim.Adam(layer.parameters(), 0.01)
    for _ in range(50):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(layer(torch.from_numpy(counts).float()), torch.from_numpy(labels))
        loss.backward()
        optimizer.step()
    assert ours.weight.numpy() == pytest.approx(layer.weight.detach().numpy().T, abs=1e-5)
    assert (ours.scores(counts).argmax(1).numpy() == labels).mean() > 0.8


@pytest.mark.parametrize("solver", ["ridge", "rls", "adam"])
def test_a_recipe_becomes_a_model_that_a_pipeline_runs_as_it_was_trained(solver, recipe, folder, tmp_path, capsys):
    train(recipe, [f"training.solver={solver}", "training.batch=20"], False, CATALOG)
    capsys.readouterr()
    model = load_model(folder / "model.safetensors")
    assert list(model.layers) == ["hidden", "out"]
    assert model.metrics["validation_episodes"] == 30
    assert model.metrics["test_accuracy"] > 0.7  # a third is chance
    (folder / "pipeline.yaml").write_text(PIPELINE)
    summary = run(load(folder / "pipeline.yaml"), inline=True)
    assert summary["accuracy"] == pytest.approx(model.metrics["test_accuracy"], abs=1e-4)
    report = compare(recipe, [], CATALOG)
    assert report.equal
    assert report.spikes["hidden"] > 1000
    assert not report.decided_otherwise


def test_a_readout_of_several_bins_runs_online_as_it_was_trained(recipe, folder, capsys):
    layers = f"model.layers=[{{type: random_lif, name: hidden, units: 60, scale: 0.3, fields: [3]}}, {BINS}, {{type: readout}}]"
    train(recipe, [layers], False, CATALOG)
    capsys.readouterr()
    model = load_model(folder / "model.safetensors")
    assert list(model.layers) == ["hidden", "bins", "out"]
    assert model.layers["out"].n_in == 180
    bins = "  - {type: time_bins, model: model.safetensors, layer: bins}\n"
    (folder / "binned.yaml").write_text(PIPELINE.replace("  - {type: readout", bins + "  - {type: readout"))
    summary = run(load(folder / "binned.yaml"), inline=True)
    assert summary["accuracy"] == pytest.approx(model.metrics["test_accuracy"], abs=1e-4)
    report = compare(recipe, [layers], CATALOG)
    assert report.equal
    assert not report.decided_otherwise


def test_equal_seeds_give_equal_files_and_others_do_not(recipe, folder):
    files = []
    for seed in (5, 5, 6):
        train(recipe, [f"training.seed={seed}"], False, CATALOG)
        files.append((folder / "model.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]


def test_resuming_begins_again_and_ends_in_the_same_file(recipe, folder, capsys):
    train(recipe, [], False, CATALOG)
    first = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    train(recipe, [], True, CATALOG)
    assert "keeps no checkpoint: it begins again" in capsys.readouterr().err
    assert (folder / "model.safetensors").read_bytes() == first


@pytest.mark.parametrize(("change", "message"), [
    ("model.layers=[{type: readout}]", "behind random_lif layers"),
    ("model.layers=[{type: lif, name: a, units: 3}, {type: readout}]", "behind random_lif layers"),
    ("model.layers=[{type: random_lif, name: a, units: 3, scale: 1}, {type: readout, score: membrane}]", "score: spike_count"),
])  # fmt: skip
def test_layers_that_ransnn_cannot_learn_are_refused(recipe, change, message):
    with pytest.raises(ValueError, match=message):
        train(recipe, [change], False, CATALOG)


def test_a_method_is_chosen_by_its_name_and_its_mistakes_are_said(recipe):
    with pytest.raises(ConfigErrors, match=r"training.solvr is not an option .*did you mean 'solver'"):
        read_recipe(recipe, ["training.solvr=ridge"], CATALOG)
    with pytest.raises(ConfigErrors, match="training: method must be surrogate, ransnn or eventprop"):
        read_recipe(recipe, ["training.method=magic"], CATALOG)
    assert type(read_recipe(recipe, ["training={}"], CATALOG).training).__name__ == "Training"


def test_a_random_layer_may_stand_before_layers_that_learn(recipe, folder):
    layers = ("model.layers=[{type: random_lif, name: hidden, units: 60, scale: 0.3, fields: [3]}, "
              "{type: lif, name: second, units: 20}, {type: readout, name: out}]")
    train(recipe, [layers, "training={epochs: 2}"], False, CATALOG)
    model = load_model(folder / "model.safetensors")
    assert isinstance(model.layers["hidden"], RandomLIFSpec)
    assert model.metrics["test_episodes"] == 60
    assert compare(recipe, [layers, "training={epochs: 2}"], CATALOG).equal
