"""Class scores as a torch module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.layer_spec import ReadoutSpec
from trainer.layers.parts import Decay, Positive, array, tensor


class Readout(nn.Module):
    """Class scores after every tick: x (T, B, n_in) -> scores (T, B, classes), as ReadoutSpec defines them.

    The score of a sample is the one after its own last tick; `temperature` only scales confidence.
    """

    temperature: Tensor

    def __init__(self, spec: ReadoutSpec, *, learn_tau: bool = False) -> None:
        super().__init__()
        self.score, self.names, self.tick_us = spec.score, spec.names, spec.tick_us
        self.weight = None if spec.weight is None else nn.Parameter(tensor(spec.weight))
        self.bias = None if spec.bias is None else nn.Parameter(tensor(spec.bias))
        self.tau_ms = None if spec.tau_ms is None else Positive(spec.tau_ms, learn=learn_tau)
        self.register_buffer("temperature", torch.tensor(float(spec.temperature), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        current = x if self.weight is None else x @ self.weight
        if self.tau_ms is None:
            score = current.cumsum(0)
            return score if self.bias is None else score + self.bias
        v = self._integrate(current if self.bias is None else current + self.bias)
        if self.score == "softmax_sum":
            return torch.softmax(v, dim=-1).cumsum(0)
        return v.cummax(0).values if self.score == "max_membrane" else v

    def _integrate(self, current: Tensor) -> Tensor:
        assert self.tau_ms is not None
        d, v, trace = Decay.apply(self.tau_ms(), self.tick_us), torch.zeros_like(current[0]), []
        for tick in current:
            v = d * v + tick
            trace.append(v)
        return torch.stack(trace)

    def spec(self) -> ReadoutSpec:
        weight, bias = (None if p is None else array(p) for p in (self.weight, self.bias))
        tau_ms = None if self.tau_ms is None else array(self.tau_ms())
        return ReadoutSpec(self.score, self.names, weight, bias, tau_ms, self.tick_us, float(self.temperature))
