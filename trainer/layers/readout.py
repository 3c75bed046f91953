"""Class scores as a torch module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.layer_spec import ReadoutSpec
from trainer.layers.parts import Decay, Positive, array, tensor

Left = tuple[Tensor, Tensor]  # v and scores, (B, classes) each


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
        return self.go_on(x, None)[0]

    def go_on(self, x: Tensor, before: Left | None) -> tuple[Tensor, Left]:
        """The scores after each tick, going on from what an earlier call left: v and the scores after its last tick. No gradient
        runs through what is left."""
        current = x if self.weight is None else (x @ self.weight).float()  # a product of lower precision ends here
        if self.tau_ms is None:
            score = current.cumsum(0)
            if before is not None:
                score = score + before[1]
            elif self.bias is not None:
                score = score + self.bias
            return score, (score[-1].detach(), score[-1].detach())
        v = self._integrate(current if self.bias is None else current + self.bias, None if before is None else before[0])
        if self.score == "softmax_sum":
            score = torch.softmax(v, dim=-1).cumsum(0)
            score = score if before is None else score + before[1]
        elif self.score == "max_membrane":
            score = v.cummax(0).values
            score = score if before is None else torch.maximum(score, before[1])
        else:
            score = v
        return score, (v[-1].detach(), score[-1].detach())

    def _integrate(self, current: Tensor, v: Tensor | None) -> Tensor:
        assert self.tau_ms is not None
        d, trace = Decay.apply(self.tau_ms(), self.tick_us), []
        v = torch.zeros_like(current[0]) if v is None else v
        for tick in current:
            v = d * v + tick
            trace.append(v)
        return torch.stack(trace)

    def spec(self) -> ReadoutSpec:
        weight, bias = (None if p is None else array(p) for p in (self.weight, self.bias))
        tau_ms = None if self.tau_ms is None else array(self.tau_ms())
        return ReadoutSpec(self.score, self.names, weight, bias, tau_ms, self.tick_us, float(self.temperature))
