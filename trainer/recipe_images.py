"""The layers of images that a recipe names, and shortcuts past layers: their options, and the spec that each starts from."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from pipeline.contract import Config
from pipeline.layer_spec import ConvLIFSpec, PoolSpec, ShortcutSpec
from trainer.recipe_layers import Begun, Place

Side = Annotated[PositiveInt | tuple[PositiveInt, PositiveInt], Field(union_mode="left_to_right")]
Margin = Annotated[int, Field(ge=0)]


class ConvLIFLayer(Config):
    """LIF neurons behind a convolution. The input is (channels, height, width); (height, width) is one channel, and units in a
    row are one channel of height 1. Sides are [vertical, horizontal] or one number."""

    type: Literal["conv_lif"] = "conv_lif"
    name: str = Field(description="name of the layer in the model file")
    channels: int = Field(ge=1, description="channels of the output")
    kernel: Side = Field(3, description="sides of the kernel in pixels")
    stride: Side = Field(1, description="steps of the kernel in pixels")
    padding: Margin | tuple[Margin, Margin] = Field(0, description="pixels of zeros around the image")
    pool: Side = Field(1, description="sides of windows whose maximum the neurons receive; 1: none")
    groups: int = Field(1, ge=1, description="groups of channels that do not mix")
    batch_norm: bool = Field(False, description="normalise each channel over the batch; the exported layer has it folded in")
    tau_ms: float = Field(20.0, gt=0, description="membrane time constant at the start")
    threshold: float = Field(1.0, gt=0, description="firing threshold at the start")
    gain: float = Field(0.5, gt=0, description="standard deviation of a tick's input at the start, in thresholds")
    reset: Literal["subtract", "to_zero"] = Field("subtract", description="what a spike leaves of v")
    learn: tuple[Literal["tau", "threshold"], ...] = Field((), description="what is learnt besides the weights")

    def begin(self, place: Place) -> Begun:
        shape_in = as_image(place.shape)
        high, wide = (self.kernel, self.kernel) if isinstance(self.kernel, int) else self.kernel
        seen = place.size * math.sqrt(high * wide / (self.groups * shape_in[1] * shape_in[2]))  # of it, one patch sees so much
        weight = place.rng.normal(0, self.gain * self.threshold / seen, (self.channels, shape_in[0] // self.groups, high, wide))
        spec = ConvLIFSpec(weight, np.array(self.tau_ms), np.array(self.threshold), shape_in, self.stride,  # type: ignore[arg-type]
                           self.padding, 1, self.groups, self.pool, tick_us=place.tick_us,  # type: ignore[arg-type]
                           reset=self.reset)
        options = {"learn_tau": "tau" in self.learn, "learn_threshold": "threshold" in self.learn, "surrogate": place.surrogate}
        return spec, options | ({"batch_norm": True, "norm_gain": self.gain * self.threshold} if self.batch_norm else {})


class PoolLayer(Config):
    """Windows of an image joined: their events summed, averaged, or joined by OR."""

    type: Literal["pool"] = "pool"
    name: str = Field(description="name of the layer in the model file")
    how: Literal["sum", "average", "max"] = Field("sum", description="what becomes of the events of a window")
    size: Side = Field(2, description="sides of a window in pixels")
    stride: Side | None = Field(None, description="distance of windows in pixels; none: their sides")

    def begin(self, place: Place) -> Begun:
        tick_us = place.tick_us if self.how == "max" else None
        return PoolSpec(self.how, as_image(place.shape), self.size, self.stride, tick_us), {}  # type: ignore[arg-type]


class ShortcutLayer(Config):
    """The input of the `over` layers before it is added to their output; in a pipeline, the operator residual around them."""

    type: Literal["shortcut"] = "shortcut"
    name: str = Field(description="name of the layer in the model file")
    over: int = Field(1, ge=0, description="how many layers it passes by; 0: there is no shortcut")

    def begin(self, place: Place) -> Begun:
        return ShortcutSpec(place.n, self.over), {}


def as_image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(channels, height, width) of units that lie in an image, in one of a single channel, or in a row."""
    return (1, 1, 1, *shape)[-3:]  # type: ignore[return-value]
