"""Leaky integrate-and-fire neurons whose input is balanced by inhibitory ones, in place of normalisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.layer_spec.checks import check_reset, check_tick, decay, matrix, put, put_bias, put_times, put_vectors
from pipeline.layer_spec.lif import Reset


@dataclass(frozen=True, eq=False)
class EILIFSpec:
    """Leaky integrate-and-fire neurons with lateral inhibition that subtracts and divides, all weights at least 0.

    At every tick, with x the counts of this tick's input spikes, in this order:

        e = x weight_e, h = x weight_i                                      excitation, and the activity of inhibitory neurons
        I = gain_e (e - h weight_ei) / ((gain_i h) weight_ei), or 0 where what it is divided by is not above 0
        v <- d v + bias + I; where v >= threshold a spike, and v <- v - threshold (`subtract`) or v <- 0 (`to_zero`)

    weight_e (n_in, n_out), weight_i (n_in, n_inhibitory), weight_ei (n_inhibitory, n_out): >= 0; gain_e (n_out,), gain_i
    (n_inhibitory,) > 0, or one number; tau_ms (n_out,) or one number, 0..inf; threshold (n_out,) or one number, > 0;
    bias (n_out,) or None: a constant input of every tick; tick_us: length of a tick. d = exp(-tick/tau).

    Source: DeepEISNN (2025): deep spiking networks of excitatory and inhibitory neurons without normalisation; there one
    inhibitory neuron for every four excitatory ones.
    """

    weight_e: np.ndarray
    weight_i: np.ndarray
    weight_ei: np.ndarray
    gain_e: np.ndarray
    gain_i: np.ndarray
    tau_ms: np.ndarray
    threshold: np.ndarray
    tick_us: int
    reset: Reset = "subtract"
    bias: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("weight_e", "weight_i", "weight_ei"):
            put(self, name, matrix(name, getattr(self, name)))
            if (getattr(self, name) < 0).any():
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name).min():g}: inhibition has its own neurons")
        n_inhibitory = self.weight_i.shape[1]
        if self.weight_i.shape[0] != self.n_in or self.weight_ei.shape != (n_inhibitory, self.n_out):
            raise ValueError("weight_e (n_in, n_out), weight_i (n_in, n_inhibitory) and weight_ei (n_inhibitory, n_out) must fit "
                             f"together, got {self.weight_e.shape}, {self.weight_i.shape} and {self.weight_ei.shape}")
        put_vectors(self, self.n_out, "gain_e", above=0)
        put_vectors(self, n_inhibitory, "gain_i", above=0)
        put_times(self, self.n_out, "tau_ms")
        put_vectors(self, self.n_out, "threshold", above=0)
        check_tick(self.tick_us, needed=True)
        check_reset(self.reset)
        put_bias(self, self.n_out)

    @property
    def n_in(self) -> int:
        return self.weight_e.shape[0]

    @property
    def n_out(self) -> int:
        return self.weight_e.shape[1]

    def decay(self) -> np.ndarray:
        """(n_out,) float32: what v keeps over one tick."""
        return decay(self.tau_ms, self.tick_us)
