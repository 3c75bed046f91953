"""The survey of a recording in, a picture out: accumulated events, rate over time, raster. Needs matplotlib."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from sources.survey import Survey

OFF, ON = "tab:blue", "tab:red"
SUFFIXES = {".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp"}


def save_picture(path: Path, survey: Survey, title: str) -> None:
    """Write the picture; its suffix says in which format. The file appears whole or not at all."""
    check_picture(path)
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(11, 7), layout="constrained")
    figure.suptitle(title)
    upper, lower = figure.subfigures(2, 1)
    left, right = upper.subplots(1, 2)
    _draw_counts(left, survey)
    _draw_rates(right, survey)
    _draw_raster(lower.subplots(), survey)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        figure.savefig(partial, dpi=120)
        os.replace(partial, path)
    except OSError as error:
        raise OSError(error.errno, f"--plot {path}: cannot be written: {error.strerror}; choose another path") from None


def check_picture(path: Path) -> None:
    """Raise ValueError unless a picture can be made and be called this."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--plot {path}: the name must end with one of {', '.join(sorted(SUFFIXES))}")
    if find_spec("matplotlib") is None:
        raise ValueError("--plot needs matplotlib, which is not installed: pip install 'spikeline[plot]'")


def _draw_counts(axes: Any, survey: Survey) -> None:
    """Events of each pixel; of each channel where there are no pixels."""
    picture = survey.picture
    if picture is None:
        axes.set(title="events of each unit", xlabel="unit", ylabel="events")
        if survey.counts is not None:
            axes.plot(survey.counts, linewidth=0.8)
        return
    most = max(1.0, float(np.quantile(picture, 0.999)))
    image = axes.imshow(picture, cmap="inferno", vmin=0, vmax=most, interpolation="nearest")
    hot = survey.hot_pixels()
    circles = {"s": 40, "facecolors": "none", "edgecolors": "cyan", "linewidths": 0.8}
    axes.scatter([pixel.x for pixel in hot], [pixel.y for pixel in hot], **circles)
    axes.set(title=f"events of each pixel, {len(hot)} hot", xlabel="x", ylabel="y")
    axes.figure.colorbar(image, ax=axes, extend="max")


def _draw_rates(axes: Any, survey: Survey) -> None:
    last = int(np.flatnonzero(survey.rates.any(axis=0)).max(initial=0))
    seconds = (np.arange(last + 2) * survey.bin_us) / 1e6
    rows = ((0, "OFF", OFF), (1, "ON", ON)) if survey.is_camera else ((1, "events", ON),)
    for row, name, colour in rows:
        axes.stairs(survey.rates[row, : last + 1] * 1e6 / survey.bin_us, seconds, label=name, color=colour)
    axes.set(title="rate", xlabel="s after the first event", ylabel="events/s", ylim=(0, None))
    axes.legend()


def _draw_raster(axes: Any, survey: Survey) -> None:
    t_us, unit = survey.sample
    seconds, height = (t_us - survey.first_us) / 1e6, unit
    colours: Any = ON
    if survey.is_camera:
        _, rows, width = survey.shape
        height = unit % (rows * width) // width
        colours = np.where(unit >= rows * width, ON, OFF)
    axes.scatter(seconds, height, s=1, c=colours, linewidths=0)
    vertical = "y" if survey.is_camera else "unit"
    axes.set(title=f"{t_us.size:,} of {survey.events:,} events", xlabel="s after the first event", ylabel=vertical)
    if survey.is_camera:
        axes.invert_yaxis()
