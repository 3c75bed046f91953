"""`spikeline import-nir`, `export-nir` and `check-nir`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

GraphPath = Annotated[Path, typer.Argument(metavar="GRAPH.nir", help="A NIR file (HDF5).", show_default=False)]
TickMs = Annotated[float | None, typer.Option(min=0.001, help="Length of a tick, ms; NIR has none. Default: the graph's note.")]
Method = Annotated[Literal["exact", "euler"], typer.Option(help="A leak over a tick: solved, or one step of Euler's method.")]
Reset = Annotated[Literal["as-told", "subtract", "to-zero"], typer.Option(help="What a spike leaves of v.")]


def import_nir(
    graph: GraphPath,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The model file to write, .safetensors.", show_default=False)],
    tick_ms: TickMs = None,
    method: Method = "exact",
    reset: Reset = "as-told",
    names: Annotated[str | None, typer.Option(help="Class names, comma-separated; default: numbers.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace a file that exists.")] = False,
) -> None:
    """Make a model of a NIR graph (norse, snnTorch, sinabs, Lava, Rockpool...).

    Weights, biases, pools, scales and flattenings become part of the neurons behind them. docs/nir.md says what becomes of each
    node, and how the frameworks' conventions differ.
    """
    from pipeline.model_file import save_model
    from spikeline.nir_exchange.order import read_graph
    from spikeline.nir_exchange.read import import_graph

    if model.suffix != ".safetensors":
        raise ValueError(f"{model}: a model file is called .safetensors")
    if model.exists() and not force:
        raise ValueError(f"{model} exists; --force replaces it")
    found = read_graph(graph)
    options = _options(found, graph, tick_ms, method, reset, names)
    try:
        made, fate = import_graph(found, options)
    except ValueError as error:
        raise ValueError(f"{graph}: {error}") from None
    save_model(model, made)
    print("\n".join([*(f"{name:<24}{text}" for name, text in fate.items()), "", *snippet(made, model)]))


def export_nir(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model file, .safetensors.", show_default=False)],
    graph: Annotated[Path, typer.Argument(metavar="GRAPH.nir", help="The NIR file to write.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace a file that exists.")] = False,
) -> None:
    """Write a model as a NIR graph, for norse, snnTorch, sinabs, Lava, Rockpool and others to read."""
    from pipeline.model_file import load_model
    from spikeline.nir_exchange.order import write_graph
    from spikeline.nir_exchange.write import export_model

    if graph.exists() and not force:
        raise ValueError(f"{graph} exists; --force replaces it")
    loaded = load_model(model)
    try:
        made, notes = export_model(loaded)
    except ValueError as error:
        raise ValueError(f"{model}: {error}") from None
    write_graph(graph, made)
    for note in notes:
        print(note, file=sys.stderr)
    print(f"{graph}: {len(made.nodes)} nodes")


def check_nir(graph: GraphPath, tick_ms: TickMs = None, method: Method = "exact", reset: Reset = "as-told") -> None:
    """List every node of a NIR graph with what would become of it; exit code 1 if one cannot be carried."""
    from spikeline.nir_exchange.order import read_graph
    from spikeline.nir_exchange.read import check_graph

    found = read_graph(graph)
    rows = check_graph(found, _options(found, graph, 1.0 if tick_ms is None else tick_ms, method, reset, None))
    for name, kind, text, fine in rows:
        print(f"{'ok' if fine else 'NO':<4}{name:<24}{kind:<12}{text}")
    if not all(row[3] for row in rows):
        raise typer.Exit(1)


def snippet(model: Any, path: Path) -> list[str]:
    """The operators of a pipeline that runs the model."""
    from pipeline.layer_spec import spec_type

    lines = [f"  - {{type: {spec_type(spec)}, model: {path}, layer: {name}}}" for name, spec in model.layers.items()]
    return ["operators:", *lines]


def _options(graph: Any, path: Path, tick_ms: float | None, method: Any, reset: Any, names: str | None) -> Any:
    from spikeline.nir_exchange.read import Options

    noted = graph.metadata.get("tick_us") if isinstance(graph.metadata, dict) else None
    if tick_ms is not None:
        tick_us = round(tick_ms * 1000)
    elif noted is not None:
        tick_us = int(noted)
    else:
        raise ValueError(f"{path}: NIR is of continuous time: say how long a tick is, as in --tick-ms 1")
    return Options(tick_us, method, reset, tuple(names.split(",")) if names else ())
