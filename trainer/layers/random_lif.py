"""Leaky integrate-and-fire neurons of fixed random weights as a torch module."""

from __future__ import annotations

from typing import Any

from pipeline.layer_spec import RandomLIFSpec
from trainer.layers.lif import LIF


class RandomLIF(LIF):
    """LIF whose weights follow from a seed and rest: x (T, B, n_in) -> spikes (T, B, n_out). Nothing of it is learnt."""

    def __init__(self, spec: RandomLIFSpec, *, surrogate: str = "atan") -> None:
        super().__init__(spec.lif(), surrogate=surrogate)
        self._spec = spec
        self.requires_grad_(False)

    def spec(self) -> Any:
        return self._spec
