"""A trained model as one .safetensors file: the arrays of its layers, and a JSON card that says what they are.

The card can be read alone (`read_card`), without the arrays: `check` needs no more. The metadata holds exactly one key,
"card", sorted JSON, so equal models give equal bytes. No pickle.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.layer_spec import SPECS, DelaySpec, LayerSpec, spec_type
from pipeline.packet import Format

VERSION = 1
GREATEST_HEADER_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class LayerCard:
    """What the card says of one layer: enough to check a graph. tick_us is None in event mode and for delays.

    grid_us, of delays: the greatest length that all of them are multiples of (0: none delays), None where it is not known.
    shape_out, of layers whose units lie in an image: (channels, height, width).
    """

    name: str
    type: str  # lif, delay or readout
    n_in: int
    n_out: int
    settings: dict[str, Any] = field(default_factory=dict)  # the spec's fields that are not arrays
    grid_us: int | None = None
    shape_out: tuple[int, ...] | None = None

    @property
    def tick_us(self) -> int | None:
        return self.settings.get("tick_us")


@dataclass(frozen=True)
class Card:
    """A model without its arrays."""

    input: Format
    layers: tuple[LayerCard, ...]
    sha256: str = ""  # of all arrays: a damaged weight is found when the model is loaded
    names: tuple[str, ...] = ()
    trained_on: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    revision: str = ""

    def layer(self, name: str, type: str) -> LayerCard:
        """The layer of this name, which must be of this type; ValueError otherwise."""
        for layer in self.layers:
            if layer.name == name:
                if layer.type != type:
                    raise ValueError(f"layer {name!r} is a {layer.type}, not a {type}")
                return layer
        have = ", ".join(f"{layer.name} ({layer.type})" for layer in self.layers)
        raise ValueError(f"the model has no layer {name!r}; it has {have}")


@dataclass(frozen=True)
class Model:
    """The ordered layers of a trained network and what is known of it. `metrics`: JSON values by name."""

    input: Format
    layers: dict[str, LayerSpec]
    trained_on: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    revision: str = ""


def save_model(path: str | Path, model: Model) -> None:
    """Write `model` to `path` at once: a crash leaves the old file or the new one, never half of one."""
    from safetensors.numpy import save

    arrays: dict[str, np.ndarray] = {}
    layers = []
    for name, spec in model.layers.items():
        values = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
        arrays |= {f"{name}.{key}": value for key, value in values.items() if isinstance(value, np.ndarray)}
        settings = {key: value for key, value in values.items() if not isinstance(value, np.ndarray)}
        layers.append({"name": name, "type": spec_type(spec), "n_in": spec.n_in, "n_out": spec.n_out, "settings": settings})
        if isinstance(spec, DelaySpec):
            layers[-1]["grid_us"] = int(np.gcd.reduce(spec.delay_us))
        if (shape_out := getattr(spec, "shape_out", None)) is not None:
            layers[-1]["shape_out"] = shape_out
    card = {"version": VERSION, "input": dataclasses.asdict(model.input), "layers": layers, "trained_on": model.trained_on,
            "metrics": model.metrics, "revision": model.revision, "sha256": _digest(arrays)}
    content = save(arrays, metadata={"card": json.dumps(card, separators=(",", ":"))})
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def read_card(path: str | Path) -> Card:
    """The card of a model file, without its arrays. ValueError that names the file when it is not one of ours."""
    path = Path(path)
    return _parse_card(path, _read_header(path))


def load_model(path: str | Path) -> Model:
    """The model in a file; every spec is checked again as it is built."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = Path(path)
    card = read_card(path)
    try:
        arrays = load(path.read_bytes())
    except SafetensorError as error:
        raise ValueError(f"{path}: the model file is damaged ({error}); export it again") from None
    if card.sha256 and card.sha256 != _digest(arrays):
        raise ValueError(f"{path}: the model file is damaged (its arrays are not those that were saved); export it again")
    layers: dict[str, LayerSpec] = {}
    for layer in card.layers:
        prefix = layer.name + "."
        own = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
        try:
            layers[layer.name] = SPECS[layer.type](**layer.settings, **own)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: layer {layer.name!r} is not a valid {layer.type}: {error}") from None
        if (layers[layer.name].n_in, layers[layer.name].n_out) != (layer.n_in, layer.n_out):
            raise ValueError(f"{path}: layer {layer.name!r} has other shapes than its card says; export it again")
    return Model(card.input, layers, card.trained_on, card.metrics, card.revision)


def _digest(arrays: dict[str, np.ndarray]) -> str:
    total = hashlib.sha256()
    for name in sorted(arrays):
        total.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode() + arrays[name].tobytes())
    return total.hexdigest()


def _read_header(path: Path) -> dict[str, Any]:
    """The JSON at the head of a .safetensors file: u64 little-endian length, then that many bytes."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= GREATEST_HEADER_BYTES:
                raise ValueError(f"{path}: not a .safetensors model file")
            text = file.read(length)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such model file; train one with `spikeline train` or correct the path") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot read the model file: {error.strerror}") from None
    try:
        header = json.loads(text)
    except ValueError:
        raise ValueError(f"{path}: not a .safetensors model file, or a truncated one") from None
    if not isinstance(header, dict):
        raise ValueError(f"{path}: not a .safetensors model file")
    return header


def _parse_card(path: Path, header: dict[str, Any]) -> Card:
    try:
        card = json.loads(header["__metadata__"]["card"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path}: .safetensors without a spikeline model card; make one with `spikeline train`") from None
    if card.get("version") != VERSION:
        raise ValueError(f"{path}: model card version {card.get('version')}, this spikeline reads version {VERSION}")
    try:
        layers = tuple(LayerCard(**layer) for layer in card["layers"])
        unknown = [layer.type for layer in layers if layer.type not in SPECS]
        if unknown:
            raise ValueError(f"unknown layer type {unknown[0]!r}")
        names = next((tuple(layer.settings["names"]) for layer in reversed(layers) if layer.type == "readout"), ())
        return Card(Format(**card["input"]), layers, card.get("sha256", ""), names, card["trained_on"], card["metrics"],
                    card["revision"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: the model card cannot be understood: {error}") from None
