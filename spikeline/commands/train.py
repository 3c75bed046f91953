"""`spikeline train`: the only command that imports the trainer."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from spikeline.commands.options import Overrides


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe's YAML file.", show_default=False)],
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the recipe's last checkpoint.")] = False,
) -> None:
    """Train a model as a recipe says and export it to one .safetensors file."""
    missing = [name for name in ("torch", "lightning") if find_spec(name) is None]
    if missing:
        raise ValueError(f"training needs {' and '.join(missing)}: pip install 'spikeline[train]'")
    from spikeline.catalog import make_catalog
    from trainer.command import train as run_training

    run_training(recipe, overrides or [], resume, make_catalog())
