"""The same NIR graph in spikeline and in the simulators that read NIR: spikes compared, tick by tick and neuron by neuron.

Seeded networks (dense, current-based, convolutional, recurrent) are written to a NIR file, imported by spikeline and by each
peer's own importer in an environment of its own, and given the same random spikes. Where counts differ, the neurons are
counted and the peer's known convention is named; see docs/nir.md.

python -m benchmarks.nir_peers [--json FILE]
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np

from benchmarks.peers import environment
from benchmarks.report import Row, arguments, publish
from pipeline.layer_spec import DelaySpec, ReadoutSpec, spec_type
from pipeline.packet import Format, Packet, join
from spikeline.nir_exchange.order import read_graph
from spikeline.nir_exchange.read import Options, import_graph

SCRIPT = Path(__file__).parent / "peers" / "nir_run.py"
LIBRARIES = {  # packages; length of a tick, s; how each takes a leak over a tick; whether r is tau / tick there (else 1)
    "norse": (("torch==2.13.0", "norse==1.1.0"), 1e-3, "euler", False),
    "snntorch": (("torch==2.13.0", "numpy", "snntorch==1.0.0", "nir==1.0.8", "nirtorch==2.6"), 1e-4, "euler", True),
    "sinabs": (("torch==2.13.0", "sinabs==3.1.3"), 1e-3, "exact", False),
}
TICKS, SHARE = 300, 0.1


def lif(shape: tuple[int, ...], tick_s: float, unit: bool) -> Any:
    one = np.ones(shape, np.float32)
    r = 10.0 if unit else 1.0
    return nir.LIF(tau=10 * tick_s * one, r=r * one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)


def dense(rng: np.random.Generator, tick_s: float, unit: bool) -> Any:
    scale = 1.0 if unit else 10.0
    first, second = (scale * rng.normal(0.03, 0.4, shape).astype(np.float32) for shape in ((40, 30), (12, 40)))
    return nir.NIRGraph.from_list(nir.Input(np.array([30])), nir.Affine(first, np.full(40, 0.02 * scale, np.float32)),
                                  lif((40,), tick_s, unit), nir.Affine(second, np.zeros(12, np.float32)), lif((12,), tick_s, unit))


def current_based(rng: np.random.Generator, tick_s: float, unit: bool) -> Any:
    scale, one = (1.0 if unit else 50.0), np.ones(40, np.float32)
    node = nir.CubaLIF(tau_syn=5 * tick_s * one, tau_mem=10 * tick_s * one, r=(10.0 if unit else 1.0) * one, v_leak=0 * one,
                       v_threshold=one, v_reset=0 * one, w_in=(5.0 if unit else 1.0) * one)
    weight = scale * rng.normal(0.02, 0.15, (40, 30)).astype(np.float32)
    return nir.NIRGraph.from_list(nir.Input(np.array([30])), nir.Affine(weight, np.zeros(40, np.float32)), node)


def convolutional(rng: np.random.Generator, tick_s: float, unit: bool) -> Any:
    scale = 1.0 if unit else 10.0
    kernel = scale * rng.normal(0.05, 0.4, (4, 2, 3, 3)).astype(np.float32)
    conv = nir.Conv2d(input_shape=(8, 8), weight=kernel, stride=2, padding=1, dilation=1, groups=1, bias=np.zeros(4, np.float32))
    last = scale * rng.normal(0.02, 0.4, (12, 64)).astype(np.float32)
    return nir.NIRGraph.from_list(nir.Input(np.array([2, 8, 8])), conv, lif((4, 4, 4), tick_s, unit),
                                  nir.Flatten({"input": np.array([4, 4, 4])}, 0, -1),
                                  nir.Affine(last, np.zeros(12, np.float32)), lif((12,), tick_s, unit))


NETWORKS: dict[str, Callable[[np.random.Generator, float, bool], Any]] = {
    "dense": dense, "current-based": current_based, "convolutional": convolutional,
}  # fmt: skip


def ours(path: Path, x: np.ndarray, tick_s: float, method: Any) -> np.ndarray:
    """(ticks, units): what spikeline makes of x."""
    import importlib

    tick_us = round(tick_s * 1e6)
    model, _ = import_graph(read_graph(path), Options(tick_us, method))
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


def compare(name: str, library: str, python: Path, folder: Path) -> Row:
    _, tick_s, method, unit = LIBRARIES[library]
    graph = NETWORKS[name](np.random.default_rng(3), tick_s, unit)
    shape = tuple(graph.input_type["input"]) if "input" in graph.input_type else (30,)
    x = (np.random.default_rng(4).random((TICKS, *shape)) < SHARE).astype(np.float32)
    files = [folder / f"{library}_{name}.{suffix}" for suffix in ("nir", "in.npy", "out.npy")]
    nir.write(files[0], graph)
    np.save(files[1], x)
    done = subprocess.run([str(python), str(SCRIPT), library, *map(str, files), str(tick_s)], capture_output=True, text=True,
                          check=False)
    mine = ours(files[0], x, tick_s, method)
    row: Row = {"network": name, "library": library, "method": method, "spikes": int(mine.sum())}
    if done.returncode:
        return row | {"refused": done.stderr.strip().splitlines()[-1][:70]}
    theirs = np.load(files[2])
    return row | {"their spikes": int(theirs.sum()), "neurons": mine.shape[1],
                  "neurons with other counts": int((mine.sum(0) != theirs.sum(0)).sum()),
                  "spikes at other ticks": int((mine != theirs).sum())}


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for library, (packages, *_) in LIBRARIES.items():
            python = environment(f"nir-{library}" if library == "snntorch" else library, *packages)
            rows += [compare(name, library, python, Path(folder)) for name in NETWORKS] if python else []
    publish("NIR: the same graph here and in its peers", rows, options.json)


if __name__ == "__main__":
    main()
