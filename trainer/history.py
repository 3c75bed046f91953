"""The course of a training run: one row of figures an epoch, in a CSV file that a resumed run goes on with."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import lightning as L

Row = dict[str, float]


class History(L.Callback):
    """Writes every epoch's figures to `path`, whole or not at all. What a killed run wrote of epochs that it did not keep is
    written anew when they are repeated."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._rows = [row for row in read(self._path) if row["epoch"] <= trainer.current_epoch]

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._rows.append({"epoch": trainer.current_epoch + 1} | figures)
        if trainer.is_global_zero:
            write(self._path, self._rows)


def read(path: Path) -> list[Row]:
    """The rows of a file; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def write(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="") as file:
        table = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        table.writeheader()
        table.writerows(rows)
    os.replace(partial, path)
