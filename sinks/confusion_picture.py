"""A confusion matrix in, a PNG of it out."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np


def needs_matplotlib(option: str) -> None:
    """ValueError that says what to install, unless matplotlib is there."""
    if find_spec("matplotlib") is None:
        raise ValueError(f"{option} needs matplotlib, which is not installed: pip install 'spikeline[plot]'")


def save_confusion(path: Path, confusion: np.ndarray, names: list[str], accuracy: float | None) -> None:
    """Write the picture. confusion (classes, classes): counts of [true class, answer]; colours are shares of a row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    classes = len(names)
    side = min(3.0 + 0.45 * classes, 20.0)
    figure = Figure(figsize=(side, side), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(classes), names, rotation=90 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(range(classes), names)
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    counted = f"{int(confusion.sum())} answered episodes"
    axes.set_title(counted if accuracy is None else f"accuracy {accuracy:.3f}, {counted}")
    if classes <= 40:
        _write_counts(axes, confusion, shares)
    figure.savefig(path, format="png", dpi=120)


def _write_counts(axes, confusion: np.ndarray, shares: np.ndarray) -> None:
    for row, column in zip(*np.nonzero(confusion), strict=True):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(confusion[row, column]), ha="center", va="center", color=colour, fontsize=8)
