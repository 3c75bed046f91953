"""Leaky integrate-and-fire neurons behind a convolution as a torch module."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.layer_spec import ConvLIFSpec
from trainer.layers.lif import Leaky
from trainer.layers.parts import Decay, Positive, array, tensor
from trainer.layers.surrogates import SURROGATES

LEAST_NORM = 1e-8  # what keeps the threshold of a channel without weights above 0


class ConvLIF(Leaky):
    """Convolution, batch normalisation if asked for, the maximum over windows if the spec has one, and LIF neurons.

    x (T, B, c_in * height * width) counts -> spikes (T, B, c_out * height * width) of 0 and 1; see LIF for the gradient.

    batch_norm: the currents of a channel are normalised over the batch in training, and by what was seen in training when
    evaluated; the exported spec has the normalisation folded into weight and bias. They start with a deviation of
    norm_gain and a mean of norm_shift.
    normalised (Cordone, Miramond, Ferrante 2021, "Learning from event cameras with sparse spiking convolutional neural networks",
    section III): v <- d v + (1 - d) c, a spike where v >= threshold n, v <- v - threshold n, n being the sum of the squared
    weights of the channel. The exported spec is a plain one: weight (1 - d) and threshold n.
    """

    def __init__(self, spec: ConvLIFSpec, *, learn_tau: bool = False, learn_threshold: bool = False, batch_norm: bool = False,
                 norm_gain: np.ndarray | float = 1.0,
                 norm_shift: np.ndarray | float = 0.0, normalised: bool = False, surrogate: str = "atan") -> None:
        super().__init__()
        if spec.tick_us is None:
            raise ValueError("only a layer on a tick can be trained, got one in event mode (tick_us None)")
        if learn_tau and not (np.isfinite(spec.tau_ms) & (spec.tau_ms > 0)).all():
            raise ValueError("a tau that is learnt must start above 0 and below inf")
        if normalised and (batch_norm or spec.bias is not None):
            raise ValueError("a normalised threshold takes the place of batch_norm and bias: choose one of them")
        self.like, self.tick_us, self.reset, self.surrogate = spec, spec.tick_us, spec.reset, SURROGATES[surrogate]
        self.normalised = normalised
        self.weight = nn.Parameter(tensor(spec.weight))
        self.bias = None if spec.bias is None or batch_norm else nn.Parameter(tensor(spec.bias))
        self.tau_ms = Positive(spec.tau_ms, learn=learn_tau)
        self.own_threshold = Positive(spec.threshold, learn=learn_threshold)
        self.norm = nn.BatchNorm2d(spec.c_out) if batch_norm else None
        if self.norm is not None:
            self.norm.weight.data[:] = torch.as_tensor(norm_gain)
            self.norm.bias.data[:] = torch.as_tensor(norm_shift)

    def current(self, x: Tensor) -> Tensor:
        """(T, B, n_out): what each tick adds to v."""
        spec, (ticks, width) = self.like, x.shape[:2]
        image = x.reshape(ticks * width, *spec.shape_in)
        if self.norm is not None and self.training:
            image = self.norm(self._convolve(image, self.weight, self.bias))
        else:
            image = self._convolve(image, *self.folded())
        if spec.pooled:
            image = functional.max_pool2d(image, spec.pool_size, spec.pool_stride)
        return image.reshape(ticks, width, spec.n_out)

    def folded(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias with all that is normalised in them."""
        if self.normalised:
            return self.weight * (1 - self._channel_decay())[:, None, None, None], None
        if self.norm is None:
            return self.weight, self.bias
        mean, var = self.norm.running_mean, self.norm.running_var
        assert mean is not None, "BatchNorm2d keeps it by default"
        assert var is not None, "BatchNorm2d keeps it by default"
        scale = self.norm.weight / torch.sqrt(var + self.norm.eps)
        bias = self.norm.bias + (-mean if self.bias is None else self.bias - mean) * scale
        return self.weight * scale[:, None, None, None], bias

    def decay(self) -> Tensor:
        """(n_out,), as all that follows: one number a channel, repeated for its pixels."""
        return self._per_neuron(self._channel_decay())

    def threshold(self) -> Tensor:
        return self._per_neuron(self._channel_threshold())

    def spec(self) -> ConvLIFSpec:
        weight, bias = self.folded()
        return dataclasses.replace(self.like, weight=array(weight), tau_ms=array(self.tau_ms()),
                                   threshold=array(self._channel_threshold()), bias=None if bias is None else array(bias))

    def _channel_decay(self) -> Tensor:
        return Decay.apply(self.tau_ms(), self.tick_us)

    def _channel_threshold(self) -> Tensor:
        threshold = self.own_threshold()
        return threshold * ((self.weight**2).sum((1, 2, 3)) + LEAST_NORM) if self.normalised else threshold

    def _per_neuron(self, of_channels: Tensor) -> Tensor:
        return of_channels.repeat_interleave(self.like.n_out // self.like.c_out)

    def _convolve(self, image: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        spec = self.like
        return functional.conv2d(image, weight, bias, spec.stride, spec.padding, spec.dilation, spec.groups)
