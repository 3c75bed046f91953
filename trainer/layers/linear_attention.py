"""Streaming spiking attention as a torch module."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.layer_spec import LinearAttentionSpec
from trainer.layers.lif import Scan
from trainer.layers.parts import Decay, Positive, Spiking, array, tensor
from trainer.layers.surrogates import SURROGATES


class LinearAttention(Spiking):
    """Spiking attention as a running sum of keys times values: x (T, B, n_in) -> spikes (T, B, n_out), as the spec has it."""

    def __init__(self, spec: LinearAttentionSpec, *, learn_tau: bool = False, learn_threshold: bool = False,
                 learn_memory: bool = False, surrogate: str = "atan") -> None:
        super().__init__()
        self.tick_us, self.n_keys, self.heads, self.surrogate = spec.tick_us, spec.n_keys, spec.heads, SURROGATES[surrogate]
        self.weight = nn.Parameter(tensor(spec.weight))
        self.scale = nn.Parameter(tensor(np.asarray(spec.scale)))
        self.memory_ms = Positive(spec.memory_ms, learn=learn_memory)
        self.tau_ms, self.tau_out_ms = Positive(spec.tau_ms, learn=learn_tau), Positive(spec.tau_out_ms, learn=learn_tau)
        self.threshold = Positive(spec.threshold, learn=learn_threshold)
        self.threshold_out = Positive(spec.threshold_out, learn=learn_threshold)

    def forward(self, x: Tensor) -> Tensor:
        spikes, _ = Scan.apply(self.read(x), self._kept(self.tau_out_ms), self.threshold_out(), "subtract", self.surrogate)
        return spikes

    def course(self, x: Tensor, reference: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        d, threshold = self._kept(self.tau_out_ms), self.threshold_out()
        o = torch.zeros_like(threshold)
        for added, spiked in zip(self.read(x)[:, 0], reference[:, 0] > 0, strict=True):
            o = d * o + added
            yield o, threshold
            o = o - threshold * spiked

    def read(self, x: Tensor) -> Tensor:
        """(T, B, n_out): what queries read at each tick, scaled."""
        fired, _ = Scan.apply(x @ self.weight, self._kept(self.tau_ms), self.threshold(), "subtract", self.surrogate)
        n_out = fired.shape[2] - 2 * self.n_keys
        q, k, v = (part.unflatten(2, (self.heads, -1)) for part in fired.split([self.n_keys, self.n_keys, n_out], dim=2))
        memory = self._kept(self.memory_ms)[:, None, None]
        sums, found = torch.zeros(()), list[Tensor]()
        for query, key, value in zip(q, k, v, strict=True):
            sums = memory * sums + key[..., :, None] * value[..., None, :]  # (B, heads, keys, values)
            found.append((query[..., None, :] @ sums).flatten(1))
        return self.scale * torch.stack(found)

    def _kept(self, tau_ms: Positive) -> Tensor:
        return Decay.apply(tau_ms(), self.tick_us)

    def spec(self) -> LinearAttentionSpec:
        return LinearAttentionSpec(array(self.weight), self.n_keys, array(self.memory_ms()), array(self.tau_ms()),
                                   array(self.threshold()), array(self.tau_out_ms()), array(self.threshold_out()), self.tick_us,
                                   array(self.scale))
