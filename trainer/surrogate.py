"""Training by surrogate gradients through time: a recipe in, a model out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from pipeline.model_file import Model
from pipeline.packet import Format, Packet
from trainer.calibration import best_temperature
from trainer.data import Augment, Batch, Batches, labelled, split
from trainer.early_exit import exit_threshold
from trainer.fit import Fitted, early, fit
from trainer.network import Network
from trainer.recipe import GradientTraining, Recipe, Training
from trainer.start import start

START_SAMPLES = 256  # whose statistics scale the first weights


def train(recipe: Recipe, training: Training, resume: bool) -> Model:
    """Train as the recipe says; ValueError when it cannot."""
    data = gather(recipe, training)
    network = start(recipe.model, training, data.format.names, data.first, data.format.shape)
    fitted = fit(network, training, data.train, data.validation, recipe.export.folder, resume)
    held = data.validation or data.train
    every = max(1, round(training.every_ms * 1000 / network.tick_us))
    if training.temperature is not None or data.validation is not None:
        network.readout.temperature.fill_(training.temperature or fit_temperature(network, held, training))
    metrics = figures(fitted, held, "validation" if data.validation else "training", every)
    if training.activation != "spike":
        metrics["activation"] = training.activation
    elif data.validation is not None:
        metrics |= exit_threshold(network, data.validation, every)
    if recipe.test is not None:
        tested = figures(fitted, tried(recipe, training), "test", every)
        metrics |= {key: tested[key] for key in ("test_accuracy", "test_episodes", "test_accuracy_after_ms")}
    return Model(data.format, network.specs(), f"{recipe.train.type}, {data.samples} episodes", metrics)


@dataclass(frozen=True)
class Gathered:
    """The data of a recipe, encoded by its operators."""

    train: Batches
    validation: Batches | None
    first: Batch  # unaugmented samples of every class, in order
    format: Format  # what the first layer receives
    samples: int


def gather(recipe: Recipe, training: GradientTraining, batches: type[Batches] = Batches) -> Gathered:
    """Read and encode what a recipe trains on, in `batches`. ValueError when there is nothing to learn from it."""
    own, format = labelled(recipe.train, "train")
    if recipe.validation is not None:
        held, other = labelled(recipe.validation, "validation")
        if (other.shape, other.names) != (format.shape, format.names):
            raise ValueError(f"validation must be like train, {format} of {len(format.names)} classes, got {other}")
    else:
        own, held = split(own, recipe.validation_share, training.seed)
    classes: dict[int, list[Packet]] = {}
    for episode in own:
        classes.setdefault(episode.label, []).append(episode)
    change: Augment | None = partial(_augmented, recipe.augmentation, format, classes) if recipe.augmentation.any() else None
    make = partial(batches, operators=recipe.operators, format=format, tick_us=recipe.model.tick_us)
    train = make(own, size=training.batch, seed=training.seed, augment=change, alike=training.alike)
    if train.format.kind == "decisions":
        raise ValueError("operators must leave events to learn from, they give decisions")
    first = next(iter(make(own[:: max(1, len(own) // START_SAMPLES)], size=START_SAMPLES)))
    return Gathered(train, make(held, size=training.batch) if held else None, first, train.format, len(own) + len(held))


def tried(recipe: Recipe, training: GradientTraining, batches: type[Batches] = Batches) -> Batches:
    """The test episodes."""
    episodes, format = labelled(recipe.test, "test")
    return batches(episodes, recipe.operators, format, recipe.model.tick_us, training.batch)


def _augmented(augmentation: Any, format: Format, classes: dict[int, list[Packet]], episode: Packet, rng: Any) -> Packet:
    return augmentation(episode, rng, format, classes[episode.label])


@torch.no_grad()
def fit_temperature(network: Network, batches: Iterable[Batch], training: Training) -> float:
    """The temperature of least cross-entropy over all decisions, early and final."""
    network.eval()
    every = max(1, round(training.every_ms * 1000 / network.tick_us))
    scores, labels = [], []
    for batch in batches:
        outcome = network(batch.x, batch.ticks)
        parts = (early(outcome, batch.labels, every), (outcome.final(), batch.labels, outcome.ends))
        scores += [part[0] for part in parts]
        labels += [part[1] for part in parts]
    return best_temperature(torch.cat(scores), torch.cat(labels))


@torch.no_grad()
def figures(fitted: Fitted, batches: Iterable[Batch], kind: str, every: int) -> dict[str, Any]:
    """What the network reaches: accuracy at the end and after every `every` ticks, and spikes a neuron and tick of every spiking
    layer. A sample that is over by then counts with its final scores."""
    network: Any = fitted.network.eval()
    count = 0
    right: list[list[int]] = []  # of every batch, after each step and at the end
    rates: dict[str, list[float]] = {}
    for batch in batches:
        outcome = network(batch.x, batch.ticks)
        steps = range(every, outcome.scores.shape[0], every)
        scores = [outcome.at(outcome.ends.clamp(max=step)) for step in steps] + [outcome.final()]
        right.append([int((score.argmax(1) == batch.labels).sum()) for score in scores])
        count += batch.labels.shape[0]
        for name, rate in outcome.rates().items():
            rates.setdefault(name, []).append(float(rate.mean()) * batch.labels.shape[0])
    mean = {name: round(sum(values) / count, 4) for name, values in rates.items()}
    longest = max(len(own) for own in right) - 1
    after = [sum(own[min(step, len(own) - 1)] for own in right) / count for step in range(longest)]
    return {f"{kind}_accuracy": round(sum(own[-1] for own in right) / count, 4), f"{kind}_episodes": count,
            f"{kind}_accuracy_after_ms": {f"{every * network.tick_us * (step + 1) / 1000:g}": round(share, 4)
                                          for step, share in enumerate(after)},
            "spikes_per_neuron_and_tick": mean, "epoch": fitted.epoch, "epochs": fitted.epochs}
