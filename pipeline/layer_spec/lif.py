"""Leaky integrate-and-fire neurons behind a dense weight matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.layer_spec.checks import Dense, check_reset, check_tick, decay, matrix, put, put_bias, put_times, put_vectors

Reset = Literal["subtract", "to_zero"]


@dataclass(frozen=True, eq=False)
class LIFSpec(Dense):
    """Leaky integrate-and-fire neurons behind a dense weight matrix.

    At every tick, in this order: v <- d v + sum of w[i] over this tick's input spikes i (+ bias); where v >= threshold emit
    a spike and reset: v <- v - threshold (`subtract`) or v <- 0 (`to_zero`). d = exp(-tick/tau).

    weight (n_in, n_out); tau_ms (n_out,) or one number, 0..inf; threshold (n_out,) or one number, > 0;
    tick_us: length of a tick, or None for event mode (a tick of 1 us with d over the true gap);
    bias (n_out,) or None: a constant input of every tick (needs a tick).

    Source: Gerstner and Kistler, Spiking Neuron Models (2002), section 4.1, discretised with an instantaneous synapse.
    """

    weight: np.ndarray
    tau_ms: np.ndarray
    threshold: np.ndarray
    tick_us: int | None = None
    reset: Reset = "subtract"
    bias: np.ndarray | None = None

    def __post_init__(self) -> None:
        put(self, "weight", matrix("weight", self.weight))
        put_times(self, self.n_out, "tau_ms")
        put_vectors(self, self.n_out, "threshold", above=0)
        check_tick(self.tick_us)
        check_reset(self.reset)
        put_bias(self, self.n_out)

    def decay(self) -> np.ndarray:
        """(n_out,) float32: what v keeps over one tick (in event mode: over 1 us)."""
        return decay(self.tau_ms, self.tick_us or 1)

    def may_fire_in_silence(self) -> np.ndarray:
        """(n_out,) bool: where the bias alone drives v to the threshold, b / (1 - d) >= threshold."""
        if self.bias is None:
            return np.zeros(self.n_out, bool)
        d, b = self.decay().astype(np.float64), self.bias.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            resting = np.where(b > 0, b / (1.0 - d), 0.0)
        return resting >= self.threshold
