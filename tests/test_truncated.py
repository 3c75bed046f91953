"""Training in chunks of ticks: the whole gradient where one chunk holds all ticks, and less memory where it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pipeline.config_errors import ConfigErrors  # noqa: E402
from spikeline.catalog import make_catalog  # noqa: E402
from trainer.command import compare, train  # noqa: E402
from trainer.data import Batch  # noqa: E402
from trainer.fit import Classifier  # noqa: E402
from trainer.network import Network  # noqa: E402
from trainer.recipe import Training, read_recipe  # noqa: E402
from trainer.start import start  # noqa: E402
from trainer.surrogate import gather  # noqa: E402
from trainer.truncated import InChunks  # noqa: E402

RECIPE = """
train: {type: timing_task, task: coincidence, samples: 48, duration_ms: 60, volleys: 3}
validation: {type: timing_task, task: coincidence, samples: 12, duration_ms: 60, volleys: 3, draw: 1}
augmentation: {time_stretch: 0.3}
model:
  tick_ms: 2
  layers:
    - {type: lif, name: hidden, units: 12, tau_ms: 10, learn: [tau, threshold]}
    - {type: delay, name: late, max_ms: 12}
    - {type: lif, name: second, units: 8, tau_ms: 10, reset: to_zero}
    - {type: readout, score: SCORE}
training: {gradient: truncated, truncate_ticks: 8, every_ms: 10, epochs: 3, batch: 16, seed: 5, rate_least: 0.3}
export: {path: model.safetensors, folder: run}
"""
CATALOG = make_catalog(custom=False)


def recipe(folder: Path, score: str = "spike_count") -> Path:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.replace("SCORE", score))
    return path


def prepared(folder: Path, score: str) -> tuple[Training, Network, Batch]:
    options = read_recipe(recipe(folder, score), [], CATALOG)
    data = gather(options, options.training)
    network = start(options.model, options.training, data.format.names, data.first)
    network.layers["late"].sigma.fill_(2.0)
    return options.training, network, next(iter(data.train.at(0)))  # stretched: samples of different lengths


@pytest.mark.parametrize("score", ["spike_count", "membrane", "max_membrane", "softmax_sum"])
def test_one_chunk_of_all_ticks_has_the_whole_gradient(tmp_path, score):
    options, network, batch = prepared(tmp_path, score)
    module = Classifier(network, options, 1)
    whole = module.loss(network(batch.x, batch.ticks), batch)
    whole.backward()
    gradients = {name: p.grad.clone() for name, p in network.named_parameters()}
    network.zero_grad()
    loss, scores = InChunks(network, 1000).backward(batch, options, module.decision_ticks())
    torch.testing.assert_close(loss, whole.detach())
    torch.testing.assert_close(scores, network(batch.x, batch.ticks).final().detach())
    for name, p in network.named_parameters():
        torch.testing.assert_close(p.grad, gradients[name], rtol=1e-4, atol=1e-6, msg=name)
    assert {"layers.late.delay_ticks", "layers.hidden.tau_ms.log_factor"} <= set(gradients)


@pytest.mark.parametrize("score", ["spike_count", "membrane", "max_membrane", "softmax_sum"])
def test_chunks_change_gradients_and_neither_scores_nor_the_loss_of_decisions(tmp_path, score):
    options, network, batch = prepared(tmp_path, score)
    options = options.model_copy(update={"rate_weight": 0.0})
    every = Classifier(network, options, 1).decision_ticks()
    found = {}
    for ticks in (5, 1000):
        network.zero_grad()
        loss, scores = InChunks(network, ticks).backward(batch, options, every)
        found[ticks] = loss, scores, network.layers["hidden"].weight.grad.clone()
    torch.testing.assert_close(found[5][:2], found[1000][:2])
    assert (found[5][2] - found[1000][2]).norm() > 0.01 * found[1000][2].norm()


def most_bytes(batch: Batch, network: Network, options: Training, ticks: int) -> int:
    """The most that is kept for a backward pass at one time."""
    alive, most = 0, 0

    class Kept:
        def __init__(self, tensor: torch.Tensor) -> None:
            nonlocal alive, most
            self.tensor = tensor
            alive += tensor.nbytes
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= self.tensor.nbytes

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        InChunks(network, ticks).backward(batch, options, 5)
    return most


def test_memory_is_that_of_a_chunk(tmp_path):
    options, network, batch = prepared(tmp_path, "membrane")
    longer = Batch(batch.x.repeat(8, 1, 1), batch.ticks * 8, batch.labels)
    assert most_bytes(longer, network, options, 10) == most_bytes(batch, network, options, 10)
    assert most_bytes(longer, network, options, 10) < most_bytes(longer, network, options, 1000) / 8


def test_a_recipe_trains_in_chunks_and_exports(tmp_path):
    models = [train(recipe(tmp_path), [f"training.epochs={n}", "training.dropout=0.1"], False, CATALOG) for n in (1, 2)]
    assert list(models[1].layers) == ["hidden", "late", "second", "out"]
    assert not np.array_equal(models[0].layers["hidden"].weight, models[1].layers["hidden"].weight)
    assert compare(recipe(tmp_path), [], CATALOG).equal


def test_what_no_chunk_can_know_is_refused(tmp_path):
    with pytest.raises(ConfigErrors, match="guidance_weight and teacher want gradient: full"):
        read_recipe(recipe(tmp_path), ["training.guidance_weight=1"], CATALOG)
    with pytest.raises(ValueError, match="trains lif and delay layers, 'second' is a CubaLIF"):
        train(recipe(tmp_path), ["model.layers.2={type: cuba_lif, name: second, units: 8}"], False, CATALOG)
