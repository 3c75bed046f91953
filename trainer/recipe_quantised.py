"""The layers with weights of a few bits that a recipe names: their options, and the spec and float weights they start from."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from pipeline.layer_spec import ConvLIFSpec, LIFSpec, QuantisedConvLIFSpec, QuantisedLIFSpec
from pipeline.layer_spec.quantised_conv import pack_filters
from pipeline.layer_spec.quantised_lif import pack, quantise
from trainer.recipe_images import ConvLIFLayer
from trainer.recipe_layers import Begun, LIFLayer, Place

Bits = Literal[1, 2, 4, 8]


class QuantisedLIFLayer(LIFLayer):
    """A dense layer of LIF neurons with weights of a few bits and one scale a neuron."""

    type: Literal["quantised_lif"] = "quantised_lif"  # type: ignore[assignment]
    bits: Bits = Field(1, description="bits of a weight; 2: -1, 0 and 1")
    learn: tuple[Literal["tau", "threshold", "scale"], ...] = Field(  # type: ignore[assignment]
        ("scale",), description="what is learnt besides the weights")

    def begin(self, place: Place) -> Begun:
        plain, options = super().begin(place)
        assert isinstance(plain, LIFSpec)
        return self.quantised(plain, options | {"learn_scale": "scale" in self.learn})

    def quantised(self, plain: LIFSpec, options: dict[str, Any]) -> Begun:
        """The layer that starts from the float weights of `plain`."""
        assert plain.tick_us is not None, "trained on a tick"
        codes, scale = quantise(plain.weight, self.bits)
        packed = pack(codes, self.bits)
        spec = QuantisedLIFSpec(packed, scale, plain.tau_ms, plain.threshold, self.bits, plain.tick_us, plain.reset, plain.bias)
        return spec, options | {"weight": plain.weight}


class QuantisedConvLIFLayer(ConvLIFLayer):
    """LIF neurons behind a convolution with weights of a few bits and one scale a channel, which follows their magnitude."""

    type: Literal["quantised_conv_lif"] = "quantised_conv_lif"  # type: ignore[assignment]
    bits: Bits = Field(1, description="bits of a weight; 2: -1, 0 and 1")
    pool: Literal[1] = Field(1, description="there is no maximum before these neurons: use a pool layer")
    groups: Literal[1] = Field(1, description="all channels mix")

    def begin(self, place: Place) -> Begun:
        plain, options = super().begin(place)
        assert isinstance(plain, ConvLIFSpec)
        return self.quantised(plain, options)

    def quantised(self, plain: ConvLIFSpec, options: dict[str, Any]) -> Begun:
        """The layer that starts from the float weights of `plain`."""
        assert plain.tick_us is not None, "trained on a tick"
        codes, scale = quantise(plain.weight.reshape(plain.c_out, -1).T, self.bits)
        filters = np.ascontiguousarray(codes.T).reshape(plain.weight.shape)
        spec = QuantisedConvLIFSpec(pack_filters(filters, self.bits), scale, plain.tau_ms, plain.threshold, self.bits,
                                    plain.shape_in, plain.weight.shape[2:], plain.tick_us,  # type: ignore[arg-type]
                                    plain.stride, plain.padding, plain.reset, plain.bias)
        return spec, options | {"weight": plain.weight}
