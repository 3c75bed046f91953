"""quantised_conv_lif: spikes of an image go in; those of a convolutional layer of LIF neurons with few-bit weights come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from pydantic import Field

from operators import conv_lif
from operators.conv_lif import ConvLIF, check_shape, out_format
from operators.model_layer import load_layer, read_layer
from operators.quantised_lif import takes
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import QuantisedConvLIFSpec
from pipeline.packet import Format


class QuantisedConvLIFConfig(OperatorConfig):
    """A convolutional layer of leaky integrate-and-fire neurons with weights of 1 bit, three values, 4 or 8 bits, and one scale a
    channel.

    At every tick, in this order, tick k holding the events of [k tick, (k+1) tick):

        n[o, oy, ox] = sum of code[o, i, ky, kx] over the tick's spikes (i, y, x) with y = oy stride - padding + ky and the same
                       for x: a whole number
        v <- d v + b + scale[o] n[o]           d = exp(-tick / tau)
        where v >= threshold: a spike at k tick, and v <- v - threshold (reset: subtract) or v <- 0 (reset: to_zero)

    It is the law of conv_lif for the weights scale code, but that a spike adds whole numbers to whole numbers, which the scale
    multiplies once a tick: the result does not depend on the order of a tick's spikes. Work follows the events, and gaps are
    skipped, as in conv_lif. A normalisation that training had is in scale, codes (their signs) and bias.

    In: spikes of the layer's shape (c_in, height, width), or flat, times in us, on no tick or on one that divides the layer's.
    Out: spikes of shape (c_out, height, width), stamped with the begin of their tick and given out in the packet that closes it.
    State: v float32 and the open tick's n int32, channels side by side, and the ticks to which pixels have decayed and been fed.
    Memory: `bits` a weight in the file, scales aside, and a byte a weight at work. Cost: the patch, c_out kh kw / stride^2
    additions of whole numbers, an event; c_out operations a touched pixel and tick.
    Errors: ValueError if the file is no model, the layer is not in it, its shape or tick does not fit the stream, or on graded
    events.

    Example: {type: quantised_conv_lif, model: models/fashion_1bit.safetensors, layer: unit1}

    Source: M. Rastegari et al., "XNOR-Net: ImageNet classification using binary convolutional neural networks", ECCV 2016.
    """

    type: Literal["quantised_conv_lif"] = "quantised_conv_lif"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the quantised_conv_lif layer in the model")

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "quantised_conv_lif")
        what = f"quantised_conv_lif layer {self.layer!r} of {self.model}"
        takes(what, card.n_in, card.tick_us, upstream)
        check_shape(what, tuple(card.settings["shape_in"]), upstream)
        assert card.shape_out is not None, "a quantised_conv_lif layer is saved with its shape"
        return out_format(tuple(card.shape_out), card.tick_us, upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], ConvLIF]:
        self.check(upstream)
        return make(load_layer(self.model, self.layer, "quantised_conv_lif"), upstream)


def make(spec: QuantisedConvLIFSpec, upstream: Format) -> Callable[[State | None], ConvLIF]:
    """What `prepare` returns, for a spec at hand instead of a model file."""
    takes("the quantised_conv_lif layer", spec.n_in, spec.tick_us, upstream)
    check_shape("the quantised_conv_lif layer", spec.shape_in, upstream)
    law = Law(spec)
    return lambda state: ConvLIF(law, state)


class Law(conv_lif.Law):
    """What all operators of one layer share: that of conv_lif with codes for weights, and sums of whole numbers in between."""

    sum_type = np.int32

    def __init__(self, spec: QuantisedConvLIFSpec) -> None:
        from operators.kernels.quantised_conv import run_ticks

        super().__init__(spec.of_codes())
        self.run_ticks: Callable[..., int] = run_ticks
        self.sums, self.scale = self.cells, spec.scale
        sizes, codes, *reached = self.sites
        self.sites = sizes, codes.astype(np.int8), *reached

    def run(self, events: tuple[np.ndarray, ...], clock: np.ndarray, sums: Any, cells: Any, scratch: Any, most: np.ndarray,
            out: Any) -> int:
        return self.run_ticks(events[:2], clock, self.modes, sums, self.scale, cells, self.law, self.sites, self.firing, scratch,
                              out)
