"""random_lif: spikes or graded events go in; the spikes of a layer of fixed random weights, which no file holds, come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from operators import lif
from operators.model_layer import check_input, load_layer, read_layer
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import RandomLIFSpec
from pipeline.packet import Format


class RandomLIFConfig(OperatorConfig):
    """A dense layer of leaky integrate-and-fire neurons whose weights follow from a seed: a random expansion of its input.

    The model's file holds the seed and the law of the weights (uniform, normal, or signs; dense, sparse, or of random squares of
    the picture), not the weights; they are made when the pipeline starts, in well under a second for a million. From there on
    this is `lif`, with its equations, its state, its cost and its bits.

    In: spikes or graded, n_in units of any shape, times in us, on no tick or on one that divides the layer's.
    Out: spikes of shape (n_out,), stamped with the begin of their tick and given out in the packet that closes it.
    Errors: ValueError if the file is no model, the layer is not in it, or its size or tick does not fit the stream.

    Example: {type: random_lif, model: models/mnist_random.safetensors, layer: hidden}

    Source: RanSNN (2025, arXiv 2505.13622), after random feature networks: G.-B. Huang et al., Extreme learning machine (2006).
    """

    type: Literal["random_lif"] = "random_lif"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the random_lif layer in the model")

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "random_lif")
        check_input(f"random_lif layer {self.layer!r} of {self.model}", card.n_in, card.tick_us, upstream)
        return lif.out_format(card.n_out, card.tick_us, upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], lif.LIF]:
        self.check(upstream)
        return make(load_layer(self.model, self.layer, "random_lif"), upstream)


def make(spec: RandomLIFSpec, upstream: Format) -> Callable[[State | None], lif.LIF]:
    """What `prepare` returns, for a spec at hand instead of a model file."""
    return lif.make(spec.lif(), upstream)
