"""Neurons that oscillate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.layer_spec.checks import Dense, check_reset, check_tick, matrix, put, put_bias, put_times, put_vectors
from pipeline.layer_spec.lif import Reset


@dataclass(frozen=True, eq=False)
class ResonateSpec(Dense):
    """Resonate-and-fire (complex leaky integrate-and-fire) neurons behind a dense weight matrix.

    The state z = x + i y decays and turns. At every tick, in this order: z <- exp((-1/tau + 2 pi i frequency) tick) z + sum of
    w over this tick's input spikes (+ bias); where x >= threshold emit a spike and reset: x <- x - threshold (`subtract`) or
    z <- 0 (`to_zero`). C-SiLIF is this with threshold 0.5 and `subtract`, its gain in the weights.

    weight (n_in, n_out); tau_ms (n_out,) or one number, 0..inf; frequency_hz (n_out,) or one number; threshold (n_out,) or one
    number, > 0; tick_us; bias (n_out,) or None: a constant input of every tick.

    Source: Izhikevich 2001, "Resonate-and-fire neurons"; Fabre et al. 2025, "Structured state space model dynamics and
    parametrization for spiking neural networks" (C-SiLIF).
    """

    weight: np.ndarray
    tau_ms: np.ndarray
    frequency_hz: np.ndarray
    threshold: np.ndarray
    tick_us: int
    reset: Reset = "subtract"
    bias: np.ndarray | None = None

    def __post_init__(self) -> None:
        put(self, "weight", matrix("weight", self.weight))
        put_times(self, self.n_out, "tau_ms")
        put_vectors(self, self.n_out, "frequency_hz")
        put_vectors(self, self.n_out, "threshold", above=0)
        check_tick(self.tick_us, needed=True)
        check_reset(self.reset)
        put_bias(self, self.n_out)

    def turn(self) -> tuple[np.ndarray, np.ndarray]:
        """(n_out,) float32 each: real and imaginary part of exp((-1/tau + 2 pi i frequency) tick), computed in float64."""
        with np.errstate(divide="ignore"):
            kept = np.exp(-np.float64(self.tick_us) / (self.tau_ms.astype(np.float64) * 1000))
        angle = 2 * np.pi * self.frequency_hz.astype(np.float64) * self.tick_us * 1e-6
        return (kept * np.cos(angle)).astype(np.float32), (kept * np.sin(angle)).astype(np.float32)
