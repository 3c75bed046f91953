"""The network that training starts from: weights drawn to the size of the data, delays spread out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pipeline.layer_spec import LayerSpec, ReadoutSpec
from trainer.data import Batch
from trainer.layers import build
from trainer.network import Network, reach, within
from trainer.recipe import ModelRecipe, Training
from trainer.recipe_layers import Place


def start(model: ModelRecipe, training: Training, names: Sequence[str], sample: Batch,
          shape: tuple[int, ...] | None = None) -> Network:
    """A network as `model` says for the classes `names`, its weights scaled layer by layer on the batch `sample`.
    shape: that of the input, where a random layer has fields.

    A weight is drawn from N(0, (gain threshold / r)^2), r^2 being the mean over ticks of the sum of squared inputs of
    `sample`, so that a tick's input to a neuron has the standard deviation gain * threshold (after Mishkin and Matas 2016,
    "All you need is a good init", section 3).
    """
    rng = np.random.default_rng([training.seed, 0xB00])
    specs: dict[str, LayerSpec] = {}
    options: dict[str, dict[str, Any]] = {}
    x, ticks, tick_us = sample.x, sample.ticks, model.tick_us
    for layer in model.layers:
        size = float(((x * within(ticks, x.shape[0])) ** 2).sum() / ticks.sum()) ** 0.5 or 1.0
        place = Place(x.shape[2], size, rng, tick_us, names, training.seed, training.surrogate, None if specs else shape)
        specs[layer.name], options[layer.name] = layer.begin(place)
        if isinstance(specs[layer.name], ReadoutSpec):
            break
        x, ticks = _through(specs[layer.name], tick_us, x, ticks)
    return Network(specs, tick_us, options, training.dropout)


@torch.no_grad()
def _through(spec: LayerSpec, tick_us: int, x: torch.Tensor, ticks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    layer = build(spec, tick_us).eval()
    return layer(x), ticks + reach(layer)
