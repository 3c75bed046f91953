"""The commands that look and do not run: check, graph, list, describe, schema, info. All start without the heavy libraries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from spikeline.commands.options import (
    Channels,
    Columns,
    ConfigPath,
    Delimiter,
    Height,
    NoCustom,
    Overrides,
    RecordingPath,
    Table,
    TimeUnit,
    Width,
    load,
    table_options,
)


def check(config: ConfigPath, overrides: Overrides = None, no_custom: NoCustom = False) -> None:
    """Say all that is wrong with a pipeline's file, or that it fits together."""
    graph = load(config, overrides, no_custom)
    operators, sinks = len(graph.operators), len(graph.sinks)
    print(f"{config}: fits together ({graph.source.type}, {operators} operator{'s' * (operators != 1)}, "
          f"{sinks} sink{'s' * (sinks != 1)}; the sinks receive {graph.format})")  # fmt: skip


def graph(
    config: ConfigPath,
    format: Annotated[Literal["text", "mermaid", "dot"], typer.Option(help="What to draw with.")] = "text",
    overrides: Overrides = None,
    no_custom: NoCustom = False,
) -> None:
    """Draw a pipeline: every node, and what flows between any two."""
    from spikeline.describe import draw

    print(draw(load(config, overrides, no_custom), format))


def list_components(no_custom: NoCustom = False) -> None:
    """List all components, one line each."""
    from spikeline.catalog import make_catalog
    from spikeline.describe import summary

    rows = [(kind, name, summary(cls)) for kind, name, cls in make_catalog(custom=not no_custom)]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for kind, name, sentence in rows:
        print(f"{kind:<{widths[0]}}  {name:<{widths[1]}}  {sentence}")


def describe(type: Annotated[str, typer.Argument(metavar="TYPE", help="A component's type.", show_default=False)]) -> None:
    """Describe a component: what it does, its options with units and defaults, an example."""
    from spikeline.describe import description, find

    print("\n\n".join(description(kind, name, cls) for kind, name, cls in find(type)))


def schema(no_custom: NoCustom = False) -> None:
    """Print the JSON Schema of a pipeline's file, for editors."""
    from spikeline.catalog import make_catalog
    from spikeline.schema import pipeline_schema

    print(json.dumps(pipeline_schema(make_catalog(custom=not no_custom)), indent=1))


def info(
    file: RecordingPath,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Save a picture: accumulated events, rate, raster.")] = None,
    width: Width = None,
    height: Height = None,
    time_unit: TimeUnit = None,
    columns: Columns = None,
    delimiter: Delimiter = None,
    table: Table = None,
    channels: Channels = None,
) -> None:
    """Say what a recording holds: format, geometry, duration, events, rates, gaps, hot pixels."""
    from sources.inspect import inspect

    options = table_options(time_unit, columns, delimiter, table, channels)
    if plot is None:
        figures = inspect(file, width, height, options)
    else:
        from spikeline.picture import check_picture, save_picture

        check_picture(plot)
        figures = inspect(file, width, height, options, on_survey=lambda survey: save_picture(plot, survey, file.name))
    if as_json:
        print(json.dumps(figures))
        return
    width = max(map(len, figures), default=0)
    for name, value in figures.items():
        print(f"{name:<{width}}  {_readable(value)}")


def _readable(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_readable, value))
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)
