"""What the torch modules of the kinds of neurons share: a loop over ticks that torch differentiates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainer.layers.parts import Positive, Spiking, array, tensor
from trainer.layers.surrogates import SURROGATES, Surrogate

States = tuple[Tensor, ...]


class Neurons(Spiking):
    """Neurons behind a dense weight matrix: x (T, B, n_in) counts -> spikes (T, B, n_out) of 0 and 1.

    A kind says what a tick's input makes of its states (`charge`) and what spikes make of them (`fire`). In the backward pass
    the step is replaced by a surrogate. A reset is a constant to the gradient (Zenke and Vogels 2021, section 3.3); what a spike
    adds to an adaptation is not.
    """

    n_states = 2

    def __init__(self, spec: Any, *, learn_threshold: bool = False, surrogate: str = "atan") -> None:
        super().__init__()
        if spec.tick_us is None:
            raise ValueError("only a layer on a tick can be trained, got one in event mode (tick_us None)")
        self.tick_us, self.surrogate = spec.tick_us, SURROGATES[surrogate]
        self.weight = nn.Parameter(tensor(spec.weight))
        self.bias = None if spec.bias is None else nn.Parameter(tensor(spec.bias))
        self.threshold = Positive(spec.threshold, learn=learn_threshold)

    def charge(self, states: States, current: Tensor, constants: States) -> tuple[States, Tensor]:
        """The states after a tick's input, and the potential that is compared with the threshold."""
        raise NotImplementedError

    def fire(self, states: States, spikes: Tensor, threshold: Tensor, constants: States) -> States:
        """The states after the spikes (0 and 1) of their tick."""
        raise NotImplementedError

    def constants(self) -> States:
        """What `charge` and `fire` need of the parameters, computed once a forward pass."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        current, threshold, constants = self.current(x), self.threshold(), self.constants()
        states = self.start(current[0])
        spikes = []
        for tick in current:
            states, potential = self.charge(states, tick, constants)
            spikes.append(_Step.apply(potential, threshold, self.surrogate))
            states = self.fire(states, spikes[-1], threshold, constants)
        return torch.stack(spikes)

    def course(self, x: Tensor, reference: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        current, threshold, constants = self.current(x)[:, 0], self.threshold(), self.constants()
        states = self.start(current[0])
        for tick, spikes in zip(current, (reference[:, 0] > 0).float(), strict=True):
            states, potential = self.charge(states, tick, constants)
            yield potential, threshold
            states = self.fire(states, spikes, threshold, constants)

    def start(self, current: Tensor) -> States:
        return tuple(torch.zeros_like(current) for _ in range(self.n_states))

    def current(self, x: Tensor) -> Tensor:
        """(T, B, n_out): the input of each tick."""
        current = (x @ self.weight).float()  # the product may be of lower precision, v is not
        return current if self.bias is None else current + self.bias

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """weight, threshold and bias of the spec."""
        return array(self.weight), array(self.threshold()), None if self.bias is None else array(self.bias)


def reset(v: Tensor, spikes: Tensor, threshold: Tensor, how: str) -> Tensor:
    spikes = spikes.detach()
    return v - threshold * spikes if how == "subtract" else v * (1 - spikes)


class _Step(torch.autograd.Function):
    """v >= threshold as 0 and 1; backward the surrogate's slope at u = (v - threshold) / threshold."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, threshold: Tensor, slope: Surrogate) -> Tensor:
        ctx.save_for_backward(v, threshold)
        ctx.slope = slope
        return (v >= threshold).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor | None, None]:
        v, threshold = ctx.saved_tensors
        g = g * ctx.slope((v - threshold) / threshold) / threshold
        return g, -g.sum(tuple(range(g.dim() - 1))) if ctx.needs_input_grad[1] else None, None
