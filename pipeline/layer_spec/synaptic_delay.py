"""Leaky integrate-and-fire neurons whose synapses, or dendrites, delay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.layer_spec.checks import check_tick, decay, delays, matrix, vector
from pipeline.layer_spec.lif import Reset


@dataclass(frozen=True, eq=False)
class SynapticDelaySpec:
    """Leaky integrate-and-fire neurons behind dense weights, each weight with a delay of its own.

    At every tick t, in this order: v <- d v + sum of w[i, j] over the spikes i of tick t - delay[i, j] (+ bias); where
    v >= threshold emit a spike and reset: v <- v - threshold (`subtract`) or v <- 0 (`to_zero`). d = exp(-tick/tau).

    weight (n_in, n_out); delay_us (n_in, n_out) int64, >= 0, whole ticks: one a synapse; or (1, n_out): one a dendrite, the
    same for all inputs of a neuron. tau_ms (n_out,) or one number, 0..inf; threshold (n_out,) or one number, > 0;
    tick_us: length of a tick; bias (n_out,) or None: a constant input of every tick.

    Source: Hammouamri, Khalfaoui-Hassani and Masquelier (2024), "Learning delays in spiking neural networks using dilated
    convolutions with learnable spacings", section 3.
    """

    weight: np.ndarray
    delay_us: np.ndarray
    tau_ms: np.ndarray
    threshold: np.ndarray
    tick_us: int
    reset: Reset = "subtract"
    bias: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", matrix("weight", self.weight))
        check_tick(self.tick_us, needed=True)
        shapes = ((self.n_in, self.n_out), (1, self.n_out))
        object.__setattr__(self, "delay_us", delays("delay_us", self.delay_us, shapes, self.tick_us))
        object.__setattr__(self, "tau_ms", vector("tau_ms", self.tau_ms, self.n_out, least=0, finite=False))
        object.__setattr__(self, "threshold", vector("threshold", self.threshold, self.n_out, above=0))
        if self.reset not in ("subtract", "to_zero"):
            raise ValueError(f"reset must be subtract or to_zero, got {self.reset!r}")
        if self.bias is not None:
            object.__setattr__(self, "bias", vector("bias", self.bias, self.n_out))

    @property
    def n_in(self) -> int:
        return self.weight.shape[0]

    @property
    def n_out(self) -> int:
        return self.weight.shape[1]

    @property
    def lead_ticks(self) -> int:
        """The least delay."""
        return int(self.delay_us.min()) // self.tick_us

    @property
    def reach_ticks(self) -> int:
        """The greatest delay: by how many ticks the output is longer than the input."""
        return int(self.delay_us.max()) // self.tick_us

    def decay(self) -> np.ndarray:
        """(n_out,) float32: what v keeps over one tick."""
        return decay(self.tau_ms, self.tick_us)
