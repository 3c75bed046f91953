"""`spikeline train`: a recipe in, a model file out."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from pipeline.chain import Chain
from pipeline.config import Catalog
from pipeline.layer_spec import DelaySpec, spec_type
from pipeline.model_file import Model, load_model, save_model
from trainer import eventprop, ransnn, surrogate
from trainer.data import labelled, nodes
from trainer.fit import HISTORY
from trainer.parity import Report, check
from trainer.recipe import EventTraining, RandomTraining, Recipe, read_recipe
from trainer.report import save_report


def train(recipe: Path, overrides: Sequence[str], resume: bool, catalog: Catalog) -> Model:
    """Train as the recipe says, print the figures reached, write the model file and a picture.

    ConfigErrors or ValueError when it cannot.

    overrides: `training.seed=2` and the like, as in --set. resume: go on from the recipe's last checkpoint.
    catalog: the sources and operators that a recipe may name.
    """
    options = read_recipe(recipe, overrides, catalog)
    if options.export.path.suffix != ".safetensors":
        raise ValueError(f"{options.export.path}: a model file is called .safetensors; correct export.path")
    torch.set_num_threads(options.training.threads)
    model = _trained(options, resume)
    if os.environ.get("LOCAL_RANK", "0") != "0":  # a process that Lightning started beside this one, by the same command
        return model
    metrics = model.metrics | {"seed": options.training.seed}
    model = dataclasses.replace(model, trained_on=options.export.trained_on or model.trained_on, metrics=metrics,
                                revision=revision(recipe.parent))
    save_model(options.export.path, model)
    folder = options.export.folder
    if model.metrics.get("activation", "spike") == "spike":  # no runtime executes the others
        save_report(folder / "report.png", model, options.validation or options.train, options.operators, folder / HISTORY)
    show(model, options.export.path)
    return model


def _trained(recipe: Recipe, resume: bool) -> Model:
    """The model that the recipe's method makes: one branch a method."""
    training = recipe.training
    if isinstance(training, RandomTraining):
        return ransnn.train(recipe, training, resume)
    if isinstance(training, EventTraining):
        return eventprop.train(recipe, training, resume)
    return surrogate.train(recipe, training, resume)


def compare(recipe: Path, overrides: Sequence[str], catalog: Catalog, limit: int = 100) -> Report:
    """Whether the runtime does what the recipe's exported model did in training, spike for spike, on `limit` of its episodes."""
    options = read_recipe(recipe, overrides, catalog)
    found, format = labelled(options.validation or options.train, "validation")
    chain = Chain(nodes(options.operators, format)[0])
    return check(load_model(options.export.path), (chain.push(episode) for episode in found[:limit]))


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
        about = spec_type(spec)
        if isinstance(spec, DelaySpec):
            ms = spec.delay_us / 1000
            about += f", {ms.min():g} to {ms.max():g} ms, mean {ms.mean():.1f} ms"
        table.add_row(name, str(spec.n_in), str(spec.n_out), about)
    console = Console()
    console.print(table)
    for name, value in model.metrics.items():
        console.print(f"{name}: {value}", highlight=False)
