"""Leaky integrate-and-fire neurons that hear each other, some time later."""

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
class RecurrentLIFSpec(Dense):
    """Leaky integrate-and-fire neurons behind dense weights, with recurrent weights and a recurrent delay of each neuron.

    At every tick t, in this order: v <- d v (+ bias) + sum of recurrent[j] over the spikes j of this layer at
    t - tick - delay[j] + sum of weight[i] over this tick's input spikes i; where v >= threshold emit a spike and reset:
    v <- v - threshold (`subtract`) or v <- 0 (`to_zero`). d = exp(-tick/tau). So a spike reaches the layer at the next tick,
    and its delay later.

    weight (n_in, n_out); recurrent (n_out, n_out): row j is what a spike of j adds; delay_us (n_out,) int64, >= 0, whole
    ticks; tau_ms (n_out,) or one number, 0..inf; threshold (n_out,) or one number, > 0; tick_us: length of a tick;
    bias (n_out,) or None: a constant input of every tick.

    Source: Queant, Rançon, Cottereau and Masquelier (2025), "DelRec: learning delays in recurrent spiking neural networks",
    section 3.
    """

    weight: np.ndarray
    recurrent: np.ndarray
    delay_us: np.ndarray
    tau_ms: np.ndarray
    threshold: np.ndarray
    tick_us: int
    reset: Reset = "subtract"
    bias: np.ndarray | None = None

    def __post_init__(self) -> None:
        put(self, "weight", matrix("weight", self.weight))
        put(self, "recurrent", matrix("recurrent", self.recurrent))
        if self.recurrent.shape != (self.n_out, self.n_out):
            raise ValueError(f"recurrent must have shape ({self.n_out}, {self.n_out}), got {self.recurrent.shape}")
        check_tick(self.tick_us, needed=True)
        put(self, "delay_us", delays("delay_us", self.delay_us, ((self.n_out,),), self.tick_us))
        put_times(self, self.n_out, "tau_ms")
        put_vectors(self, self.n_out, "threshold", above=0)
        check_reset(self.reset)
        put_bias(self, self.n_out)

    def decay(self) -> np.ndarray:
        """(n_out,) float32: what v keeps over one tick."""
        return decay(self.tau_ms, self.tick_us)
