"""Leaky integrate-and-fire neurons behind random weights that are never stored: a seed and a law stand for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.layer_spec.checks import put
from pipeline.layer_spec.lif import LIFSpec, Reset

Draw = Literal["uniform", "normal", "sign"]
BLOCK = 256  # neurons whose weights are made at once
ONE = np.int64(2**32)  # weights are whole numbers of 2^-32 until the very last step, so they are the same on every machine
WEIGHT, LISTENS, PLACE, CONSTANT = 1, 2, 3, 4  # what a random number is for


@dataclass(frozen=True)
class RandomLIFSpec:
    """The neurons of LIFSpec with weights that follow from `seed`, one hash a weight: nothing but this spec is stored.

        weight[i, j] = (scale x[i, j] + mean) sqrt(n_in / k_j)    for the k_j inputs i that neuron j listens to, else 0
        x[i, j]      uniform: U(-1, 1); normal: N(0, 1); sign: -1 or 1, evenly; centred: less its mean over the k_j inputs
        bias[j]      U(-bias, bias), a constant input of every tick

    A neuron listens to all inputs; or with `fields`, the sides of squares, to one square of the picture (neuron j to one of
    side fields[j mod len(fields)], in a random place, in all channels of `shape`); and there to a share `density` of them, drawn
    one by one: sign with density 2/3 is ternary. Neuron j depends on (seed, j) alone: a wider layer begins with the narrower one.
    The normal law is the sum of twelve uniform numbers, exact in whole numbers (kurtosis 2.9).

    shape: that of the input, (height, width) or (channels, height, width) where there are fields. tau_ms 0..inf, threshold > 0,
    scale >= 0, 0 < density <= 1. ValueError for anything else.

    >>> RandomLIFSpec((28, 28), 2000, scale=1 / 28).weights().std().round(4)
    np.float32(0.0206)

    Source of the layer: RanSNN (2025, arXiv 2505.13622). Random fields: M. McDonnell et al., Fast, simple and accurate
    handwritten digit classification by training shallow neural network classifiers with the "extreme learning machine"
    algorithm (2015).
    The hash: the finalizer of MurmurHash3 (A. Appleby), counter-based as in J. Salmon et al. (2011).
    """

    shape: tuple[int, ...]
    n_out: int
    seed: int = 0
    draw: Draw = "uniform"
    scale: float = 1.0
    mean: float = 0.0
    centred: bool = False
    density: float = 1.0
    fields: tuple[int, ...] = ()
    bias: float = 0.0
    tau_ms: float = 20.0
    threshold: float = 1.0
    tick_us: int | None = None
    reset: Reset = "subtract"

    def __post_init__(self) -> None:
        put(self, "shape", tuple(self.shape))
        put(self, "fields", tuple(self.fields))
        if self.draw not in ("uniform", "normal", "sign"):
            raise ValueError(f"draw must be uniform, normal or sign, got {self.draw!r}")
        if not self.shape or min(self.shape) < 1 or self.n_out < 1:
            raise ValueError(f"a layer needs inputs and neurons, got shape {self.shape} and {self.n_out} neurons")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be a whole number from 0 to 2^32 - 1, got {self.seed}")
        if not (0 <= self.scale < np.inf and abs(self.mean) < np.inf and 0 <= self.bias < np.inf and 0 < self.density <= 1):
            raise ValueError("scale and bias must be at least 0, mean finite, density above 0 and at most 1; got "
                             f"{self.scale:g}, {self.bias:g}, {self.mean:g}, {self.density:g}")
        if self.fields and (len(self.shape) < 2 or not 1 <= min(self.fields) <= max(self.fields) <= min(self.shape[-2:])):
            raise ValueError(f"fields must fit a picture (height, width), got sides {self.fields} in the shape {self.shape}")
        LIFSpec(np.zeros((1, 1)), np.array(self.tau_ms), np.array(self.threshold), self.tick_us, self.reset,
                np.zeros(1) if self.bias else None)  # the checks of tau, threshold, tick, reset and bias

    @property
    def n_in(self) -> int:
        return int(np.prod(self.shape))

    def lif(self) -> LIFSpec:
        """The layer with its weights written out."""
        bias = None
        if self.bias:
            numbers = _hashed(self.seed, CONSTANT, np.arange(self.n_out, dtype=np.uint32), np.uint32(0)).astype(np.int64)
            bias = self.bias * ((2 * numbers + 1 - ONE) / ONE)
        return LIFSpec(self.weights(), np.array(self.tau_ms), np.array(self.threshold), self.tick_us, self.reset, bias)

    def weights(self) -> np.ndarray:
        """(n_in, n_out) float32."""
        weight = np.empty((self.n_in, self.n_out), np.float32)
        for first in range(0, self.n_out, BLOCK):
            neurons = np.arange(first, min(first + BLOCK, self.n_out), dtype=np.uint32)
            weight[:, first : first + BLOCK] = self._weights(neurons)
        return weight

    def _weights(self, neurons: np.ndarray) -> np.ndarray:
        inputs = np.arange(self.n_in, dtype=np.uint32)[:, None]
        x = self._drawn(neurons, inputs)
        listens = self._listens(neurons, inputs)
        counts = np.maximum(listens.sum(0), 1)
        values = x / ONE
        if self.centred:
            values = values - np.where(listens, x, 0).sum(0) / counts / ONE
        return np.where(listens, (self.scale * values + self.mean) * np.sqrt(self.n_in / counts), 0.0)

    def _drawn(self, neurons: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """x of (inputs, neurons), int64, in units of 2^-32."""
        if self.draw == "normal":
            total = np.full((inputs.shape[0], neurons.shape[0]), -6 * ONE)
            for number in range(12):
                total += _hashed(self.seed, WEIGHT + (number << 8), neurons, inputs)
            return total + 6  # the mean of a number is half a unit below its interval's middle
        numbers = _hashed(self.seed, WEIGHT, neurons, inputs).astype(np.int64)
        return np.where(numbers < ONE // 2, -ONE, ONE) if self.draw == "sign" else 2 * numbers + 1 - ONE

    def _listens(self, neurons: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Which neuron listens to which input: (inputs, neurons) bool."""
        listens = np.ones((inputs.shape[0], neurons.shape[0]), bool)
        if self.density < 1:
            listens = _hashed(self.seed, LISTENS, neurons, inputs) < np.uint32(min(self.density * ONE, ONE - 1))
        if self.fields:
            side = np.array(self.fields)[neurons % len(self.fields)]
            *_, y, x = np.unravel_index(inputs, self.shape)
            for axis, (place, length) in enumerate(zip((y, x), self.shape[-2:], strict=True)):
                draws = _hashed(self.seed, PLACE + (axis << 8), neurons, np.uint32(0)).astype(np.int64)
                corner = draws * (length - side + 1) // ONE
                listens &= (place >= corner) & (place < corner + side)
        return listens


def _hashed(seed: int, purpose: int, neurons: np.ndarray, inputs: np.ndarray | np.uint32) -> np.ndarray:
    """32 random bits each, uint32 of the common shape; one number for each (seed, purpose, neuron, input)."""
    key = _mixed(np.array([seed], np.uint32)) ^ np.uint32(purpose)
    first, second = _mixed(_mixed(key) ^ neurons), _mixed(_mixed(key ^ np.uint32(0x9E3779B9)) ^ neurons)
    return _mixed(_mixed(inputs ^ first) ^ second)


def _mixed(x: np.ndarray) -> np.ndarray:
    """The last step of MurmurHash3, on uint32."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))
