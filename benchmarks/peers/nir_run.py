"""Runs a NIR graph with one library, in that library's own environment.

python nir_run.py LIBRARY GRAPH INPUT.npy OUTPUT.npy TICK_S

INPUT (ticks, units...) holds 0 and 1; OUTPUT (ticks, units) the spikes that the library's own import of the graph gives.
"""

from __future__ import annotations

import sys
from typing import Any

import nir
import numpy as np
import torch


def norse(graph: Any, x: Any, tick_s: float) -> list[Any]:
    from norse.torch.utils.import_nir import from_nir

    network, state, out = from_nir(graph, ignore_warnings=True, dt=tick_s), None, []
    for tick in x:
        spikes, state = network(tick, state)
        out.append(spikes)
    return out


def snntorch(graph: Any, x: Any, tick_s: float) -> list[Any]:
    from snntorch.import_nir import import_from_nir

    assert tick_s == 1e-4, "its import knows this tick alone"
    network, state, out = import_from_nir(graph), None, []
    for tick in x:
        spikes, state = network(tick, state)
        out.append(spikes[0] if isinstance(spikes, tuple) else spikes)
    return out


def sinabs(graph: Any, x: Any, tick_s: float) -> list[Any]:
    from sinabs.nir import from_nir

    network = from_nir(graph, batch_size=1, dt=tick_s) if "dt" in from_nir.__code__.co_varnames else from_nir(graph, batch_size=1)
    out = []
    for tick in x:
        spikes = network(tick)
        out.append(spikes[0] if isinstance(spikes, tuple) else spikes)
    return out


def main() -> None:
    library, graph, given, result, tick_s = sys.argv[1:]
    torch.set_num_threads(1)
    x = torch.from_numpy(np.load(given)).float()[:, None]
    with torch.no_grad():
        out = {"norse": norse, "snntorch": snntorch, "sinabs": sinabs}[library](nir.read(graph), x, float(tick_s))
    np.save(result, np.stack([np.asarray(tick).reshape(-1) for tick in out]))


if __name__ == "__main__":
    main()
