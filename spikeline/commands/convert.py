"""`spikeline convert`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from spikeline.commands.options import (
    Channels,
    Columns,
    Delimiter,
    Height,
    RecordingPath,
    Table,
    TimeUnit,
    Width,
    table_options,
)


def convert(
    source: RecordingPath,
    target: Annotated[Path, typer.Argument(metavar="TO", help="The file to write; its suffix says how.", show_default=False)],
    format: Annotated[str | None, typer.Option(help="The format, whatever the suffix; an unknown one lists all.")] = None,
    from_s: Annotated[float, typer.Option(min=0, help="Where to begin, s after the first event.")] = 0.0,
    to_s: Annotated[float | None, typer.Option(min=0, help="Where to end, s after the first event.")] = None,
    width: Width = None,
    height: Height = None,
    time_unit: TimeUnit = None,
    columns: Columns = None,
    delimiter: Delimiter = None,
    table: Table = None,
    channels: Channels = None,
    on_disorder: Annotated[Literal["error", "drop"], typer.Option(help="An event that runs backwards in time.")] = "error",
    sort_within_ms: Annotated[float | None, typer.Option(help="Sort events that are at most so late, drop later ones.")] = None,
    truncated: Annotated[Literal["error", "keep"], typer.Option(help="Half a record at the end.")] = "error",
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace a file that exists.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Write a recording's events in another format: .raw is EVT3, .h5 the DSEC layout, .npz columns t, x, y, p."""
    if to_s is not None and to_s <= from_s:
        raise ValueError(f"--to-s must lie after --from-s, got {to_s:g} and {from_s:g}")
    from sources.disorder import SortWithin
    from spikeline.convert import convert as convert_file

    options = table_options(time_unit, columns, delimiter, table, channels)
    order = on_disorder if sort_within_ms is None else SortWithin(sort_within_ms=sort_within_ms)

    with ExitStack() as stack:
        figures = convert_file(
            source, target, format=format, from_s=from_s, to_s=to_s, width=width, height=height, on_disorder=order,
            on_truncated=truncated, table=options, force=force, on_progress=_progress(source, quiet, stack),
        )  # fmt: skip
    for line in warnings(source, figures):
        print(line, file=sys.stderr)
    print(f"{target}: {figures['events']:,} events as {figures['format']}, {figures['bytes']:,} bytes")


def warnings(source: Path, figures: dict[str, Any]) -> list[str]:
    """What the written file does not tell as the recording did, a line each."""
    lines = []
    if t0_us := figures["t0_us"]:
        kept = "; the header keeps t0" if figures["keeps_t0"] else ""
        counted = f"times are counted from the first event{kept}"
        lines.append(f"{source}: begins at {t0_us} us, which {figures['format']} does not hold: {counted}")
    if figures["left_out"]:
        named = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in figures["left_out"].items())
        lines.append(f"{source}: left out, since only events are converted: {named}")
    if figures["lost"]:
        lines.append(f"{source}: {figures['lost']:,} events had been lost when it was recorded")
    if figures["late"]:
        lines.append(f"{source}: left out {figures['late']:,} events that run backwards in time")
    return lines


def _progress(source: Path, quiet: bool, stack: ExitStack) -> Callable[[int], None]:
    if quiet or not sys.stderr.isatty():
        return lambda events: None
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f} events"), TimeElapsedColumn()
    progress = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    task = progress.add_task(source.name, total=None)
    return lambda events: progress.update(task, completed=events)
