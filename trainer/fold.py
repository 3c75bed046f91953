"""Batch normalisation folded into the layer before it: a spec and the statistics go in; a spec that needs none comes out."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import numpy as np

from pipeline.layer_spec import ConvLIFSpec, LIFSpec

Spec = TypeVar("Spec", LIFSpec, ConvLIFSpec)


def fold_batch_norm(spec: Spec, mean: Any, var: Any, gamma: Any = 1.0, beta: Any = 0.0, eps: float = 1e-5, *,
                    silent: bool = False) -> Spec:
    """The layer that by itself does what `spec` does followed by a normalisation of its currents.

        y = gamma (c - mean) / sqrt(var + eps) + beta,  c = weight x + bias
        weight <- weight gamma / sqrt(var + eps),       bias <- beta + (bias - mean) gamma / sqrt(var + eps)

    mean, var, gamma, beta: (c_out,), of a dense layer (n_out,), or one number. The bias is a constant input of every tick:
    a neuron whose bias alone brings it to its threshold, b / (1 - d) >= threshold, fires in silence. The runtime predicts this
    and runs its ticks, at their cost; `silent` asks for the proof that there is none.
    ValueError: such a neuron where silent is asked for, named with its number; a layer in event mode.

    >>> spec = fold_batch_norm(LIFSpec(np.ones((1, 1)), 10.0, 1.0, 1000), mean=0.5, var=4.0, gamma=2.0, eps=0.0)
    >>> float(spec.weight[0, 0]), float(spec.bias[0])
    (1.0, -0.5)
    """
    n = spec.threshold.shape[0]
    mean, var, gamma, beta = (np.broadcast_to(np.asarray(array, np.float64), (n,)) for array in (mean, var, gamma, beta))
    scale = gamma / np.sqrt(var + eps)
    bias = beta + ((0.0 if spec.bias is None else spec.bias.astype(np.float64)) - mean) * scale
    weight = spec.weight * (scale[:, None, None, None] if isinstance(spec, ConvLIFSpec) else scale)
    folded = dataclasses.replace(spec, weight=weight.astype(np.float32), bias=bias.astype(np.float32))
    driven = np.flatnonzero(folded.may_fire_in_silence())
    if silent and driven.size:
        raise ValueError(f"the folded bias brings {driven.size} of {n} channels to their threshold in silence, b / (1 - d) >= "
                         f"threshold, the first is {driven[0]}; lower beta or raise the threshold there")
    return folded
