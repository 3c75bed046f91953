"""Milliseconds a sample of dense and convolutional spiking nets on one thread, beside their roofline and other libraries.

The nets, inputs, truth and roofline of net A (700-128-128-20, 1000 ticks of 1 ms, 8000 spikes) and of net B (784-2000-10, 100
ticks, 10 %) are those of benchmarks/yardstick.py. Ours is the chain of `lif` operators, made from nothing: one packet with
all ticks goes through `process` and `finish` of each, its output into the next. The process stays on one core.

`ms`: the median; roofline and ours are measured in turns, so that both meet the same machine. `equal`: every spike of every
layer is the reference's. The yardstick fires where v > threshold, spikeline where v >= threshold: the same here, as
`at_threshold`, how often the reference met v == threshold, is 0. `gsops`: 10^9 synaptic operations (weights of the spikes
that came in) a second. `net_a_1bit`, `net_b_1bit` and so on: `quantised_lif`, in turns with the float32 net (`net_a_1bit_busy`:
made to fire about as often); `weight_bytes` in the file, `weight_bytes_at_work` in memory. `rates`: spikes a neuron and tick,
input first. `state_bytes`: what a snapshot of all layers holds. Peers run in environments of their own with one thread (brian2:
C++ standalone, its loop alone); where their law differs so do their spikes.
`conv`: the row of benchmarks/lif_conv.py.

Pictures of how time grows with width, input rate, depth, packet size and streams on as many cores go to build/lif/.

python -m benchmarks.lif [--json FILE] [--no-peers] [--no-curves]
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # read when the libraries below are imported

import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import yardstick
from benchmarks.lif_chain import Chain, spec_layers, whole
from benchmarks.peers import environment
from benchmarks.report import Row, arguments, machine
from operators import quantised_lif
from pipeline.layer_spec import QuantisedLIFSpec
from pipeline.layer_spec.quantised_lif import pack, quantise
from pipeline.packet import Packet

ROUNDS = 101
AS_BUSY = 1.25  # the gain with which net A fires at 1 bit about as often as in float32
PEER_ROUNDS = {"net_a": 3, "net_b": 5}
LIBRARIES: dict[str, tuple[str, ...]] = {
    "brian2": ("brian2==2.9.0", "numpy==1.26.4", "setuptools"),
    "sinabs": ("torch==2.13.0", "sinabs==3.1.3"),
    "spikingjelly": ("torch==2.13.0", "spikingjelly==2.0.0"),
    "snntorch": ("torch==2.13.0", "numpy", "snntorch==1.0.0"),
    "norse": ("torch==2.13.0", "norse==1.1.0"),
}


def pinned() -> int | None:
    """Keeps this process, and those it starts, on one core; which one. None where the system cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def net(name: str) -> Row:
    """Our row of one of the yardstick's nets."""
    x, weights = yardstick.make(name)
    truth = yardstick.reference(x, weights)
    chain, packet = Chain(spec_layers(weights)), whole(x)
    ms, roofline = in_turns(name, chain, packet)
    out = chain.outputs(packet)
    units = [x.shape[1], *(w.shape[1] for w in weights)]
    return {
        "net": name, "ms": ms, "roofline_ms": roofline, "ratio_to_roofline": ms / roofline,
        "equal": all(same_spikes(got, wanted) for got, wanted in zip(out, truth[1:], strict=True)),
        "at_threshold": met_exactly(x, weights),
        "peers": {}, "gsops": sum(unit.size * w.shape[1] for (_, unit), w in zip(truth, weights, strict=False)) / ms / 1e6,
        "rates": [unit.size / x.shape[0] / n for (_, unit), n in zip(truth, units, strict=True)],
        "state_bytes": chain.state_bytes(), "weight_bytes": sum(w.nbytes for w in weights),
    }  # fmt: skip


def few_bits(name: str, bits: int, gain: float = 1.0) -> Row:
    """A net with weights of so many bits, in turns with the float32 layers; equal: to NumPy's scale (x @ codes), every spike.

    It fires less than the float32 net, so `gsops` tells what either does in a second too, unless `gain` makes up for that.
    """
    x, weights = yardstick.make(name)
    coded = [(codes, scale * np.float32(gain)) for codes, scale in (quantise(w, bits) for w in weights)]
    specs = [QuantisedLIFSpec(pack(codes, bits), scale, 20.0, 1.0, bits, 1000) for codes, scale in coded]
    chain, floats, packet = Chain(specs, quantised_lif), Chain(spec_layers(weights)), whole(x)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(chain.seconds(packet) * 1e3)
        theirs.append(floats.seconds(packet) * 1e3)
    roofline = yardstick.roofline_ms(name, 11)
    v, spikes, wanted = [np.zeros(w.shape[1], np.float32) for w in weights], x, []
    for layer, (codes, scale) in enumerate(coded):
        fired = np.zeros((x.shape[0], codes.shape[1]), np.float32)
        for tick, current in enumerate(scale * (spikes @ codes.astype(np.float32))):
            v[layer] = v[layer] * yardstick.DECAY + current
            fired[tick] = v[layer] >= yardstick.THRESHOLD
            v[layer] -= fired[tick] * yardstick.THRESHOLD
        spikes = fired
        wanted.append(np.nonzero(fired))
    out, ms = chain.outputs(packet), statistics.median(ours)
    operations, of_floats = (sum(part.n * w.shape[1] for part, w in zip([packet, *parts], weights, strict=False))
                             for parts in (out, floats.outputs(packet)))
    return {
        "net": f"{name}_{bits}bit" + ("_busy" if gain != 1 else ""),
        "ms": ms, "roofline_ms": roofline, "ratio_to_roofline": ms / roofline,
        "equal": all(same_spikes(got, truth) for got, truth in zip(out, wanted, strict=True)),
        "float32_ms": statistics.median(theirs), "times_float32_speed": statistics.median(theirs) / ms,
        "gsops": operations / ms / 1e6, "float32_gsops": of_floats / statistics.median(theirs) / 1e6,
        "rates": [x.mean(), *(tick.size / x.shape[0] / w.shape[1] for (tick, _), w in zip(wanted, weights, strict=True))],
        "state_bytes": chain.state_bytes(), "weight_bytes": sum(spec.packed.nbytes for spec in specs),
        "float32_weight_bytes": sum(w.nbytes for w in weights), "peers": {},
        "weight_bytes_at_work": sum(quantised_lif.Law(spec).codes.nbytes for spec in specs),
    }  # fmt: skip


