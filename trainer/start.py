"""The network that training starts from: weights drawn to the size of the data, delays spread out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pipeline.layer_spec import DelaySpec, LayerSpec, LIFSpec, ReadoutSpec
from trainer.data import Batch
from trainer.layers import build
from trainer.network import Network, reach, within
from trainer.recipe import DelayLayer, LIFLayer, ModelRecipe, RandomLIFLayer, ReadoutLayer, Training


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
        n = x.shape[2]
        if isinstance(layer, DelayLayer):
            most = round(layer.max_ms * 1000 / tick_us)
            delays = rng.integers(0, most + 1, n) if layer.start == "uniform" else np.zeros(n, np.int64)
            specs[layer.name] = DelaySpec(delays * tick_us)
            options[layer.name] = {"max_ticks": most, "learn": layer.learn}
        elif isinstance(layer, RandomLIFLayer):
            specs[layer.name] = layer.spec(shape if shape and not specs else (n,), training.seed, tick_us)
        else:
            size = float(((x * within(ticks, x.shape[0])) ** 2).sum() / ticks.sum()) ** 0.5 or 1.0
            if isinstance(layer, LIFLayer):
                weight = rng.normal(0, layer.gain * layer.threshold / size, (n, layer.units))
                specs[layer.name] = LIFSpec(weight, layer.tau_ms, layer.threshold, tick_us, layer.reset)  # type: ignore[arg-type]
                options[layer.name] = {"surrogate": training.surrogate, "learn_tau": "tau" in layer.learn,
                                       "learn_threshold": "threshold" in layer.learn}
            else:
                specs[layer.name] = _readout(layer, rng.normal(0, 0.3 / size, (n, len(names))), names, tick_us)
                options[layer.name] = {"learn_tau": "tau" in layer.learn}
                break
        x, ticks = _through(specs[layer.name], tick_us, x, ticks)
    return Network(specs, tick_us, options, training.dropout)


def _readout(layer: ReadoutLayer, weight: np.ndarray, names: Sequence[str], tick_us: int) -> ReadoutSpec:
    if layer.score == "spike_count":
        return ReadoutSpec(layer.score, tuple(names), weight)
    return ReadoutSpec(layer.score, tuple(names), weight, None, np.array(layer.tau_ms), tick_us)


@torch.no_grad()
def _through(spec: LayerSpec, tick_us: int, x: torch.Tensor, ticks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    layer = build(spec, tick_us).eval()
    return layer(x), ticks + reach(layer)
