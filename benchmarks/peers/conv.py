"""Runs a convolutional spiking network, dense at every tick, in one library's own environment.

python conv.py LIBRARY IN.npz ROUNDS: IN holds t_us, unit, the number of ticks, tick_us, d (what v keeps over a tick) and
the weights first (16, 2, 5, 5), second (32, 16, 3, 3), head (28800, 11), all thresholds being 1. Prints a JSON line: `seconds`
of each round, whole sequence in, spikes out, on one thread, and `spikes` of each layer. Each library runs in the way that is
fastest for it: convolutions over all ticks at once, its own neurons over the sequence where it can.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

Neurons = Callable[[Any], Any]  # (T, 1, ...) currents to spikes


def sinabs(d: float) -> Neurons:
    import sinabs.layers as sl

    layer = sl.LIF(tau_mem=-1.0 / float(np.log(d)), spike_threshold=torch.tensor(1.0), norm_input=False)

    def run(current: Any) -> Any:
        layer.reset_states()
        return layer(current.transpose(0, 1)).transpose(0, 1)

    return run


def spikingjelly(d: float) -> Neurons:
    from spikingjelly.activation_based import functional, neuron

    layer = neuron.LIFNode(tau=1.0 / (1.0 - d), decay_input=False, v_threshold=1.0, v_reset=None, step_mode="m").eval()

    def run(current: Any) -> Any:
        functional.reset_net(layer)
        return layer(current)

    return run


def norse(d: float) -> Neurons:
    """v <- v + dt / tau (current - v): the current is scaled to be added as it is. It resets to zero."""
    from norse.torch import LIFBoxCell, LIFBoxParameters

    cell = LIFBoxCell(p=LIFBoxParameters(tau_mem_inv=torch.tensor((1.0 - d) * 1000)), dt=0.001)

    def run(current: Any) -> Any:
        state, spikes = None, []
        for tick in current / (1.0 - d):
            spike, state = cell(tick, state)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


def snntorch(d: float) -> Neurons:
    import snntorch as snn

    layer = snn.Leaky(beta=d, threshold=1.0, reset_mechanism="subtract")

    def run(current: Any) -> Any:
        v, spikes = layer.init_leaky(), []
        for tick in current:
            spike, v = layer(tick, v)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


LIBRARIES = {"sinabs": sinabs, "spikingjelly": spikingjelly, "norse": norse, "snntorch": snntorch}


def main() -> None:
    library, path, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(1)
    given = dict(np.load(path))
    ticks, tick_us, d = int(given["ticks"]), int(given["tick_us"]), float(given["d"])
    counts = np.bincount(given["t_us"] // tick_us * (2 * 128 * 128) + given["unit"], minlength=ticks * 2 * 128 * 128)
    x = torch.from_numpy(counts.reshape(ticks, 2, 128, 128).astype(np.float32))
    first, second, head = (torch.from_numpy(given[name]) for name in ("first", "second", "head"))
    layers = [LIBRARIES[library](d) for _ in range(3)]
    seconds, spikes = [], [0, 0, 0]
    with torch.inference_mode():
        for _ in range(rounds + 1):  # the first warms up
            begin_s = time.perf_counter()
            a = layers[0](torch.nn.functional.conv2d(x, first, stride=2)[:, None])
            b = layers[1](torch.nn.functional.conv2d(a[:, 0], second, stride=2)[:, None])
            c = layers[2]((b.flatten(1) @ head)[:, None])
            seconds.append(time.perf_counter() - begin_s)
            spikes = [int(each.sum()) for each in (a, b, c)]
    print(json.dumps({"seconds": seconds[1:], "spikes": spikes}))


if __name__ == "__main__":
    main()
