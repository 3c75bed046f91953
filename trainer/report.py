"""The picture of a trained model: the course of its training, its spikes on one sample, its weights and delays."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.chain import Chain
from pipeline.contract import OperatorConfig, SourceConfig
from pipeline.layer_spec import DelaySpec, LayerSpec, ReadoutSpec, ShortcutSpec
from pipeline.model_file import Model
from pipeline.packet import Packet
from trainer.data import joined, nodes
from trainer.history import Row, read
from trainer.parity import added, format_after, runtime

MOST_DOTS = 20_000  # of a layer in the raster


def save_report(path: Path, model: Model, source: SourceConfig, operators: tuple[OperatorConfig, ...], history: Path) -> None:
    """Write the picture: losses and accuracies by epoch where there are epochs, the spikes of every layer on the first labelled
    episode of `source` as the runtime fires them, histograms of weights and of delays. Needs matplotlib."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(12, 8))
    figure.suptitle(f"{model.trained_on or source.type}   {told(model.metrics)}")
    grid = figure.add_gridspec(2, 4, left=0.07, right=0.98, bottom=0.06, top=0.91, hspace=0.3, wspace=0.28)
    loss, accuracy, weights, delays = (figure.add_subplot(grid[0, column]) for column in range(4))
    rows = read(history)
    draw_course(loss, rows, "loss")
    draw_course(accuracy, rows, "accuracy")
    draw_weights(weights, model.layers)
    draw_delays(delays, model.layers)
    draw_raster(figure.add_subplot(grid[1, :]), model, first_episode(source, operators))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial.png")
    figure.savefig(partial, dpi=110)
    os.replace(partial, path)


def told(metrics: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {metrics[name]}" for name in ("validation_accuracy", "test_accuracy") if name in metrics)


def draw_course(axes: Any, rows: list[Row], what: str) -> None:
    axes.set(title=what, xlabel="epoch")
    for kind in ("train", "val"):
        name = f"{kind}_{what}"
        points = [(row["epoch"], row[name]) for row in rows if name in row]
        if points:
            axes.plot(*zip(*points, strict=True), label=kind, linewidth=1)
    if rows:
        axes.legend()
    else:
        axes.text(0.5, 0.5, "learnt in one pass", ha="center", transform=axes.transAxes)


def draw_weights(axes: Any, layers: Mapping[str, LayerSpec]) -> None:
    axes.set(title="weights", yscale="log")
    for name, spec in layers.items():
        values = getattr(spec, "weight", None)
        if isinstance(values, np.ndarray):
            axes.hist(values.ravel(), bins=60, histtype="step", label=name)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def draw_delays(axes: Any, layers: Mapping[str, LayerSpec]) -> None:
    axes.set(title="delays", xlabel="ms")
    for name, spec in layers.items():
        delay_us = getattr(spec, "delay_us", None)
        if isinstance(delay_us, np.ndarray):
            axes.hist(delay_us.ravel() / 1000, bins=40, histtype="step", label=name)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    else:
        axes.text(0.5, 0.5, "none", ha="center", transform=axes.transAxes)


def draw_raster(axes: Any, model: Model, episode: Packet) -> None:
    """One layer above the other, the input below; left out are delays and shortcuts, which fire nothing of their own."""
    if "activation" in model.metrics:
        axes.text(0.5, 0.5, "a teacher does not spike", ha="center", transform=axes.transAxes)
        return
    packet, format = dataclasses.replace(episode, last=True), model.input
    marks, inputs, base = [scatter(axes, packet, "input", 0, format.size)], list[Packet](), format.size
    for name, spec in model.layers.items():
        inputs.append(packet)
        if isinstance(spec, ReadoutSpec):
            break
        if isinstance(spec, ShortcutSpec):
            packet = added(packet, inputs[-1 - spec.over])
            continue
        packet = dataclasses.replace(runtime(spec, format, packet), last=True)
        format = format_after(spec, format)
        if not isinstance(spec, DelaySpec):
            marks.append(scatter(axes, packet, name, base, format.size))
            base += format.size
    answer = f", of class {model.input.names[episode.label]!r}" if 0 <= episode.label < len(model.input.names) else ""
    axes.set(title=f"one episode{answer}", xlabel="ms")
    axes.set_yticks(*zip(*marks, strict=True))


def scatter(axes: Any, packet: Packet, name: str, base: int, size: int) -> tuple[float, str]:
    """Where the axis names the layer, and its name."""
    step = -(-packet.n // MOST_DOTS) or 1
    axes.scatter(packet.t_us[::step] / 1000, packet.unit[::step].astype(np.int64) + base, s=1, linewidths=0)
    axes.axhline(base, color="0.8", linewidth=0.5)
    return base + size / 2, name


def first_episode(config: SourceConfig, operators: tuple[OperatorConfig, ...]) -> Packet:
    """The first labelled episode, as the first layer receives it."""
    source = config.prepare()(None)
    chain = Chain(nodes(operators, source.format)[0])
    parts: list[Packet] = []
    try:
        for packet in source.packets():
            parts += [] if packet is None else [packet]
            if packet is not None and packet.last:
                if packet.label >= 0:
                    return chain.push(joined(parts))
                parts = []
    finally:
        source.close()
    raise ValueError(f"source {config.type} has no labelled episode")
