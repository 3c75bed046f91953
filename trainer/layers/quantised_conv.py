"""Leaky integrate-and-fire neurons behind a convolution with weights of a few bits as a torch module."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.layer_spec import QuantisedConvLIFSpec
from pipeline.layer_spec.quantised_conv import pack_filters
from pipeline.layer_spec.quantised_lif import quantise
from trainer.layers.lif import Leaky
from trainer.layers.parts import Decay, Positive, array, tensor
from trainer.layers.quantised_lif import codes_of
from trainer.layers.surrogates import SURROGATES

LEAST_SCALE = 1e-30  # of a channel that its normalisation has silenced


class QuantisedConvLIF(Leaky):
    """A convolution with codes for weights, batch normalisation if asked for, and LIF neurons; trained straight through.

    x (T, B, c_in * height * width) counts -> spikes (T, B, c_out * height * width) of 0 and 1. Forward, a filter is scale code:
    at 1 bit sign(w) and the mean of |w|, which keeps the magnitude of the filter; see `quantise` for more bits. Backward, the
    filter is the float weight itself, without a slope beyond 1 (Rastegari et al. 2016, "XNOR-Net", eq. 6 and section 3.1;
    clipped as in Hubara et al. 2016, "Binarized neural networks", eq. 4). The float weight lives in training alone.

    weight (c_out, c_in, kh, kw): float weights to start with, whose magnitude the scale follows; none: the spec's, and the scale
    stays as it is. batch_norm: as in ConvLIF; folded in,
    its gain goes into the scale, the signs of negative gains into the codes, the rest into the bias. norm_gain, norm_shift:
    deviation and mean of a channel's normalised currents at the start.
    """

    scale: Tensor | None

    def __init__(self, spec: QuantisedConvLIFSpec, *, weight: np.ndarray | None = None, learn_tau: bool = False,
                 learn_threshold: bool = False, batch_norm: bool = False, norm_gain: np.ndarray | float = 1.0,
                 norm_shift: np.ndarray | float = 0.0, surrogate: str = "atan") -> None:  # fmt: skip
        super().__init__()
        self.like, self.tick_us, self.reset, self.surrogate = spec, spec.tick_us, spec.reset, SURROGATES[surrogate]
        start = spec.codes() * spec.scale[:, None, None, None] if weight is None else weight
        self.weight = nn.Parameter(tensor(start))
        self.register_buffer("scale", None if weight is not None else tensor(spec.scale))
        self.bias = None if spec.bias is None or batch_norm else nn.Parameter(tensor(spec.bias))
        self.tau_ms = Positive(spec.tau_ms, learn=learn_tau)
        self.own_threshold = Positive(spec.threshold, learn=learn_threshold)
        self.norm = nn.BatchNorm2d(spec.c_out) if batch_norm else None
        if self.norm is not None:
            self.norm.weight.data[:] = torch.as_tensor(norm_gain)
            self.norm.bias.data[:] = torch.as_tensor(norm_shift)

    def current(self, x: Tensor) -> Tensor:
        """(T, B, n_out): what each tick adds to v, b + scale (x * code)."""
        spec, (ticks, width) = self.like, x.shape[:2]
        image = x.reshape(ticks * width, *spec.shape_in)
        if self.training:
            codes, scale = self._quantised()
            straight = self.weight.clamp(-1, 1)
            filters = straight + (codes * scale[:, None, None, None] - straight).detach()
            image = functional.conv2d(image, filters, self.bias, spec.stride, spec.padding)
            image = image if self.norm is None else self.norm(image)
        else:
            codes, scale, bias = self.folded()
            image = functional.conv2d(image, codes, None, spec.stride, spec.padding) * scale[:, None, None]
            image = image if bias is None else image + bias[:, None, None]
        return image.reshape(ticks, width, spec.n_out)

    def folded(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Codes (c_out, c_in, kh, kw), scale and bias (c_out,) with the normalisation in them."""
        codes, scale = self._quantised()
        if self.norm is None:
            return codes, scale, self.bias
        mean, var = self.norm.running_mean, self.norm.running_var
        assert mean is not None, "BatchNorm2d keeps it by default"
        assert var is not None, "BatchNorm2d keeps it by default"
        gain = self.norm.weight / torch.sqrt(var + self.norm.eps)
        signs = torch.where(gain < 0, -1.0, 1.0)
        bias = self.norm.bias - mean * gain
        return codes * signs[:, None, None, None], (scale * gain.abs()).clamp(min=LEAST_SCALE), bias

    def decay(self) -> Tensor:
        """(n_out,), as all that follows: one number a channel, repeated for its pixels."""
        return self._per_neuron(Decay.apply(self.tau_ms(), self.tick_us))

    def threshold(self) -> Tensor:
        return self._per_neuron(self.own_threshold())

    def spec(self) -> QuantisedConvLIFSpec:
        codes, scale, bias = self.folded()
        return dataclasses.replace(self.like, packed=pack_filters(array(codes), self.like.bits), scale=array(scale),
                                   tau_ms=array(self.tau_ms()), threshold=array(self.own_threshold()),
                                   bias=None if bias is None else array(bias))

    def _quantised(self) -> tuple[Tensor, Tensor]:
        """codes (c_out, c_in, kh, kw) and scale (c_out,) of the weight as it is."""
        if self.scale is not None:
            return codes_of(self.weight.detach() / self.scale[:, None, None, None], self.like.bits), self.scale
        filters = array(self.weight)
        codes, scale = quantise(filters.reshape(filters.shape[0], -1).T, self.like.bits)
        return tensor(codes.T.reshape(filters.shape)), tensor(scale)

    def _per_neuron(self, of_channels: Tensor) -> Tensor:
        return of_channels.repeat_interleave(self.like.n_out // self.like.c_out)
