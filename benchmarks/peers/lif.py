"""Runs one dense spiking net with one library, in that library's own environment, and tells how long it took and what spiked.

python lif.py LIBRARY NET ROUNDS prints a JSON line: `ms` of each round, and `spikes` of each layer. NET is an .npz with x
(ticks, n_in) of 0 and 1, weight_0, weight_1, ... (n_in, n_out), decay and threshold. One thread, float32, batch 1, no gradients,
state made anew for each round; what each library is given is the form that it takes, made before the clock starts. The neuron is
v <- decay v + input, a spike where v is above the threshold, v <- v - threshold: as near to it as the library comes.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Run = Callable[[], list[int]]  # one pass over all ticks; how many spikes each layer gave


def numpy_loop(x: np.ndarray, weights: list[np.ndarray], decay: float, threshold: float) -> Run:
    d, theta = np.float32(decay), np.float32(threshold)

    def run() -> list[int]:
        v = [np.zeros(w.shape[1], np.float32) for w in weights]
        total = [0] * len(weights)
        for tick in x:
            spikes = tick
            for layer, w in enumerate(weights):
                v[layer] *= d
                v[layer] += spikes @ w
                spikes = (v[layer] > theta).astype(np.float32)
                v[layer] -= spikes * theta
                total[layer] += int(spikes.sum())
        return total

    return run


def modules(x: np.ndarray, weights: list[np.ndarray], neurons: Callable[[], Any], call: Callable[[Any, Any], Any],
            axis: int) -> Run:  # fmt: skip
    """A linear map over the whole sequence, then the library's neurons over it, for each layer. axis: that of the batch."""
    import torch

    torch.set_num_threads(1)
    sequence = torch.from_numpy(x).unsqueeze(axis)
    matrices = [torch.from_numpy(np.ascontiguousarray(w.T)) for w in weights]

    @torch.no_grad()
    def run() -> list[int]:
        spikes, total = sequence, []
        for matrix in matrices:
            spikes = call(neurons(), torch.nn.functional.linear(spikes, matrix))
            total.append(int(spikes.sum()))
        return total

    return run


def sinabs(x: np.ndarray, weights: list[np.ndarray], decay: float, threshold: float) -> Run:
    import torch
    from sinabs.activation import MembraneSubtract, SingleSpike
    from sinabs.layers import LIF

    def neurons() -> Any:
        return LIF(tau_mem=-1 / math.log(decay), spike_threshold=torch.tensor(threshold), spike_fn=SingleSpike,
                   reset_fn=MembraneSubtract(), norm_input=False)

    return modules(x, weights, neurons, lambda layer, sequence: layer(sequence), 0)


def spikingjelly(x: np.ndarray, weights: list[np.ndarray], decay: float, threshold: float) -> Run:
    from spikingjelly.activation_based import neuron

    def neurons() -> Any:
        return neuron.LIFNode(tau=1 / (1 - decay), decay_input=False, v_threshold=threshold, v_reset=None, step_mode="m").eval()

    return modules(x, weights, neurons, lambda layer, sequence: layer(sequence), 1)


def snntorch(x: np.ndarray, weights: list[np.ndarray], decay: float, threshold: float) -> Run:
    import torch
    from snntorch import Leaky

    def steps(layer: Any, sequence: Any) -> Any:
        v, out = layer.init_leaky(), []
        for tick in sequence:
            spikes, v = layer(tick, v)
            out.append(spikes)
        return torch.stack(out)

    return modules(x, weights, lambda: Leaky(beta=decay, threshold=threshold, reset_delay=False), steps, 1)


def norse(x: np.ndarray, weights: list[np.ndarray], decay: float, threshold: float) -> Run:
    import torch
    from norse.torch import LIFBoxCell, LIFBoxParameters, Lift

    parameters = LIFBoxParameters(tau_mem_inv=torch.tensor((1 - decay) * 1000), v_th=torch.tensor(threshold))
    weights = [w / (1 - decay) for w in weights]  # norse scales its input by dt / tau; its reset is to 0
    return modules(x, weights, lambda: Lift(LIFBoxCell(p=parameters, dt=0.001)), lambda layer, sequence: layer(sequence)[0], 1)


def brian2(x: np.ndarray, weights: list[np.ndarray], decay: float, threshold: float) -> Run:
    """C++ standalone: the compiled program's own time of its loop. A layer's spikes reach the next one at the next tick."""
    import brian2 as b

    folder = tempfile.mkdtemp()
    b.set_device("cpp_standalone", directory=folder, build_on_run=False)
    b.prefs.core.default_float_dtype = np.float32
    b.defaultclock.dt = 1 * b.ms
    ticks, units = np.nonzero(x)
    groups = [b.SpikeGeneratorGroup(x.shape[1], units, ticks * b.ms)]
    net, monitors = b.Network(groups[0]), []
    net.schedule = ["start", "groups", "synapses", "thresholds", "resets", "end"]
    tau = -1 / math.log(decay) * b.ms
    for w in weights:
        groups.append(b.NeuronGroup(w.shape[1], "dv/dt = -v / tau : 1", threshold=f"v > {threshold}", reset=f"v -= {threshold}",
                                    method="exact", namespace={"tau": tau}))
        synapses = b.Synapses(groups[-2], groups[-1], "w : 1", on_pre="v_post += w")
        synapses.connect()
        synapses.w = w.ravel()
        monitors.append(b.SpikeMonitor(groups[-1], record=False))
        net.add(groups[-1], synapses, monitors[-1])
    net.run(x.shape[0] * b.ms)
    b.device.build(directory=folder, compile=True, run=True, debug=False)

    def run() -> list[int]:
        b.device.run(with_output=False)
        run.seconds = b.device._last_run_time  # type: ignore[attr-defined]
        return [int(monitor.num_spikes) for monitor in monitors]

    return run


LIBRARIES = {f.__name__.removesuffix("_loop"): f for f in (numpy_loop, sinabs, spikingjelly, snntorch, norse, brian2)}


def main() -> None:
    library, path, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with np.load(path) as net:
        weights = [net[f"weight_{k}"] for k in range(sum(name.startswith("weight_") for name in net))]
        run = LIBRARIES[library](net["x"], weights, float(net["decay"]), float(net["threshold"]))
    spikes, ms = run(), []  # the first warms up
    for _ in range(rounds):
        begin_s = time.perf_counter()
        run()
        ms.append(getattr(run, "seconds", time.perf_counter() - begin_s) * 1e3)
    print(json.dumps({"ms": ms, "spikes": spikes}))


if __name__ == "__main__":
    main()
