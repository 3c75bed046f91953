"""The layer of fixed random convolutions that a recipe names, and the spec that it is before and after it is scaled."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from pipeline.contract import Config
from pipeline.layer_spec import ConvLIFSpec
from trainer.data import Batch
from trainer.layers.conv import ConvLIF
from trainer.network import within
from trainer.recipe_images import Side, as_image
from trainer.recipe_layers import Begun, Place


class RandomConvLayer(Config):
    """LIF neurons behind convolutions of fixed random weights, of `inputs` channels of the input each.

    A weight is drawn from N(0, 1), times a Hann window over the kernel's longer side where `taper` is set; those of a channel are
    shifted to a mean of 0, and scaled so that the input of a tick has the standard deviation gain * threshold on training data.
    Behind delay_taps, whose taps are channels, every neuron hears a few moments of the past, drawn at random.
    Source: A. Saxe et al., On random weights and unsupervised feature learning (2011); for spikes RanSNN (2025).
    """

    type: Literal["random_conv_lif"] = "random_conv_lif"
    name: str = Field(description="name of the layer in the model file")
    channels: int = Field(ge=1, description="channels of the output")
    kernel: Side = Field(3, description="sides of the kernel in pixels")
    stride: Side = Field(1, description="steps of the kernel in pixels")
    inputs: int | None = Field(None, ge=1, description="channels of the input that a channel listens to, at random; none: all")
    taper: bool = Field(True, description="whether weights fade towards the ends of the kernel's longer side")
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = Field(None, description="seed of the weights; none: the training's")
    gain: float = Field(1.0, gt=0, description="standard deviation of a tick's input, in thresholds")
    tau_ms: float = Field(20.0, gt=0, description="membrane time constant")
    threshold: float = Field(1.0, gt=0, description="firing threshold")
    reset: Literal["subtract", "to_zero"] = Field("subtract", description="what a spike leaves of v")

    def begin(self, place: Place) -> Begun:
        raise ValueError(f"layer {self.name!r}: random_conv_lif is for training.method ransnn; conv_lif is the layer that learns")

    def spec(self, shape: tuple[int, ...], seed: int, tick_us: int) -> ConvLIFSpec:
        """The layer on an input of `shape`, its weights not yet scaled; `seed` is that of the training."""
        image = as_image(shape)
        high, wide = (self.kernel, self.kernel) if isinstance(self.kernel, int) else self.kernel
        rng = np.random.default_rng([seed if self.seed is None else self.seed, 0xC0])
        heard = min(self.inputs or image[0], image[0])
        weight = np.zeros((self.channels, image[0], high, wide))
        for channel in weight:
            channel[rng.choice(image[0], heard, replace=False)] = rng.normal(size=(heard, high, wide))
        if self.taper:
            weight *= _hann(wide) if wide >= high else _hann(high)[:, None]
        used = weight != 0
        shift = weight.sum((1, 2, 3), keepdims=True) / used.sum((1, 2, 3), keepdims=True)
        return ConvLIFSpec(weight - used * shift, np.array(self.tau_ms), np.array(self.threshold), image,
                           self.stride, tick_us=tick_us, reset=self.reset)  # type: ignore[arg-type]

    @torch.no_grad()
    def scaled(self, spec: ConvLIFSpec, batch: Batch) -> ConvLIFSpec:
        """The layer, its weights scaled on the samples of `batch`, x (T, B, n_in)."""
        ticks = batch.x.shape[0]
        current = ConvLIF(spec).eval().current(batch.x).reshape(ticks, -1, spec.c_out, spec.n_out // spec.c_out)
        inside = within(batch.ticks, ticks)[..., None]
        deviation = ((current**2 * inside).sum((0, 1, 3)) / (inside.sum() * current.shape[3])).sqrt().numpy()
        factor = self.gain * self.threshold / np.maximum(deviation, 1e-6)
        return dataclasses.replace(spec, weight=spec.weight * factor[:, None, None, None])


def _hann(n: int) -> np.ndarray:
    """(n,) without the zeros at its ends."""
    return np.hanning(n + 2)[1:-1]
