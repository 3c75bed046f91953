"""Leaky integrate-and-fire neurons whose synapses, or dendrites, delay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.layer_spec.checks import (
    Dense,
    check_reset,
    check_tick,
    decay,
    delays,
    matrix,
    put,
    put_bias,
    put_times,
    put_vectors,
)
from pipeline.layer_spec.lif import Reset


@dataclass(frozen=True, eq=False)
class SynapticDelaySpec(Dense):
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
        put(self, "weight", matrix("weight", self.weight))
        check_tick(self.tick_us, needed=True)
        shapes = ((self.n_in, self.n_out), (1, self.n_out))
        put(self, "delay_us", delays("delay_us", self.delay_us, shapes, self.tick_us))
        put_times(self, self.n_out, "tau_ms")
        put_vectors(self, self.n_out, "threshold", above=0)
        check_reset(self.reset)
        put_bias(self, self.n_out)

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
