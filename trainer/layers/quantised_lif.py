"""Leaky integrate-and-fire neurons with weights of a few bits as a torch module."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.layer_spec import QuantisedLIFSpec
from pipeline.layer_spec.quantised_lif import GREATEST, pack
from trainer.layers.lif import Leaky
from trainer.layers.parts import Decay, Positive, array, tensor
from trainer.layers.surrogates import SURROGATES


class QuantisedLIF(Leaky):
    """LIF neurons whose current is scale (x @ code), code being the rounded weight / scale; trained straight through.

    1 bit: code = sign(w); ternary: 0 where |w| <= scale / 2, else sign(w); 4 and 8 bits: w / scale rounded and clipped. Backward,
    the rounding counts as the identity where |w / scale| is at most the greatest code, and has no slope beyond (Bengio, Leonard
    and Courville 2013, "Estimating or propagating gradients through stochastic neurons", section 4; clipped as in Hubara et al.
    2016, "Binarized neural networks", eq. 4). The float weight lives in training alone. x (T, B, n_in) -> spikes (T, B, n_out).
    weight: the float weights to start with; none: the multiples of the scale that the spec has.
    """

    def __init__(self, spec: QuantisedLIFSpec, *, weight: np.ndarray | None = None, learn_scale: bool = False,
                 learn_tau: bool = False, learn_threshold: bool = False, surrogate: str = "atan") -> None:  # fmt: skip
        super().__init__()
        if spec.tick_us is None:
            raise ValueError("only a layer on a tick can be trained, got one in event mode (tick_us None)")
        self.tick_us, self.reset, self.bits, self.surrogate = spec.tick_us, spec.reset, spec.bits, SURROGATES[surrogate]
        self.scale = Positive(spec.scale, learn=learn_scale)
        self.weight = nn.Parameter(tensor(spec.codes() * spec.scale if weight is None else weight))
        self.bias = None if spec.bias is None else nn.Parameter(tensor(spec.bias))
        self.tau_ms = Positive(spec.tau_ms, learn=learn_tau)
        self.threshold = Positive(spec.threshold, learn=learn_threshold)

    def current(self, x: Tensor) -> Tensor:
        """(T, B, n_out): what each tick adds to v, scale (x @ code) + bias."""
        scale = self.scale()
        ratio = self.weight / scale
        straight = ratio.clamp(-GREATEST[self.bits], GREATEST[self.bits])
        current = scale * (x @ (codes_of(ratio, self.bits).detach() + (straight - straight.detach())))  # the codes to the bit
        return current if self.bias is None else current + self.bias

    def decay(self) -> Tensor:
        return Decay.apply(self.tau_ms(), self.tick_us)

    def spec(self) -> QuantisedLIFSpec:
        scale = self.scale().detach()
        packed = pack(array(codes_of(self.weight / scale, self.bits)), self.bits)
        bias = None if self.bias is None else array(self.bias)
        return QuantisedLIFSpec(packed, array(scale), array(self.tau_ms()), array(self.threshold()), self.bits, self.tick_us,
                                self.reset, bias)  # fmt: skip


def codes_of(ratio: Tensor, bits: int) -> Tensor:
    """The codes that weights are rounded to, given weight / scale."""
    if bits == 1:
        return torch.where(ratio < 0, -1.0, 1.0)
    if bits == 2:
        return ratio.sign() * (ratio.abs() > 0.5)
    return ratio.round().clamp(-GREATEST[bits], GREATEST[bits])