def in_turns(name: str, chain: Chain, packet: Packet) -> tuple[float, float]:
    """Median milliseconds of the chain and of the roofline, each time one after the other."""
    ours, roofline = [], []
    for _ in range(ROUNDS // 10):
        roofline.append(yardstick.roofline_ms(name, 11))
        ours += [chain.seconds(packet) * 1e3 for _ in range(11)]
    return statistics.median(ours), statistics.median(roofline)


def same_spikes(got: Packet, wanted: tuple[np.ndarray, np.ndarray]) -> bool:
    tick, unit = wanted
    return np.array_equal(got.t_us, tick * 1000) and np.array_equal(got.unit, unit)


def met_exactly(x: np.ndarray, weights: list[np.ndarray]) -> int:
    """How often the reference's v is the threshold itself, where > and >= would differ."""
    v, met = [np.zeros(w.shape[1], np.float32) for w in weights], 0
    for tick in x:
        spikes = np.flatnonzero(tick)
        for layer, w in enumerate(weights):
            v[layer] *= yardstick.DECAY
            for i in spikes:
                v[layer] += w[i]
            met += int((v[layer] == yardstick.THRESHOLD).sum())
            spikes = np.flatnonzero(v[layer] > yardstick.THRESHOLD)
            v[layer][spikes] -= yardstick.THRESHOLD
    return met


def peers(name: str) -> Row:
    """Milliseconds of each library on one of the yardstick's nets, and how many spikes its layers gave."""
    x, weights = yardstick.make(name)
    found: Row = {"peers": {}, "peer_spikes": {}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.npz"
        named = {f"weight_{k}": w for k, w in enumerate(weights)}
        np.savez(path, x=x, decay=yardstick.DECAY, threshold=yardstick.THRESHOLD, **named)
        pythons = {library: environment(library, *needs) for library, needs in LIBRARIES.items()}
        for library, python in [("numpy", Path(sys.executable)), *pythons.items()]:
            if python is None:
                continue
            run = [str(python), str(Path(__file__).parent / "peers" / "lif.py"), library, str(path), str(PEER_ROUNDS[name])]
            done = subprocess.run(run, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{library} is left out: {(done.stderr.strip() or 'no message').splitlines()[-1]}", file=sys.stderr)
                continue
            figures = json.loads(done.stdout.splitlines()[-1])
            found["peers"][library] = statistics.median(figures["ms"])
            found["peer_spikes"][library] = figures["spikes"]
    return found


def show(row: Row) -> None:
    text = ", ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
                     if key not in ("net", "peers", "rates", "peer_spikes"))
    rates = ", ".join(f"{rate:.2%}" for rate in row.get("rates", ()))
    print(f"{row['net']}: {text}; rates {rates}")
    for library, ms in sorted(row.get("peers", {}).items(), key=lambda item: item[1]):
        spikes = row.get("peer_spikes", {}).get(library, "")
        print(f"    {library:13s} {ms:9.2f} ms   {ms / row['ms']:7.1f} times ours   spikes {spikes}")


def convolutional(with_peers: bool) -> Row:
    """The row of benchmarks/lif_conv.py, if it is there."""
    if importlib.util.find_spec("benchmarks.lif_conv") is None:
        return {}
    run: Any = importlib.import_module("benchmarks.lif_conv").run
    return {"conv": {"net": "conv"} | run(peers=with_peers)}


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--no-peers", action="store_true", help="spikeline alone")
    parser.add_argument("--no-curves", action="store_true", help="the nets alone, without the pictures")
    options = parser.parse_args()
    core, begin_s = pinned(), time.perf_counter()
    here = machine() | {"pinned_to_core": core}
    print(", ".join(f"{key} {value}" for key, value in here.items()))
    rows = {name: net(name) for name in ("net_a", "net_b")}
    for name in () if options.no_peers else ("net_a", "net_b"):
        rows[name] |= peers(name)
    few = [few_bits("net_a", bits) for bits in (1, 2, 4, 8)] + [few_bits("net_a", 1, AS_BUSY), few_bits("net_b", 1)]
    rows |= {row["net"]: row for row in few}
    rows |= convolutional(not options.no_peers)
    for row in rows.values():
        show(row)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"machine": here} | rows, indent=1, default=float) + "\n")
    if not options.no_curves:
        from benchmarks.lif_curves import draw_all

        for path in draw_all(Path(__file__).parents[1] / "build" / "lif"):
            print(path)
    print(f"{time.perf_counter() - begin_s:.0f} s in all")
    if not all(row["equal"] for row in rows.values()):
        raise SystemExit("spikes differ from the reference")


if __name__ == "__main__":
    main()
