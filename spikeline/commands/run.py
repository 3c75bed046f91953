"""`spikeline run`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikeline.commands.options import ConfigPath, NoCustom, Overrides, load

if TYPE_CHECKING:
    from pipeline.graph import Graph
    from pipeline.runner import Update


def run(
    config: ConfigPath,
    inline: Annotated[bool, typer.Option("--inline", help="Run all stages in this one process.")] = False,
    overrides: Overrides = None,
    resume: Annotated[Path | None, typer.Option(metavar="DIR", help="Go on from the newest whole checkpoint in DIR.")] = None,
    summary: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the run's figures to FILE as JSON.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No live view.")] = False,
    no_custom: NoCustom = False,
) -> None:
    """Run a pipeline to the end of its source."""
    graph = load(config, overrides, no_custom)
    if summary is not None:
        if summary.is_dir():
            raise ValueError(f"--summary {summary}: is a folder, wanted a file")
        summary.parent.mkdir(parents=True, exist_ok=True)
    from pipeline.runner import run as run_graph

    one_process = inline or graph.stages.processes is False
    with ExitStack() as stack:
        on_update = _live_view(graph, quiet, stack)
        figures = run_graph(graph, inline=one_process, resume=resume, on_update=on_update)
    if summary is not None:
        write_json(summary, figures)
    print("\n".join(summary_lines(figures)))


def _live_view(graph: Graph, quiet: bool, stack: ExitStack) -> Update | None:
    """What the runner is to call with the stages' reports: the live view, if there is a terminal for it."""
    if quiet or not sys.stderr.isatty():
        return None
    from pipeline.live import LiveView

    return stack.enter_context(LiveView(graph.name)).update if LiveView.wanted(quiet) else None


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """The figures of a run for a person; the last line is the result."""
    rate, factor = figures.get("events_per_s") or 0.0, figures.get("realtime_factor") or 0.0
    speed = f"{rate:,.0f} events/s, {factor:.3g} times real time"
    lines = [f"{figures.get('events_in', 0):,} events in {figures.get('wall_s', 0.0):.2f} s, {speed}"]
    latency = figures.get("latency_us") or {}
    if latency.get("max"):
        lines.append(f"decision latency p50 {_time(latency['p50'])}, p99 {_time(latency['p99'])}, max {_time(latency['max'])}")
    if (drift := figures.get("drift_ms")) is not None:
        p50, greatest, last = (f"{drift[name]:.2f} ms" for name in ("p50", "max", "last"))
        lines.append(f"behind its pace by p50 {p50}, max {greatest}, at the end {last}")
    if (lost := figures.get("lost", 0)) or figures.get("dropped_packets"):
        lines.append(f"lost: {lost:,} events, {figures.get('dropped_packets', 0):,} packets")
    return [*lines, result_line(figures)]


def result_line(figures: dict[str, Any]) -> str:
    """ "accuracy 0.97 on 120 episodes" where episodes were labelled."""
    if labelled := figures.get("labelled"):
        return f"accuracy {figures['accuracy']:.2f} on {labelled} episode{'s' * (labelled != 1)}"
    decisions, episodes = figures.get("decisions", 0), figures.get("episodes", 0)
    return f"{decisions} decision{'s' * (decisions != 1)} on {episodes} episode{'s' * (episodes != 1)}"


def write_json(path: Path, figures: dict[str, Any]) -> None:
    """Write the file at once: a reader sees the old one or the new one. A pipe or a device is never replaced."""
    text = json.dumps(figures, indent=2) + "\n"
    if path.exists() and not path.is_file():
        path.write_text(text)
        return
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def _time(us: float) -> str:
    return f"{us:.0f} us" if us < 1000 else f"{us / 1000:.2f} ms"
