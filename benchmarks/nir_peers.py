"""The same NIR graph in spikeline and in the simulators that read NIR: spikes compared, tick by tick and neuron by neuron.

Seeded networks (dense, current-based, convolutional, recurrent) are written to a NIR file, imported by spikeline and by each
peer's own importer in an environment of its own, and given the same random spikes. Where counts differ, the neurons are
counted; where the peer's convention explains it, a plain loop of that convention must give the peer's spikes (explained).

python -m benchmarks.nir_peers [--json FILE]
"""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import nir
import numpy as np

from benchmarks.peers import environment
from benchmarks.report import Row, arguments, publish
from pipeline.layer_spec import DelaySpec, ReadoutSpec, spec_type
from pipeline.packet import Format, Packet, join
from spikeline.nir_exchange.order import read_graph
from spikeline.nir_exchange.read import Options, import_graph

TAU_TICKS = 10.0


class Library(NamedTuple):
    """packages; length of a tick, s; how a leak over a tick is taken; the resistance r that its import takes; its reset.

    norse takes r for 1. snnTorch wants r = tau / tick, which makes a spike add its weight. sinabs reads times in ticks, ignores r
    (a spike adds its weight), subtracts the threshold, and fires several times in a tick where v is several thresholds.
    """

    packages: tuple[str, ...]
    tick_s: float
    method: Any
    r: float
    reset: Any = "to-zero"

    @property
    def scale(self) -> float:
        """Of weights, so that a spike adds about as much to v everywhere."""
        keep = 1 - 1 / TAU_TICKS if self.method == "euler" else math.exp(-1 / TAU_TICKS)
        return 1 / (self.r * (1 - keep))


SCRIPT = Path(__file__).parent / "peers" / "nir_run.py"
LIBRARIES = {
    "norse": Library(("torch==2.13.0", "norse==1.1.0"), 1e-3, "euler", 1.0),
    "snntorch": Library(("torch==2.13.0", "numpy", "snntorch==1.0.0", "nir==1.0.8", "nirtorch==2.6"), 1e-4, "euler", TAU_TICKS),
    "sinabs": Library(("torch==2.13.0", "sinabs==3.1.3"), 1.0, "exact", 1 / (1 - math.exp(-1 / TAU_TICKS)), "subtract"),
}
TICKS, SHARE = 300, 0.1


def lif(shape: tuple[int, ...], library: Library) -> Any:
    one = np.ones(shape, np.float32)
    return nir.LIF(tau=TAU_TICKS * library.tick_s * one, r=library.r * one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)


def dense(rng: np.random.Generator, library: Library) -> Any:
    scale = library.scale
    first, second = (scale * rng.normal(0.03, 0.4, shape).astype(np.float32) for shape in ((40, 30), (12, 40)))
    into, onward = nir.Affine(first, np.full(40, 0.02 * scale, np.float32)), nir.Affine(second, np.zeros(12, np.float32))
    return nir.NIRGraph.from_list(nir.Input(np.array([30])), into, lif((40,), library), onward, lif((12,), library))


def current_based(rng: np.random.Generator, library: Library) -> Any:
    one, w_in = np.ones(40, np.float32), 5.0 if library.r == TAU_TICKS else 1.0
    scale = library.scale * 5 / w_in
    tick_s = library.tick_s
    node = nir.CubaLIF(tau_syn=5 * tick_s * one, tau_mem=TAU_TICKS * tick_s * one, r=library.r * one, v_leak=0 * one,
                       v_threshold=one, v_reset=0 * one, w_in=w_in * one)
    weight = scale * rng.normal(0.02, 0.15, (40, 30)).astype(np.float32)
    return nir.NIRGraph.from_list(nir.Input(np.array([30])), nir.Affine(weight, np.zeros(40, np.float32)), node)


def convolutional(rng: np.random.Generator, library: Library) -> Any:
    scale = library.scale
    kernel = scale * rng.normal(0.05, 0.4, (4, 2, 3, 3)).astype(np.float32)
    conv = nir.Conv2d(input_shape=(8, 8), weight=kernel, stride=2, padding=1, dilation=1, groups=1, bias=np.zeros(4, np.float32))
    last = scale * rng.normal(0.02, 0.4, (12, 64)).astype(np.float32)
    return nir.NIRGraph.from_list(nir.Input(np.array([2, 8, 8])), conv, lif((4, 4, 4), library),
                                  nir.Flatten({"input": np.array([4, 4, 4])}, 0, -1),
                                  nir.Affine(last, np.zeros(12, np.float32)), lif((12,), library))


