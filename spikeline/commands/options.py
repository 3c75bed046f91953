"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from pipeline.graph import Graph
    from sources.formats.header import TableOptions

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="The pipeline's YAML file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Set a value: operators.0.window_ms=8. Any YAML; may be repeated."),
]
NoCustom = Annotated[bool, typer.Option("--no-custom", help="Refuse components from outside of spikeline.")]

RecordingPath = Annotated[Path, typer.Argument(metavar="FILE", help="A recording that dvs_file can read.", show_default=False)]
Width = Annotated[int | None, typer.Option(min=1, help="Columns of the sensor, for a file that does not tell.")]
Height = Annotated[int | None, typer.Option(min=1, help="Rows of the sensor, likewise.")]
TimeUnit = Annotated[Literal["s", "ms", "us", "ns"] | None, typer.Option(help="Of the times of a table, if it does not tell.")]
Columns = Annotated[str | None, typer.Option(metavar="t=NAME,x=...", help="Columns of a table: names, or numbers from 0.")]
Delimiter = Annotated[str | None, typer.Option(metavar="CHARACTER", help="Between the fields of a text.")]
Table = Annotated[str | None, typer.Option(metavar="PATH", help="The table inside an HDF5 file, or the topic of a bag.")]
Channels = Annotated[int | None, typer.Option(min=1, help="Units of a table with columns t and unit.")]


def table_options(
    time_unit: str | None, columns: str | None, delimiter: str | None, table: str | None, channels: int | None
) -> TableOptions:
    """What the command line says of a table of events."""
    from sources.formats.header import TableOptions

    chosen: dict[str, str | int] = {}
    for pair in (columns or "").split(",") if columns else ():
        key, _, name = pair.partition("=")
        if key not in ("t", "x", "y", "p") or not name:
            raise ValueError(f"--columns must be like t=time,x=0,y=1,p=polarity, got {columns!r}")
        chosen[key] = int(name) if name.isdecimal() else name
    if delimiter is not None and len(delimiter) != 1:
        raise ValueError(f"--delimiter must be one character, got {delimiter!r}")
    return TableOptions(time_unit, chosen or None, delimiter, table, channels)  # type: ignore[arg-type]


def load(config: Path, overrides: list[str] | None, no_custom: bool) -> Graph:
    """The checked graph of a YAML file."""
    import spikeline

    return spikeline.load(config, overrides or (), custom=not no_custom)
