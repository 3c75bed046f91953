"""Leaky integrate-and-fire neurons whose input is a current that decays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.layer_spec.checks import Dense, check_reset, check_tick, decay, matrix, put, put_bias, put_times, put_vectors
from pipeline.layer_spec.lif import Reset


@dataclass(frozen=True, eq=False)
class CubaLIFSpec(Dense):
    """Leaky integrate-and-fire neurons with exponential synapses (current-based), behind a dense weight matrix.

    At every tick, in this order: i <- a i + sum of w over this tick's input spikes (+ bias); v <- d v + i; where
    v >= threshold emit a spike and reset: v <- v - threshold (`subtract`) or v <- 0 (`to_zero`). a = exp(-tick/tau_syn),
    d = exp(-tick/tau). With tau_syn 0 this is LIFSpec.

    In event mode (tick_us None) time is continuous: di/dt = -i / tau_syn, a spike adding w to i; dv/dt = -v / tau + i, t in ms,
    so i counts v per ms. Spikes come at the first microsecond at which v >= threshold, between events too.

    weight (n_in, n_out); tau_ms, tau_syn_ms (n_out,) or one number, 0..inf (event mode: above 0); threshold (n_out,) or one
    number, > 0; bias (n_out,) or None: a constant input of every tick (needs a tick).

    Source: Gerstner and Kistler, Spiking Neuron Models (2002), section 4.1; on a tick as in Davies et al. 2018, "Loihi", eq. 1-2.
    """

    weight: np.ndarray
    tau_ms: np.ndarray
    tau_syn_ms: np.ndarray
    threshold: np.ndarray
    tick_us: int | None = None
    reset: Reset = "subtract"
    bias: np.ndarray | None = None

    def __post_init__(self) -> None:
        put(self, "weight", matrix("weight", self.weight))
        put_times(self, self.n_out, "tau_ms", "tau_syn_ms")
        put_vectors(self, self.n_out, "threshold", above=0)
        check_tick(self.tick_us)
        check_reset(self.reset)
        if self.tick_us is None and ((self.tau_ms == 0).any() or (self.tau_syn_ms == 0).any()):
            raise ValueError("in event mode (tick_us None) tau_ms and tau_syn_ms must be above 0: a current takes time to act")
        put_bias(self, self.n_out)

    def decay(self) -> np.ndarray:
        """(n_out,) float32: what v keeps over one tick. Layers on a tick alone."""
        return decay(self.tau_ms, self.tick_us or 1)

    def synaptic_decay(self) -> np.ndarray:
        """(n_out,) float32: what the current keeps over one tick. Layers on a tick alone."""
        return decay(self.tau_syn_ms, self.tick_us or 1)
