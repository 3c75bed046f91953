"""Training tick by tick: the gradient is the one without temporal terms, and memory does not grow with time."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

from pipeline.model_file import load_model  # noqa: E402
from spikeline.catalog import make_catalog  # noqa: E402
from trainer.command import train  # noqa: E402
from trainer.data import Batch  # noqa: E402
from trainer.layers.spike import spike  # noqa: E402
from trainer.network import Network  # noqa: E402
from trainer.recipe import Training, read_recipe  # noqa: E402
from trainer.sltt import ByTick  # noqa: E402
from trainer.start import start  # noqa: E402
from trainer.surrogate import gather  # noqa: E402

RECIPE = """
train: {type: timing_task, task: coincidence, samples: 48, duration_ms: 60, volleys: 3}
validation: {type: timing_task, task: coincidence, samples: 12, duration_ms: 60, volleys: 3, draw: 1}
model:
  tick_ms: 2
  layers:
    - {type: lif, name: hidden, units: 12, tau_ms: 10, learn: [tau, threshold]}
    - {type: lif, name: second, units: 8, tau_ms: 10, reset: to_zero}
    - {type: readout, score: SCORE}
training: {gradient: sltt, epochs: 3, batch: 16, seed: 5, learning_rate: 0.01}
export: {path: model.safetensors, folder: run}
"""
CATALOG = make_catalog(custom=False)


def recipe(folder: Path, score: str = "spike_count") -> Path:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.replace("SCORE", score))
    return path


def prepared(folder: Path, score: str, *overrides: str) -> tuple[Training, Network, Batch]:
    options = read_recipe(recipe(folder, score), overrides, CATALOG)
    data = gather(options, options.training)
    network = start(options.model, options.training, data.format.names, data.first)
    return options.training, network, next(iter(data.train))


def without_temporal_terms(network: Network, batch: Batch, guided: float = 0.0) -> torch.Tensor:
    """The same loss as one graph over all ticks, in which every state that is carried over is a constant.
    guided: the weight of KL(p(t + 1) || p(t)), the mean over ticks and samples, at a temperature of 2."""
    hidden, second, readout = network.layers.values()
    v = [torch.zeros(()), torch.zeros(())]
    out, total, before = torch.zeros(()), torch.zeros(()), torch.ones(())
    for t in range(batch.x.shape[0]):
        x = batch.x[t]
        for place, layer in enumerate((hidden, second)):
            u = layer.decay() * v[place] + x @ layer.weight
            x = spike(u, layer.threshold(), layer.surrogate)
            left = u - layer.threshold() * x if layer.reset == "subtract" else u * (1 - x)
            v[place] = left.detach()
        current = x @ readout.weight
        if readout.score == "membrane":
            from trainer.layers.parts import Decay

            current = Decay.apply(readout.tau_ms(), readout.tick_us) * out.detach() + current
            out = current
        given = torch.softmax(current / 2, 1)
        if t and guided:
            kl = (given.detach() * (given.detach() / before).log()).sum(1)
            total = total + guided * (kl * (t < batch.ticks)).sum() / (batch.ticks - 1).sum()
        before = given
        total = total + (F.cross_entropy(current, batch.labels, reduction="none") * (t < batch.ticks) / batch.ticks).mean()
    return total


@pytest.mark.parametrize("guided", [0.0, 3.0])
@pytest.mark.parametrize("score", ["spike_count", "membrane"])
def test_the_gradient_is_that_of_the_graph_without_temporal_terms(tmp_path, score, guided):
    options, network, batch = prepared(tmp_path, score, f"training.guidance_weight={guided}")
    whole = without_temporal_terms(network, batch, guided)
    expected = torch.autograd.grad(whole, list(network.parameters()), allow_unused=True)
    network.zero_grad()
    loss, _, _ = ByTick(network).backward(batch, options)
    torch.testing.assert_close(loss, whole.detach(), rtol=1e-4, atol=1e-6)
    for (name, parameter), gradient in zip(network.named_parameters(), expected, strict=True):
        if gradient is None:
            assert parameter.grad is None or not parameter.grad.any(), name
        else:
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-7, msg=name)


def test_the_scores_are_those_of_the_whole_network(tmp_path):
    for score in ("spike_count", "membrane"):
        options, network, batch = prepared(tmp_path, score)
        network.eval()
        _, scores, rates = ByTick(network).backward(batch, options)
        outcome = network(batch.x, batch.ticks)
        torch.testing.assert_close(scores, outcome.final().detach(), rtol=1e-4, atol=1e-5)
        assert rates["hidden"].item() == pytest.approx(outcome.rates()["hidden"].mean().item(), rel=1e-4)


def most_saved(batch: Batch, network: Network, options: Training) -> int:
    """The greatest number of tensors that are kept for a backward pass at one time."""
    alive, most = 0, 0

    class Kept:
        def __init__(self, tensor: torch.Tensor) -> None:
            nonlocal alive, most
            self.tensor = tensor
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        ByTick(network).backward(batch, options)
    return most


def test_memory_does_not_grow_with_the_number_of_ticks(tmp_path):
    options, network, batch = prepared(tmp_path, "membrane")
    longer = Batch(batch.x.repeat(8, 1, 1), batch.ticks * 8, batch.labels)
    assert most_saved(longer, network, options) == most_saved(batch, network, options) > 0


def test_a_few_random_ticks_are_an_estimate_of_all(tmp_path):
    options, network, batch = prepared(tmp_path, "spike_count")
    by_tick, weight = ByTick(network), network.layers["hidden"].weight
    by_tick.backward(batch, options)
    whole, mean = weight.grad.clone(), torch.zeros_like(weight)
    torch.manual_seed(0)
    for _ in range(60):
        network.zero_grad()
        by_tick.backward(batch, options, torch.randperm(batch.x.shape[0])[:10])
        mean += weight.grad / 60
    assert torch.nn.functional.cosine_similarity(mean.ravel(), whole.ravel(), dim=0) > 0.95


def test_a_recipe_trains_by_ticks_and_exports(tmp_path):
    overrides = ["training.epochs=4", "training.sltt_ticks=20", "training.learning_rate=0.03"]
    model = train(recipe(tmp_path), overrides, False, CATALOG)
    assert list(load_model(tmp_path / "model.safetensors").layers) == ["hidden", "second", "out"]
    assert model.metrics["validation_accuracy"] >= 0.5


def test_layers_that_it_cannot_train_are_named(tmp_path):
    path = recipe(tmp_path)
    path.write_text(path.read_text().replace("{type: lif, name: second, units: 8, tau_ms: 10, reset: to_zero}",
                                             "{type: delay, name: late, max_ms: 10}"))
    with pytest.raises(ValueError, match="'late' is a Delay; use gradient: full"):
        train(path, [], False, CATALOG)
