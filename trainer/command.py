"""`spikeline train`: a recipe in, a model file out."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from pipeline.chain import Chain
from pipeline.config import Catalog
from pipeline.layer_spec import DelaySpec
from pipeline.model_file import Model, load_model, save_model
from pipeline.packet import Format, Packet
from trainer.data import Augment, Batch, Batches, episodes, nodes, split
from trainer.fit import Fitted, early, fit
from trainer.network import Network
from trainer.parity import Report, check
from trainer.recipe import Recipe, read_recipe
from trainer.start import start

START_SAMPLES = 256  # whose statistics scale the first weights


def train(recipe: Path, overrides: Sequence[str], resume: bool, catalog: Catalog) -> Model:
    """Train as the recipe says, print the figures reached and write the model file. ConfigErrors or ValueError when it cannot.

    overrides: `training.seed=2` and the like, as in --set. resume: go on from the recipe's last checkpoint.
    catalog: the sources and operators that a recipe may name.
    """
    options = read_recipe(recipe, overrides, catalog)
    if options.export.path.suffix != ".safetensors":
        raise ValueError(f"{options.export.path}: a model file is called .safetensors; correct export.path")
    torch.set_num_threads(options.training.threads)
    data = gather(options)
    network = start(options.model, options.training, data.format.names, data.first)
    fitted = fit(network, options.training, data.train, data.validation, options.export.folder, resume)
    held = data.validation or data.train
    if options.training.temperature is not None or data.validation is not None:
        network.readout.temperature.fill_(options.training.temperature or fit_temperature(network, held, options))
    metrics = figures(fitted, held, "validation" if data.validation else "training")
    trained_on = options.export.trained_on or f"{options.train.type}, {data.samples} episodes"
    model = Model(data.format, network.specs(), trained_on, metrics | {"seed": options.training.seed}, revision(recipe.parent))
    save_model(options.export.path, model)
    show(model, options.export.path)
    return model


def compare(recipe: Path, overrides: Sequence[str], catalog: Catalog, limit: int = 100) -> Report:
    """Whether the runtime does what the recipe's exported model did in training, spike for spike, on `limit` of its episodes."""
    options = read_recipe(recipe, overrides, catalog)
    found, format = labelled(options.validation or options.train, "validation")
    chain = Chain(nodes(options.operators, format)[0])
    return check(load_model(options.export.path), (chain.push(episode) for episode in found[:limit]))


@dataclass(frozen=True)
class Gathered:
    """The data of a recipe, encoded by its operators."""

    train: Batches
    validation: Batches | None
    first: Batch  # unaugmented samples of every class, in order
    format: Format  # what the first layer receives
    samples: int


def gather(recipe: Recipe) -> Gathered:
    """Read and encode what a recipe trains on. ValueError when there is nothing to learn from it."""
    own, format = labelled(recipe.train, "train")
    if recipe.validation is not None:
        held, other = labelled(recipe.validation, "validation")
        if (other.shape, other.names) != (format.shape, format.names):
            raise ValueError(f"validation must be like train, {format} of {len(format.names)} classes, got {other}")
    else:
        own, held = split(own, recipe.validation_share, recipe.training.seed)
    change: Augment | None = partial(_augmented, recipe.augmentation, format) if recipe.augmentation.any() else None
    make = partial(Batches, operators=recipe.operators, format=format, tick_us=recipe.model.tick_us)
    training = recipe.training
    train = make(own, size=training.batch, seed=training.seed, augment=change)
    if train.format.kind == "decisions":
        raise ValueError("operators must leave events to learn from, they give decisions")
    first = next(iter(make(own[:: max(1, len(own) // START_SAMPLES)], size=START_SAMPLES)))
    return Gathered(train, make(held, size=training.batch) if held else None, first, train.format, len(own) + len(held))


def labelled(config: Any, where: str) -> tuple[list[Packet], Format]:
    """The episodes of a source that have a label."""
    found, format = episodes(config)
    found = [episode for episode in found if episode.label >= 0]
    if len({episode.label for episode in found}) < 2 or not format.names:
        raise ValueError(f"{where}: wanted labelled episodes of at least two classes, got {len(found)} of source {config.type}")
    return found, format


def _augmented(augmentation: Any, format: Format, episode: Packet, rng: Any) -> Packet:
    return augmentation(episode, rng, format)


@torch.no_grad()
def fit_temperature(network: Network, batches: Iterable[Batch], recipe: Recipe) -> float:
    """The temperature of least cross-entropy over all decisions, early and final (Guo et al. 2017, "On calibration of modern
    neural networks", section 4.2): the best of 200 values from 0.05 to 50."""
    network.eval()
    every = max(1, round(recipe.training.every_ms * 1000 / network.tick_us))
    scores, labels = [], []
    for batch in batches:
        outcome = network(batch.x, batch.ticks)
        parts = (early(outcome, batch.labels, every), (outcome.final(), batch.labels))
        scores += [part[0] for part in parts]
        labels += [part[1] for part in parts]
    choices = torch.logspace(-1.3, 1.7, 200, dtype=torch.float64)
    losses = [F.cross_entropy(torch.cat(scores).double() / t, torch.cat(labels)) for t in choices]
    return round(float(choices[int(torch.stack(losses).argmin())]), 4)


@torch.no_grad()
def figures(fitted: Fitted, batches: Iterable[Batch], kind: str) -> dict[str, Any]:
    """What the network reaches: accuracy, and spikes a neuron and tick of every spiking layer."""
    network = fitted.network.eval()
    right, count = 0, 0
    rates: dict[str, list[float]] = {}
    for batch in batches:
        outcome = network(batch.x, batch.ticks)
        right += int((outcome.final().argmax(1) == batch.labels).sum())
        count += batch.labels.shape[0]
        for name, rate in outcome.rates().items():
            rates.setdefault(name, []).append(float(rate.mean()) * batch.labels.shape[0])
    mean = {name: round(sum(values) / count, 4) for name, values in rates.items()}
    return {f"{kind}_accuracy": round(right / count, 4), f"{kind}_episodes": count, "spikes_per_neuron_and_tick": mean,
            "epoch": fitted.epoch, "epochs": fitted.epochs}


def revision(folder: Path) -> str:
    """The git revision of the tree around `folder`, with "+" when it has changes; "" outside of one."""
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def show(model: Model, path: Path) -> None:
    """The final table on stdout."""
    table = Table("layer", "in", "out", "type", title=os.path.normpath(path))
    for name, spec in model.layers.items():
        about = type(spec).__name__.removesuffix("Spec").lower()
        if isinstance(spec, DelaySpec):
            ms = spec.delay_us / 1000
            about += f", {ms.min():g} to {ms.max():g} ms, mean {ms.mean():.1f} ms"
        table.add_row(name, str(spec.n_in), str(spec.n_out), about)
    console = Console()
    console.print(table)
    for name, value in model.metrics.items():
        console.print(f"{name}: {value}", highlight=False)
