"""Neurons of two compartments, a slow and a fast one, that inhibit each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.layer_spec.checks import Dense, check_tick, decay, matrix, put, put_times, put_vectors, vector

VECTORS = ("input_slow", "input_fast", "to_slow", "to_fast", "reset_slow", "reset_fast", "gain_slow", "gain_fast")


@dataclass(frozen=True, eq=False)
class TwoCompartmentSpec(Dense):
    """Neurons of a slow (dendritic) and a fast (somatic) compartment behind dense weights: TS-LIF.

    At every tick, with I = sum of weight[i] over this tick's input spikes i, in this order:

        slow <- a slow - to_slow fast + input_slow I                       a = exp(-tick / tau_slow)
        fast <- b fast - to_fast slow + input_fast I                       b = exp(-tick / tau_fast); slow as just computed
        S = [slow >= threshold], F = [fast >= threshold]; where either: a graded event of gain_slow S + gain_fast F
        slow <- slow - reset_slow S, fast <- fast - reset_fast F

    weight (n_in, n_out); all others (n_out,) or one number: tau_slow_ms, tau_fast_ms 0..inf; threshold > 0; the defaults are
    those of the source, in which a = 0.8 and b = 0.3. tick_us: length of a tick. Silence must not make a neuron grow: no
    eigenvalue of its silent tick is above 1.

    Source: Feng, Feng, Gao, Zhao and Shen (2025), "TS-LIF: a temporal segment spiking neuron network for time series
    forecasting".
    """

    weight: np.ndarray
    tau_slow_ms: np.ndarray
    tau_fast_ms: np.ndarray
    threshold: np.ndarray
    tick_us: int
    input_slow: np.ndarray | float = 0.2
    input_fast: np.ndarray | float = 0.7
    to_slow: np.ndarray | float = 0.1
    to_fast: np.ndarray | float = 0.8
    reset_slow: np.ndarray | float = 0.5
    reset_fast: np.ndarray | float = 1.0
    gain_slow: np.ndarray | float = 1.0
    gain_fast: np.ndarray | float = 1.0

    def __post_init__(self) -> None:
        put(self, "weight", matrix("weight", self.weight))
        put_times(self, self.n_out, "tau_slow_ms", "tau_fast_ms")
        put_vectors(self, self.n_out, "threshold", above=0)
        for name in VECTORS:
            put(self, name, vector(name, getattr(self, name), self.n_out))
        check_tick(self.tick_us, needed=True)
        growth = np.abs(np.linalg.eigvals(self.silent_step())).max(-1)
        if (growth > 1 + 1e-9).any():
            j = int(growth.argmax())
            raise ValueError(f"the compartments of neuron {j} drive each other without end in silence ({growth[j]:.3g} times a "
                             "tick); lower to_slow * to_fast or the time constants")

    def silent_step(self) -> np.ndarray:
        """(n_out, 2, 2) float64: what a tick without input makes of (slow, fast)."""
        a, b = (decay(tau_ms, self.tick_us).astype(np.float64) for tau_ms in (self.tau_slow_ms, self.tau_fast_ms))
        to_slow, to_fast = (np.asarray(each, np.float64) for each in (self.to_slow, self.to_fast))
        return np.stack([np.stack([a, -to_slow], -1), np.stack([-to_fast * a, b + to_fast * to_slow], -1)], -2)

    def input_step(self) -> np.ndarray:
        """(n_out, 2) float32: what an input of 1 adds to (slow, fast) in its tick, the second through slow too."""
        slow, fast, to_fast = (np.asarray(each, np.float64) for each in (self.input_slow, self.input_fast, self.to_fast))
        return np.stack([slow, fast - to_fast * slow], -1).astype(np.float32)
