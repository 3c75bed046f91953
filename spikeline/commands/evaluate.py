"""`spikeline evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from spikeline.commands.options import ConfigPath, NoCustom, Overrides, load


def evaluate(
    config: ConfigPath,
    overrides: Overrides = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most episodes to evaluate on.")] = None,
    bin_ms: Annotated[float, typer.Option(min=0.001, help="Bins of the probes, and the unit of their jitters, in ms.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the probes' random numbers.")] = 0,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures to FILE as JSON.")] = None,
    no_custom: NoCustom = False,
) -> None:
    """Disturb a pipeline's input and see what it reads: accuracy after relocation, jitter, deletion and reversal of its spikes,
    without its delays, and what it would gain by stopping early.

    Runs on the labelled episodes of the pipeline's own source, in this process, as fast as it can; its sinks are left alone.
    """
    graph = load(config, overrides, no_custom)
    from rich.console import Console

    from spikeline.commands.run import write_json
    from spikeline.evaluation import evaluate as figures_of

    console = Console(file=sys.stderr)
    with console.status("reading the episodes") as status:
        figures = figures_of(graph, bin_ms=bin_ms, seed=seed, limit=limit, progress=status.update)
    if json_path is not None:
        write_json(json_path, figures)
    print("\n".join(lines(figures)))


def lines(figures: dict[str, Any]) -> list[str]:
    """The figures for a person, as two tables."""
    text = [f"{figures['pipeline']}: {figures['episodes']} episodes, chance {figures['chance']:.2f}, "
            f"bins of {figures['bin_ms']:g} ms", ""]
    text += [f"{row['case']:<22}{row['accuracy']:.3f}" for row in figures["cases"]]
    text += ["", "stop once confident   accuracy   time to the decision"]
    for row in figures["early_exit"]:
        name = f"at {row['threshold']:g}" if row["threshold"] < 1 else "never"
        text.append(f"{name:<22}{row['accuracy']:<11.3f}{row['mean_ms']:.1f} ms, {row['time_share']:.0%}")
    return text
