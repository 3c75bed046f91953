"""The table of results: docs/results.json in, docs/results.md out; and recipes run with several seeds, to add rows to it.

    python -m trainer.results table
    python -m trainer.results measure RECIPE --system "RanSNN, ridge" --data MNIST --metric "test accuracy, %" --paper 94.5 \\
        --seeds 1 2 3 [--set model.layers.0.units=8000]

Several metrics of the same runs: as many words behind --metric and --figure, the figures being those of the models' cards, such
as test_accuracy_after_ms.1. Models that were trained already: --models A B C in place of --seeds.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.model_file import read_card

DOCS = Path(__file__).parent.parent / "docs"
KEYS = ("system", "data", "metric", "paper", "ours_mean", "ours_sd", "seeds", "command")
HEAD = """# Results

What the recipes of this repository reach beside what the papers say. Every row was measured by its command; "ours" is the mean
and the standard deviation over the seeds. Nothing was chosen by looking at test data, unless a note says so: choices were made on
samples held out from training. This page is made from `docs/results.json` by `python -m trainer.results table`.
"""


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The page of these rows, which have KEYS and may have a `note`."""
    parts = [HEAD]
    for system in dict.fromkeys(row["system"] for row in rows):
        own = [row for row in rows if row["system"] == system]
        parts.append(f"\n## {system}\n\n| data | metric | paper | ours | seeds |\n|---|---|---|---|---|\n")
        for row in own:
            paper = "-" if row["paper"] is None else f"{row['paper']:g}"
            spread = "" if row["ours_sd"] is None else f" ± {row['ours_sd']:.2f}"
            seeds = ", ".join(map(str, row["seeds"]))
            parts.append(f"| {row['data']} | {row['metric']} | {paper} | {row['ours_mean']:.2f}{spread} | {seeds} |\n")
        notes = dict.fromkeys(row["note"] for row in own if row.get("note"))
        parts += [f"\n{note}\n" for note in notes]
        commands = "\n".join(dict.fromkeys(row["command"] for row in own))
        parts.append(f"\n```\n{commands}\n```\n")
    return "".join(parts)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON file. ValueError when one lacks a key."""
    rows = json.loads(path.read_text()) if path.exists() else []
    for number, row in enumerate(rows):
        if missing := [key for key in KEYS if key not in row]:
            raise ValueError(f"{path}: row {number} lacks {', '.join(missing)}; give it {', '.join(KEYS)}")
    return rows


def write(rows: Sequence[dict[str, Any]], folder: Path | None = None) -> None:
    """Both files of these rows."""
    folder = folder or DOCS
    (folder / "results.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    (folder / "results.md").write_text(table(rows))


def put(rows: list[dict[str, Any]], row: dict[str, Any]) -> None:
    """Add a row, in the place of the one of the same system, data and metric if there is one."""
    same = [i for i, other in enumerate(rows) if all(other[key] == row[key] for key in KEYS[:3])]
    if same:
        rows[same[0]] = row
    else:
        rows.append(row)


def measure(recipe: Path, overrides: Sequence[str], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """What the cards say of the models that `spikeline train` makes of the recipe with each seed."""
    reached = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            own = [*overrides, f"training.seed={seed}", f"export.path={folder}/model.safetensors", f"export.folder={folder}/run"]
            options = [word for text in own for word in ("--set", text)]
            subprocess.run([sys.executable, "-m", "spikeline.cli", "train", str(recipe), *options], check=True)
            reached.append(read_card(f"{folder}/model.safetensors").metrics)
    return reached


def percent(metrics: dict[str, Any], figure: str) -> float:
    """A figure of a card, in percent; `a.b` is b of a. ValueError when there is none."""
    found: Any = metrics
    for key in figure.split("."):
        if not isinstance(found, dict) or key not in found:
            raise ValueError(f"the card has no figure {figure!r}, it has {', '.join(metrics)}")
        found = found[key]
    return round(100 * found, 2)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The table of results.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("table", help="write docs/results.md anew")
    run = commands.add_parser("measure", help="train a recipe with several seeds and put the row into the table")
    run.add_argument("recipe", type=Path)
    run.add_argument("--system", required=True)
    run.add_argument("--data", required=True)
    run.add_argument("--metric", required=True, nargs="+")
    run.add_argument("--paper", type=float, help="of the first metric")
    run.add_argument("--note", default="")
    run.add_argument("--figure", default=["test_accuracy"], nargs="+", help="the figure of the model's card, one a metric")
    run.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    run.add_argument("--models", type=Path, nargs="+", help="models that were trained already, in place of training")
    run.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    run.add_argument("--shown", default="", help="environment that belongs to the command")
    options = parser.parse_args(arguments)
    rows = read_rows(DOCS / "results.json")
    if options.command == "measure":
        if len(options.metric) != len(options.figure):
            parser.error(f"want a --figure for each --metric, got {len(options.figure)} for {len(options.metric)}")
        if options.models:
            cards = [read_card(path).metrics for path in options.models]
            options.seeds = [card["seed"] for card in cards]
        else:
            cards = measure(options.recipe, options.overrides, options.seeds)
        given = "".join(f" --set {shlex.quote(text)}" for text in options.overrides)
        command = f"{options.shown} spikeline train {options.recipe}{given} --set training.seed=1".strip()
        papers = [options.paper, *[None] * (len(options.metric) - 1)]
        for metric, figure, paper in zip(options.metric, options.figure, papers, strict=True):
            reached = [percent(card, figure) for card in cards]
            spread = statistics.stdev(reached) if len(reached) > 1 else None
            put(rows, {"system": options.system, "data": options.data, "metric": metric, "paper": paper,
                       "ours_mean": round(statistics.mean(reached), 3), "ours_sd": None if spread is None else round(spread, 3),
                       "seeds": options.seeds, "command": command, "reached": reached, "note": options.note})
    write(rows)


if __name__ == "__main__":
    main()
