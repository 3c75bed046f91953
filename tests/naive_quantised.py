"""The slow plain truth of quantised_lif: its sums are Python integers."""

from __future__ import annotations

import numpy as np

from pipeline.layer_spec import QuantisedLIFSpec
from pipeline.packet import Packet
from tests.naive import by_tick, f32, silence_ceiling, silent_ticks


def quantised_lif(spec: QuantisedLIFSpec, episode: Packet) -> tuple[list[tuple[int, int]], list[np.float32]]:
    """The spikes (t_us, unit) and v at the end. A tick is run if it has input, or if after the tick before it some neuron was
    where silence could bring it to its threshold."""
    tick_us, codes = spec.tick_us or 1, spec.codes().tolist()
    inputs, ceiling = by_tick(episode, tick_us), [silence_ceiling(spec, j) for j in range(spec.n_out)]
    last, stop = episode.begin_us // tick_us - 1, -(-episode.end_us // tick_us)
    v, spikes = [f32(0)] * spec.n_out, []
    while True:
        restless = any(v[j] >= ceiling[j] for j in range(spec.n_out))
        tick = last + 1 if restless else min((k for k in inputs if k > last), default=stop)
        if tick >= stop:
            return spikes, v
        for j in range(spec.n_out):
            n = sum(codes[i][j] for _, i, _ in inputs.get(tick, ()))
            v[j] = silent_ticks(spec, j, v[j], tick - last) + spec.scale[j] * f32(n)
            if v[j] >= spec.threshold[j]:
                spikes.append((tick * tick_us, j))
                v[j] = v[j] - spec.threshold[j] if spec.reset == "subtract" else f32(0)
        last = tick
