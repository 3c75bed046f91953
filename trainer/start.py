"""The network that training starts from: weights drawn to the size of the data, delays spread out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pipeline.layer_spec import DelaySpec, LayerSpec, ReadoutSpec, ShortcutSpec
from trainer.data import Batch
from trainer.layers import Shortcut, build
from trainer.network import Network, reach, within
from trainer.recipe import ModelRecipe, Training
from trainer.recipe_images import ShortcutLayer
from trainer.recipe_layers import Place


def start(model: ModelRecipe, training: Training, names: Sequence[str], sample: Batch,
          shape: tuple[int, ...] | None = None) -> Network:
    """A network as `model` says for the classes `names`, its weights scaled layer by layer on the batch `sample`.
    shape: that of the input, where a layer looks at pixels.

    A weight is drawn from N(0, (gain threshold / r)^2), r^2 being the mean over ticks of the sum of squared inputs of
    `sample`, so that a tick's input to a neuron has the standard deviation gain * threshold (after Mishkin and Matas 2016,
    "All you need is a good init", section 3).
    """
    rng = np.random.default_rng([training.seed, 0xB00])
    specs: dict[str, LayerSpec] = {}
    options: dict[str, dict[str, Any]] = {}
    x, ticks, tick_us = sample.x, sample.ticks, model.tick_us
    shape = shape or (x.shape[2],)
    inputs: list[torch.Tensor] = []
    for layer in model.layers:
        if isinstance(layer, ShortcutLayer) and not layer.over:
            continue
        size = float(((x * within(ticks, x.shape[0])) ** 2).sum() / ticks.sum()) ** 0.5 or 1.0
        place = Place(x.shape[2], size, rng, tick_us, names, training.seed, training.surrogate, shape)
        spec, options[layer.name] = layer.begin(place)
        specs[layer.name] = spec
        if isinstance(spec, ReadoutSpec):
            break
        inputs.append(x)
        x, ticks = _through(spec, tick_us, inputs, ticks)
        shape = shape_after(spec, shape)
    return Network(specs, tick_us, options, training.dropout, training.activation)


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
