"""Spike response neurons: alpha-shaped responses to input and to their own spikes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.layer_spec.checks import Dense, check_tick, decay, matrix, put, put_bias, vector


@dataclass(frozen=True, eq=False)
class SRMSpec(Dense):
    """Spike response (SRM-alpha, SLAYER) neurons behind a dense weight matrix.

    u(t) = sum over input spikes of w eps(t - t_i) - refractory threshold sum over own spikes of nu(t - t_f), both kernels
    alpha-shaped, (k / tau) exp(1 - k / tau) after k ticks: 0 in the tick of the spike, 1 at their peak, at tau. A spike where
    u >= threshold; nothing is reset. Each kernel is two states, infinite in length: with d = exp(-tick/tau), e and tau in ticks,
    at every tick, in this order:

    q <- d (q + p); p <- d p + sum of w over this tick's input spikes (+ bias); the same with q_own, p_own, d_own and no input;
    u = (e / tau_syn) q - refractory threshold (e / tau_ref) q_own; where u >= threshold emit a spike, and p_own <- p_own + 1.

    weight (n_in, n_out); tau_syn_ms, tau_ref_ms (n_out,) or one number, above 0 and finite; threshold (n_out,) or one number,
    > 0; tick_us; refractory: depth of a spike's own response in thresholds, >= 0; bias (n_out,) or None.

    Source: Gerstner 1995, "Time structure of the activity in neural network models"; Shrestha and Orchard 2018, "SLAYER", eq. 1-3
    (there truncated where the kernels fall below 0.01).
    """

    weight: np.ndarray
    tau_syn_ms: np.ndarray
    tau_ref_ms: np.ndarray
    threshold: np.ndarray
    tick_us: int
    refractory: float = 2.0
    bias: np.ndarray | None = None

    def __post_init__(self) -> None:
        put(self, "weight", matrix("weight", self.weight))
        for name in ("tau_syn_ms", "tau_ref_ms", "threshold"):
            put(self, name, vector(name, getattr(self, name), self.n_out))
            if (getattr(self, name) <= 0).any():
                raise ValueError(f"{name} must be above 0, got {getattr(self, name).min():g}")
        check_tick(self.tick_us, needed=True)
        if not 0 <= self.refractory < np.inf:
            raise ValueError(f"refractory must be at least 0 and finite, got {self.refractory}")
        put_bias(self, self.n_out)

    def decays(self) -> tuple[np.ndarray, np.ndarray]:
        """(n_out,) float32 each: what the states of input and of own spikes keep over one tick."""
        return decay(self.tau_syn_ms, self.tick_us), decay(self.tau_ref_ms, self.tick_us)

    def gains(self) -> tuple[np.ndarray, np.ndarray]:
        """(n_out,) float32 each: e / tau_syn and refractory threshold e / tau_ref, tau in ticks: u = gain q - own_gain q_own."""
        ticks = self.tick_us / 1000
        gain = np.e * ticks / self.tau_syn_ms.astype(np.float64)
        own_gain = np.e * ticks / self.tau_ref_ms.astype(np.float64) * self.refractory * self.threshold
        return gain.astype(np.float32), own_gain.astype(np.float32)
