"""Leaky integrate-and-fire neurons with an adaptation current."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.layer_spec.checks import Dense, check_tick, decay, matrix, put, put_bias, put_times, put_vectors

Form = Literal["adlif", "se_adlif"]


@dataclass(frozen=True, eq=False)
class AdaptiveLIFSpec(Dense):
    """Adaptive leaky integrate-and-fire neurons behind a dense weight matrix. With I the sum of w over a tick's input spikes
    (+ bias), al = exp(-tick/tau), be = exp(-tick/tau_w), at every tick, in this order:

    u <- al u + (1 - al) (I - w); s = 1 where u >= threshold, which emits a spike, else 0; then
    `adlif`:    w <- be w + a u + b s; u <- u - threshold s
    `se_adlif`: u <- u (1 - s); w <- be w + (1 - be) q (a u + b s)

    `adlif` is SpArch's, and SiLIF's with the time constants that it learns as rates. `se_adlif` integrates by symplectic Euler:
    w takes the new u.

    weight (n_in, n_out); tau_ms, tau_w_ms (n_out,) or one number, 0..inf; a, b (n_out,) or one number: how u and a spike
    drive w; threshold (n_out,) or one number, > 0; tick_us; q: a factor to a and b of se_adlif; bias (n_out,) or None.

    Source: Bittar and Garner 2022, "A surrogate gradient spiking baseline for speech command recognition", eq. 5-7 (adlif);
    Baronig et al. 2025, "Advancing spatio-temporal processing through adaptation in SNNs", section 2 (se_adlif).
    """

    weight: np.ndarray
    tau_ms: np.ndarray
    tau_w_ms: np.ndarray
    a: np.ndarray
    b: np.ndarray
    threshold: np.ndarray
    tick_us: int
    form: Form = "adlif"
    q: float = 1.0
    bias: np.ndarray | None = None

    def __post_init__(self) -> None:
        put(self, "weight", matrix("weight", self.weight))
        put_times(self, self.n_out, "tau_ms", "tau_w_ms")
        put_vectors(self, self.n_out, "a", "b")
        put_vectors(self, self.n_out, "threshold", above=0)
        check_tick(self.tick_us, needed=True)
        if self.form not in ("adlif", "se_adlif"):
            raise ValueError(f"form must be adlif or se_adlif, got {self.form!r}")
        if self.form == "adlif" and self.q != 1:
            raise ValueError(f"q belongs to se_adlif: for adlif it must be 1, got {self.q}")
        put_bias(self, self.n_out)

    def decay(self) -> np.ndarray:
        """(n_out,) float32: al, what u keeps over one tick."""
        return decay(self.tau_ms, self.tick_us)

    def adaptation_decay(self) -> np.ndarray:
        """(n_out,) float32: be, what w keeps over one tick."""
        return decay(self.tau_w_ms, self.tick_us)

    def couplings(self) -> tuple[np.ndarray, np.ndarray]:
        """(n_out,) float32 each: what u and a spike add to w, a and b times (1 - be) q for se_adlif."""
        if self.form == "adlif":
            return self.a, self.b
        factor = (1 - self.adaptation_decay().astype(np.float64)) * self.q
        return (factor * self.a).astype(np.float32), (factor * self.b).astype(np.float32)
