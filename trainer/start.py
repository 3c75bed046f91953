"""The network that training starts from: weights drawn to the size of the data, or those of a model, delays spread out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pipeline.layer_spec import ConvLIFSpec, DelaySpec, LayerSpec, LIFSpec, ReadoutSpec, ShortcutSpec
from pipeline.model_file import load_model
from trainer.data import Batch
from trainer.layers import ConvLIF, Shortcut, build
from trainer.network import Network, reach, within
from trainer.recipe import ModelRecipe, Training
from trainer.recipe_images import ShortcutLayer
from trainer.recipe_layers import Begun, Place
from trainer.recipe_quantised import QuantisedConvLIFLayer, QuantisedLIFLayer


def start(model: ModelRecipe, training: Training, names: Sequence[str], sample: Batch,
          shape: tuple[int, ...] | None = None) -> Network:
    """A network as `model` says for the classes `names`, its weights scaled layer by layer on the batch `sample`.
    shape: that of the input, where a layer looks at pixels.

    A weight is drawn from N(0, (gain threshold / r)^2), r^2 being the mean over ticks of the sum of squared inputs of
    `sample`, so that a tick's input to a neuron has the standard deviation gain * threshold (after Mishkin and Matas 2016,
    "All you need is a good init", section 3). Layers whose names training.start has begin as they are there.
    """
    rng = np.random.default_rng([training.seed, 0xB00])
    specs: dict[str, LayerSpec] = {}
    options: dict[str, dict[str, Any]] = {}
    x, ticks, tick_us = sample.x, sample.ticks, model.tick_us
    shape = shape or (x.shape[2],)
    inputs: list[torch.Tensor] = []
    given = {} if training.start is None else load_model(training.start).layers
    for layer in model.layers:
        if isinstance(layer, ShortcutLayer) and not layer.over:
            continue
        size = float(((x * within(ticks, x.shape[0])) ** 2).sum() / ticks.sum()) ** 0.5 or 1.0
        place = Place(x.shape[2], size, rng, tick_us, names, training.seed, training.surrogate, shape)
        begun = layer.begin(place)
        if layer.name in given:
            begun = carried(layer, begun, given[layer.name], x, place)
        specs[layer.name], options[layer.name] = begun
        spec = given.get(layer.name, begun[0])  # what the next layer will hear when all is learnt
        if isinstance(spec, ReadoutSpec):
            break
        inputs.append(x)
        x, ticks = _through(spec, tick_us, inputs, ticks)
        shape = shape_after(spec, shape)
    return Network(specs, tick_us, options, training.dropout, training.activation)


def carried(layer: Any, begun: Begun, given: LayerSpec, x: torch.Tensor, place: Place) -> Begun:
    """The layer as a trained model has it, in place of `begun`. A float layer becomes the quantised one that the recipe wants.
    Normalised channels get the deviation and mean that their currents have there. ValueError where it is another layer."""
    spec, options = begun
    if isinstance(layer, QuantisedConvLIFLayer) and isinstance(given, ConvLIFSpec):
        found: LayerSpec
        found, options = layer.quantised(given, options)
    elif isinstance(layer, QuantisedLIFLayer) and isinstance(given, LIFSpec):
        found, options = layer.quantised(given, options)
    else:
        found = given
    if type(found) is not type(spec) or _frame(found) != _frame(spec):
        raise ValueError(f"layer {layer.name!r} of training.start is another one: want {_told(spec)}, got {_told(given)}")
    if options.get("batch_norm") and isinstance(given, ConvLIFSpec):
        options = options | _normalisation(given, x, place.tick_us)
    return found, options


def _frame(spec: LayerSpec) -> Any:
    """What must be equal for one layer to take the place of another."""
    return (spec.n_in, spec.n_out, getattr(spec, "tick_us", None), getattr(spec, "shape_out", None), getattr(spec, "names", None),
            getattr(spec, "score", None), getattr(spec, "over", None))


def _told(spec: LayerSpec) -> str:
    return f"{type(spec).__name__.removesuffix('Spec')} of {spec.n_in} inputs and {spec.n_out} units"


@torch.no_grad()
def _normalisation(given: ConvLIFSpec, x: torch.Tensor, tick_us: int) -> dict[str, Any]:
    """Deviation and mean of a channel's currents, which a normalisation would have to give it."""
    layer = build(dataclasses.replace(given, pool_size=(1, 1), pool_stride=(1, 1)), tick_us)
    assert isinstance(layer, ConvLIF)
    channels = layer.current(x).reshape(-1, *given.shape_conv)
    deviation = channels.std((0, 2, 3)).clamp(min=1e-3)
    return {"norm_gain": deviation.numpy(), "norm_shift": channels.mean((0, 2, 3)).numpy()}


def shape_after(spec: LayerSpec, shape: tuple[int, ...]) -> tuple[int, ...]:
    """How the units of a layer lie, given those of its input."""
    return shape if isinstance(spec, DelaySpec | ShortcutSpec) else getattr(spec, "shape_out", (spec.n_out,))


@torch.no_grad()
def _through(spec: LayerSpec, tick_us: int, inputs: Sequence[torch.Tensor],
             ticks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The output of a layer, given its input and those of the layers before it."""
    layer = build(spec, tick_us).eval()
    if isinstance(layer, Shortcut):
        return layer(inputs[-1], layer.past(inputs)), ticks
    return layer(inputs[-1]), ticks + reach(layer)
