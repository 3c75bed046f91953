"""Layers of a model find their place in a chain: a file and a layer's name go in; its card or spec comes out, or why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.model_file import LayerCard, load_model, read_card
from pipeline.packet import Format


def read_layer(path: Path, name: str, type: str) -> LayerCard:
    """The card of the layer `name`, which is of `type`; reads the head of the file alone. ValueError that names the file."""
    card = read_card(path)
    if (activation := card.metrics.get("activation", "spike")) != "spike":
        raise ValueError(f"{path}: a teacher of {activation} units, whose layers cannot spike; train a network with it "
                         "(training.teacher) and run that one")
    try:
        return card.layer(name, type)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def load_layer(path: Path, name: str, type: str) -> Any:
    """The spec of the layer `name`, which is of `type`."""
    read_layer(path, name, type)
    return load_model(path).layers[name]


def check_input(what: str, n_in: int, tick_us: int | None, upstream: Format) -> None:
    """ValueError unless the layer called `what`, with n_in inputs on ticks of tick_us (None: any time), takes `upstream`."""
    if upstream.kind not in ("spikes", "graded"):
        raise ValueError(f"{what} takes spikes or graded events, got {upstream}; place it before the readout")
    if upstream.size != n_in:
        raise ValueError(f"{what} has {n_in} inputs, got {upstream} ({upstream.size} units); "
                         "bring the stream to that size (crop_pool does) or choose another layer")
    if tick_us is not None and upstream.tick_us is not None and tick_us % upstream.tick_us:
        raise ValueError(f"{what} runs on ticks of {tick_us / 1000:g} ms, got {upstream}; "
                         "the tick of a layer must be a whole multiple of the tick of its input")
