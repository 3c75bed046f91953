"""Leaky integrate-and-fire neurons with a smoothed membrane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.layer_spec.checks import Dense, check_tick, decay, matrix, put, put_times, put_vectors


@dataclass(frozen=True, eq=False)
class MPSLIFSpec(Dense):
    """Leaky integrate-and-fire neurons behind dense weights, with membrane potential smoothing.

    With u the membrane carried into a tick and hs its smoothed value, at every tick:

        hs <- alpha hs + (1 - alpha) u;  h = k hs + I;  a spike where h >= threshold;  u <- h - threshold for each spike

    k = exp(-tick/tau), I = sum of weight[i] over this tick's input spikes i. One state does the same: with
    rho = k + alpha (1 - k), hs <- rho hs + (1 - alpha)(I - threshold spike) after a tick is the hs of the next.

    weight (n_in, n_out); tau_ms (n_out,) or one number, 0..inf; threshold (n_out,) or one number, > 0; alpha: one number of
    the layer, 0 <= alpha < 1 (0: an ordinary LIF); tick_us: length of a tick.

    Source: Ding, Zuo, Jing, He and Deng (2025), "Rethinking spiking neural networks from an ensemble learning perspective",
    section 4.2 (there k = 1 - 1/tau).
    """

    weight: np.ndarray
    tau_ms: np.ndarray
    threshold: np.ndarray
    alpha: float
    tick_us: int

    def __post_init__(self) -> None:
        put(self, "weight", matrix("weight", self.weight))
        put_times(self, self.n_out, "tau_ms")
        put_vectors(self, self.n_out, "threshold", above=0)
        check_tick(self.tick_us, needed=True)
        if not 0 <= self.alpha < 1:
            raise ValueError(f"alpha must be at least 0 and below 1, got {self.alpha}")

    def decay(self) -> np.ndarray:
        """(n_out,) float32: k, what of hs reaches h."""
        return decay(self.tau_ms, self.tick_us)

    def smooth_decay(self) -> np.ndarray:
        """(n_out,) float32: rho = k + alpha (1 - k), what hs keeps over one tick; k is the float32, the rest float64."""
        k = self.decay().astype(np.float64)
        return (k + self.alpha * (1 - k)).astype(np.float32)
