"""spikeline: event sensors and recordings to spiking networks to live decisions.

>>> import spikeline
>>> graph = spikeline.load("configs/quickstart.yaml", ["source.pace=fast"])  # doctest: +SKIP
>>> spikeline.run(graph, inline=True)["accuracy"]                            # doctest: +SKIP
0.97
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.graph import Graph
    from pipeline.layer_spec import DelaySpec, LIFSpec, ReadoutSpec
    from pipeline.model_file import Model, load_model, save_model
    from pipeline.packet import Decision, Format, Packet

    __version__: str

__all__ = [
    "Decision",
    "DelaySpec",
    "Format",
    "LIFSpec",
    "Model",
    "Packet",
    "ReadoutSpec",
    "__version__",
    "load",
    "load_model",
    "run",
    "save_model",
]

# Imported when first asked for, so that light commands stay light.
_HOMES = {
    "Decision": "pipeline.packet",
    "DelaySpec": "pipeline.layer_spec",
    "Format": "pipeline.packet",
    "LIFSpec": "pipeline.layer_spec",
    "Model": "pipeline.model_file",
    "Packet": "pipeline.packet",
    "ReadoutSpec": "pipeline.layer_spec",
    "load_model": "pipeline.model_file",
    "save_model": "pipeline.model_file",
}


def load(config: str | Path, overrides: Sequence[str] = (), *, custom: bool = True) -> Graph:
    """The checked graph of a pipeline's YAML file.

    overrides: as on the command line, "operators.0.window_ms=8". custom: whether the file may name components of your own.
    Raises a ValueError (pipeline.config_errors.ConfigErrors) with one line for each thing that is wrong.
    """
    from pipeline.graph import load as load_graph
    from spikeline.catalog import make_catalog

    return load_graph(config, make_catalog(custom=custom), overrides, custom=custom)


def run(pipeline: Graph | str | Path, *, inline: bool = False, resume: str | Path | None = None) -> dict[str, Any]:
    """Run a graph, or the YAML file of one, to the end of its source, and return the summary. Raises RunError."""
    from pipeline.runner import run as run_graph

    graph = load(pipeline) if isinstance(pipeline, str | Path) else pipeline
    return run_graph(graph, inline=inline, resume=None if resume is None else Path(resume), on_update=None)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("spikeline")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'spikeline' has no attribute {name!r}")
