"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.graph import Graph

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="The pipeline's YAML file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Set a value: operators.0.window_ms=8. Any YAML; may be repeated."),
]
NoCustom = Annotated[bool, typer.Option("--no-custom", help="Refuse components from outside of spikeline.")]


def load(config: Path, overrides: list[str] | None, no_custom: bool) -> Graph:
    """The checked graph of a YAML file."""
    import spikeline

    return spikeline.load(config, overrides or (), custom=not no_custom)