NETWORKS: dict[str, Callable[[np.random.Generator, Library], Any]] = {
    "dense": dense, "current-based": current_based, "convolutional": convolutional,
}  # fmt: skip


def ours(path: Path, x: np.ndarray, library: Library) -> np.ndarray:
    """(ticks, units): what spikeline makes of x."""
    import importlib

    tick_us = round(library.tick_s * 1e6)
    model, _ = import_graph(read_graph(path), Options(tick_us, library.method, library.reset))
    tick, unit = np.nonzero(x.reshape(len(x), -1))
    packet, format = Packet(0, len(x) * tick_us, tick * tick_us, unit.astype(np.uint32), None, last=True), model.input
    for spec in model.layers.values():
        if isinstance(spec, ReadoutSpec):
            break
        operator = importlib.import_module(f"operators.{spec_type(spec)}").make(spec, format)(None)
        packet = join(operator.process(packet), operator.finish())
        format = format if isinstance(spec, DelaySpec) else Format("spikes", (spec.n_out,), tick_us)
    out = np.zeros((len(x), format.size))
    np.add.at(out, (packet.t_us // tick_us, packet.unit), 1)
    return out


def compare(name: str, peer: str, python: Path, folder: Path) -> Row:
    library = LIBRARIES[peer]
    graph = NETWORKS[name](np.random.default_rng(3), library)
    shape = tuple(graph.input_type["input"]) if "input" in graph.input_type else (30,)
    x = (np.random.default_rng(4).random((TICKS, *shape)) < SHARE).astype(np.float32)
    files = [folder / f"{peer}_{name}.{suffix}" for suffix in ("nir", "in.npy", "out.npy")]
    nir.write(files[0], graph)
    if peer == "sinabs":
        _without_resets(files[0])
    np.save(files[1], x)
    done = subprocess.run([str(python), str(SCRIPT), peer, *map(str, files), str(library.tick_s)], capture_output=True, text=True,
                          check=False)
    mine = ours(files[0], x, library)
    row: Row = {"network": name, "library": peer, "method": library.method, "spikes": int(mine.sum())}
    if done.returncode:
        return row | {"refused": done.stderr.strip().splitlines()[-1][:70]}
    theirs = np.load(files[2])
    if (theirs != np.rint(theirs)).any():
        return row | {"refused": "gives values where spikes are due: its import leaves the neurons out"}
    if peer == "sinabs":
        row["explained"] = bool((fired_several_times(graph, x) == theirs).all())
    return row | {"their spikes": int(theirs.sum()), "neurons": mine.shape[1],
                  "neurons with other counts": int((mine.sum(0) != theirs.sum(0)).sum()),
                  "spikes at other ticks": int((mine != theirs).sum())}


def fired_several_times(graph: Any, x: np.ndarray) -> np.ndarray:
    """What Affine and LIF nodes give where a neuron fires once for every threshold that v has reached, as in sinabs."""
    keep = np.float32(math.exp(-1 / TAU_TICKS))
    for name, node in graph.nodes.items():
        if isinstance(node, nir.Affine):
            x = x @ node.weight.T + node.bias
        elif isinstance(node, nir.LIF):
            v, out = np.zeros(x.shape[1:], np.float32), np.zeros_like(x)
            for tick, current in enumerate(x):
                v = keep * v + current
                out[tick] = np.floor(np.maximum(v, 0))
                v = v - out[tick]
            x = out
        else:
            assert isinstance(node, nir.Input | nir.Output), name
    return x


def _without_resets(path: Path) -> None:
    """sinabs wants an older nir, whose neurons have no v_reset: it was added later, with 0 as what its absence means."""
    import h5py

    with h5py.File(path, "r+") as file:
        for node in file["node/nodes"].values():
            if "v_reset" in node:
                del node["v_reset"]


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for peer, library in LIBRARIES.items():
            python = environment(f"nir-{peer}" if peer == "snntorch" else peer, *library.packages)
            rows += [compare(name, peer, python, Path(folder)) for name in NETWORKS] if python else []
    publish("NIR: the same graph here and in its peers", rows, options.json)


if __name__ == "__main__":
    main()
