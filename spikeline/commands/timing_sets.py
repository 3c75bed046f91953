"""`spikeline timing-sets`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def timing_sets(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Data sets in SHD's layout (.h5).", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the nine files go.")],
    bins: Annotated[int, typer.Option(min=2, help="Bins of a sample; a unit spikes once in a bin at most.")] = 100,
    length_s: Annotated[float, typer.Option(min=0.001, help="Length of a sample, s.")] = 1.4,
    drop_share: Annotated[float, typer.Option(min=0, max=0.9, help="Share of samples that may be dropped to keep units.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Of the splits and of the spikes that are kept.")] = 0,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures to FILE as JSON.")] = None,
) -> None:
    """Make data sets that tell whether a network reads timing: whole, part, and norm, where spike counts say nothing.

    In norm every unit has the same number of spikes in every sample; a classifier of spike counts is at chance there, which the
    command proves and prints.
    """
    from rich.console import Console

    from spikeline.commands.run import write_json
    from spikeline.timing_sets import build

    with Console(file=sys.stderr).status("building"):
        figures = build(files, out, bins=bins, length_s=length_s, drop_share=drop_share, seed=seed)
    if json_path is not None:
        write_json(json_path, figures)
    print("\n".join(lines(figures)))


def lines(figures: dict[str, Any]) -> list[str]:
    counts, classes = figures["count_only_accuracy"], figures["classes"]
    return [
        f"{figures['samples_kept']} of {figures['samples_read']} samples, {figures['units']} units with "
        f"{min(figures['least_spikes'])} to {max(figures['least_spikes'])} spikes in every sample of norm",
        f"train {figures['train']}, validation {figures['validation']}, test {figures['test']}; bins of {figures['bin_ms']:g} ms",
        *(f"spike counts alone on {name:<6}{value:.3f}" for name, value in counts.items()),
        f"chance                     {1 / classes:.3f} ({classes} classes)",
    ]
