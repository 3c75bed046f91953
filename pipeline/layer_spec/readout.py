"""Class scores from spikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.layer_spec.checks import check_tick, decay, matrix, put, put_times, put_vectors

Score = Literal["spike_count", "membrane", "max_membrane", "softmax_sum"]


@dataclass(frozen=True, eq=False)
class ReadoutSpec:
    """How class scores come from spikes; a decision's values are softmax(score / temperature).

    `spike_count`: score = weight^T counts + bias, the counts being the spikes of each input unit so far.
    `membrane`: v <- d v + sum of w[i] + bias at every tick, score = v after the last closed tick.
    `max_membrane`: the same v; score = the greatest v of all ticks so far (Cramer, Stradmann, Schemmel, Zenke 2022, "The
    Heidelberg spiking data sets for the systematic evaluation of spiking neural networks", max-over-time loss).
    `softmax_sum`: the same v; score = sum over all ticks so far of softmax(v)
    (Hammouamri, Khalfaoui-Hassani, Masquelier 2024, "Learning delays in SNNs using DCLS").

    weight (n_in, classes); None means the identity: input unit c is class c. tau_ms (classes,) or one number and tick_us
    are needed by all but spike_count, and are None for spike_count. temperature > 0. names: classes names.
    """

    score: Score
    names: tuple[str, ...]
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    tau_ms: np.ndarray | None = None
    tick_us: int | None = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        put(self, "names", tuple(self.names))
        if not self.names or len(set(self.names)) != len(self.names):
            raise ValueError(f"names must be different class names, got {self.names}")
        if self.weight is not None:
            put(self, "weight", matrix("weight", self.weight))
            if self.weight.shape[1] != self.n_out:
                raise ValueError(f"weight has {self.weight.shape[1]} columns for {self.n_out} classes")
        if self.bias is not None:
            put_vectors(self, self.n_out, "bias")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        check_tick(self.tick_us)
        self._check_integrator()

    def _check_integrator(self) -> None:
        if self.score == "spike_count":
            if self.tau_ms is not None or self.tick_us is not None:
                raise ValueError("a spike_count readout has no tau_ms and no tick_us")
        elif self.score in ("membrane", "max_membrane", "softmax_sum"):
            if self.tau_ms is None or self.tick_us is None:
                raise ValueError(f"a {self.score} readout needs tau_ms and tick_us")
            put_times(self, self.n_out, "tau_ms")
        else:
            raise ValueError(f"score must be spike_count, membrane, max_membrane or softmax_sum, got {self.score!r}")

    @property
    def n_in(self) -> int:
        return self.n_out if self.weight is None else self.weight.shape[0]

    @property
    def n_out(self) -> int:
        return len(self.names)

    def decay(self) -> np.ndarray:
        """(classes,) float32: what v keeps over one tick."""
        if self.tau_ms is None or self.tick_us is None:
            raise ValueError("a spike_count readout has no decay")
        return decay(self.tau_ms, self.tick_us)
