"""Spiking attention over all that came before, as a running sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.layer_spec.checks import check_tick, decay, matrix, put, put_times, put_vectors, vector


@dataclass(frozen=True, eq=False)
class LinearAttentionSpec:
    """Spiking attention without a softmax, which can be streamed: a sum S of keys times values, read by queries.

    Query, key and value neurons are leaky integrate-and-fire neurons behind one weight matrix; each head has n_keys / heads
    queries and keys, and n_out / heads values. At every tick, q, k and v being the spikes of that tick:

        u <- d u + sum of weight[i] over this tick's input spikes i; u >= threshold: a spike, and u <- u - threshold
        S_h <- g_h S_h + k_h^T v_h;   y_h = scale q_h S_h              of each head h
        o <- d_out o + y; o >= threshold_out: a spike of the layer, and o <- o - threshold_out

    weight (n_in, 2 n_keys + n_out): queries, keys, values; tau_ms, threshold of these neurons; tau_out_ms, threshold_out
    (n_out,); scale (n_out,); memory_ms (heads,): g = exp(-tick/memory), inf: nothing is forgotten; each also as one number
    (memory_ms as (heads,)). n_keys: queries, and keys, of all heads. tick_us: length of a tick.

    Source: Zhou et al. (2024), "Spikformer V2", Q (K^T V) * 0.125; summed over time as in Katharopoulos et al. (2020),
    "Transformers are RNNs", section 3.3.
    """

    weight: np.ndarray
    n_keys: int
    memory_ms: np.ndarray
    tau_ms: np.ndarray
    threshold: np.ndarray
    tau_out_ms: np.ndarray
    threshold_out: np.ndarray
    tick_us: int
    scale: np.ndarray | float = 0.125

    def __post_init__(self) -> None:
        put(self, "weight", matrix("weight", self.weight))
        hidden, memory_ms = self.weight.shape[1], np.asarray(self.memory_ms, np.float32)
        if self.n_keys < 1 or self.n_out < 1:
            raise ValueError(f"weight must have 2 n_keys + n_out columns, got {hidden} for n_keys {self.n_keys}")
        if memory_ms.ndim != 1 or not memory_ms.size or self.n_keys % memory_ms.size or self.n_out % memory_ms.size:
            raise ValueError(f"memory_ms must be (heads,), heads dividing {self.n_keys} keys and {self.n_out} values, "
                             f"got shape {memory_ms.shape}")
        put(self, "memory_ms", vector("memory_ms", memory_ms, memory_ms.size, least=0, finite=False))
        put_times(self, hidden, "tau_ms")
        put_vectors(self, hidden, "threshold", above=0)
        put_times(self, self.n_out, "tau_out_ms")
        put_vectors(self, self.n_out, "threshold_out", above=0)
        put(self, "scale", vector("scale", self.scale, self.n_out))
        check_tick(self.tick_us, needed=True)

    @property
    def n_in(self) -> int:
        return self.weight.shape[0]

    @property
    def n_out(self) -> int:
        return self.weight.shape[1] - 2 * self.n_keys

    @property
    def heads(self) -> int:
        return self.memory_ms.shape[0]

    def decay(self) -> np.ndarray:
        """(2 n_keys + n_out,) float32: what u keeps over one tick."""
        return decay(self.tau_ms, self.tick_us)

    def decay_out(self) -> np.ndarray:
        """(n_out,) float32: what o keeps over one tick."""
        return decay(self.tau_out_ms, self.tick_us)

    def memory(self) -> np.ndarray:
        """(heads,) float32: what S keeps over one tick."""
        return decay(self.memory_ms, self.tick_us)
