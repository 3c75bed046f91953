"""A convolutional spiking network on 100,000 events of a camera in one second, beside libraries that run all pixels every tick.

The net is 2x128x128 -> conv 5x5 stride 2, 16 channels -> conv 3x3 stride 2, 32 channels -> 11, all of leaky integrate-and-fire
neurons (tau 20 ms, threshold 1, ticks of 1 ms), with seeded weights under which every layer fires; the events are four blobs on
their way round, and noise. `ms`: one thread, the whole second as one packet through the three operators. `roofline_ms`: in
the same run, nothing but adding the patches of exactly these spikes. `equal`: each layer beside a dense reference that runs
all neurons at every tick, fed the same input: no spike differs but where |v - threshold| < 1e-5 max(1, the largest |v| of the
neuron so far), and these are counted.
Peers get environments of their own below build/ and run the same net from the same weights on the same events, binned
to the ticks; what cannot be had is left out.

python -m benchmarks.lif_conv [--no-peers] [--json FILE]
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # read when the libraries below are imported

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from benchmarks.peers import environment
from benchmarks.report import arguments, publish
from operators import conv_lif, lif
from operators.conv_lif import sites_of
from pipeline.layer_spec import ConvLIFSpec, LIFSpec
from pipeline.packet import Format, Packet, join

EVENTS, LENGTH_US, TICK_US = 100_000, 1_000_000, 1000
PEERS = {
    "sinabs": ("torch==2.13.0", "sinabs==3.1.3"),
    "spikingjelly": ("torch==2.13.0", "spikingjelly==2.0.0"),
    "norse": ("torch==2.13.0", "norse==1.1.0"),
    "snntorch": ("torch==2.13.0", "numpy", "snntorch==1.0.0"),
}
Layer = ConvLIFSpec | LIFSpec


def run(peers: bool = True, rounds: int = 15) -> dict[str, Any]:
    """What was measured, ready for JSON."""
    episode, layers = scene(), net()
    makers = prepared(layers)
    spent, outputs, reports = [], [], []
    for _ in range(rounds + 1):  # the first warms up
        begin_s = time.perf_counter()
        outputs, reports = through(makers, episode)
        spent.append(time.perf_counter() - begin_s)
    ms, inputs = statistics.median(spent[1:]) * 1e3, [episode, *outputs[:-1]]
    compared = [differences(*each) for each in zip(layers, inputs, outputs, strict=True)]
    operations = sum(report["synaptic_operations"] for report in reports)
    roofline = roofline_ms(layers, inputs)
    result = {
        "net": "2x128x128 - 16C5s2 - 32C3s2 - 11", "ticks": LENGTH_US // TICK_US, "ms": ms, "roofline_ms": roofline,
        "ratio_to_roofline": ms / roofline, "equal": all(beyond == 0 for beyond, _ in compared),
        "borderline": [borderline for _, borderline in compared], "spikes": [EVENTS, *(out.n for out in outputs)],
        "rates": [out.n / (layer.n_out * LENGTH_US // TICK_US) for layer, out in zip(layers, outputs, strict=True)],
        "synaptic_operations": operations, "G_operations_s": operations / ms / 1e6,
        "state_bytes": sum(sum(array.nbytes for array in make(None).snapshot().values()) for make in makers),
        "ms_in_10_ms_packets": in_packets_ms(makers, episode, 10_000),
        "peers": measure_peers(episode, layers) if peers else {},
    }
    if result["peers"]:
        result["over_fastest_peer"] = min(result["peers"].values()) / ms
    return result


def scene() -> Packet:
    """Four blobs of events on their way round, and a fifth of noise."""
    rng = np.random.default_rng(0)
    t_us = np.sort(rng.integers(0, LENGTH_US, EVENTS))
    turn = 2 * np.pi * t_us / LENGTH_US + rng.integers(0, 4, EVENTS) * np.pi / 2
    x, y = 64 + 40 * np.cos(turn) + rng.normal(0, 6, EVENTS), 64 + 40 * np.sin(turn) + rng.normal(0, 6, EVENTS)
    noise = rng.random(EVENTS) < 0.2
    x, y = (np.where(noise, rng.integers(0, 128, EVENTS), np.clip(c, 0, 127)).astype(np.int64) for c in (x, y))
    unit = (rng.integers(0, 2, EVENTS) * 128 + y) * 128 + x
    return Packet(0, LENGTH_US, t_us, unit.astype(np.uint32))


def net() -> list[Layer]:
    rng = np.random.default_rng(1)
    first = ConvLIFSpec(rng.normal(0.03, 0.2, (16, 2, 5, 5)), 20.0, 1.0, (2, 128, 128), stride=2, tick_us=TICK_US)
    second = ConvLIFSpec(rng.normal(0.0, 0.16, (32, 16, 3, 3)), 20.0, 1.0, first.shape_out, stride=2, tick_us=TICK_US)
    return [first, second, LIFSpec(rng.normal(0.001, 0.06, (second.n_out, 11)), 20.0, 1.0, TICK_US)]


def prepared(layers: list[Layer]) -> list[Callable[..., Any]]:
    format, makers = Format("spikes", (2, 128, 128)), list[Callable[..., Any]]()
    for spec in layers:
        makers.append(conv_lif.make(spec, format) if isinstance(spec, ConvLIFSpec) else lif.make(spec, format))
        format = Format("spikes", spec.shape_out if isinstance(spec, ConvLIFSpec) else (spec.n_out,), TICK_US)
    return makers


def through(makers: list[Callable[..., Any]], packet: Packet) -> tuple[list[Packet], list[dict[str, int]]]:
    """What each layer gives out, and reports."""
    outputs, reports = [], []
    for make in makers:
        operator = make(None)
        packet = join(operator.process(packet), operator.finish())
        outputs.append(packet)
        reports.append(operator.report())
    return outputs, reports


def in_packets_ms(makers: list[Callable[..., Any]], episode: Packet, length_us: int, rounds: int = 5) -> float:
    edges = range(0, LENGTH_US, length_us)
    at = [*episode.t_us.searchsorted(np.array(edges)).tolist(), episode.n]
    packets = [Packet(t, t + length_us, episode.t_us[a:b], episode.unit[a:b]) for t, a, b in zip(edges, at, at[1:], strict=False)]
    spent = []
    for _ in range(rounds):
        operators = [make(None) for make in makers]
        begin_s = time.perf_counter()
        for packet in packets:
            for operator in operators:
                packet = operator.process(packet)
        spent.append(time.perf_counter() - begin_s)
    return statistics.median(spent) * 1e3


def differences(spec: Layer, given: Packet, out: Packet) -> tuple[int, int]:
    """How many spikes of `out` a dense reference on the same course would not have, or the other way round: beyond the border
    of rounding, and within it."""
    threshold, d = np.float32(1), spec.decay()[0]
    v, largest = np.zeros(spec.n_out, np.float32), np.zeros(spec.n_out, np.float32)
    beyond = borderline = 0
    for tick in range(LENGTH_US // TICK_US):
        counts = np.bincount(of_tick(given, tick), minlength=spec.n_in).astype(np.float32)
        v = d * v + current(spec, counts)
        np.maximum(largest, np.abs(v), out=largest)
        spiked = np.zeros(spec.n_out, bool)
        spiked[of_tick(out, tick)] = True
        found = np.flatnonzero((v >= threshold) != spiked)
        near = np.abs(v[found] - threshold) < 1e-5 * np.maximum(1, largest[found])
        borderline += int(near.sum())
        beyond += int((~near).sum())
        v[spiked] -= threshold
    return beyond, borderline


def of_tick(packet: Packet, tick: int) -> np.ndarray:
    """The units of the events of one tick."""
    begin, end = packet.t_us.searchsorted([tick * TICK_US, (tick + 1) * TICK_US])
    return packet.unit[begin:end]


def current(spec: Layer, counts: np.ndarray) -> np.ndarray:
    """(n_out,): the convolution of a tick's counts, or their product with a dense weight."""
    if isinstance(spec, LIFSpec):
        return counts @ spec.weight
    windows = np.lib.stride_tricks.sliding_window_view(counts.reshape(spec.shape_in), spec.weight.shape[2:], axis=(1, 2))
    return np.tensordot(spec.weight, windows[:, :: spec.stride[0], :: spec.stride[1]], ((1, 2, 3), (0, 3, 4))).ravel()


def roofline_ms(layers: list[Layer], inputs: list[Packet], rounds: int = 15) -> float:
    """Adding the patches, or the rows, of these spikes, and nothing else."""
    works: list[tuple[Any, ...]] = []
    for spec, given in zip(layers, inputs, strict=True):
        sites = sites_of(spec)[:-1] if isinstance(spec, ConvLIFSpec) else None
        works.append((spec, given.unit, np.zeros(spec.n_out, np.float32), sites))
    spent = []
    for _ in range(rounds + 1):
        begin_s = time.perf_counter()
        for spec, unit, v, sites in works:
            if sites is None:
                add_rows(unit, spec.weight, v)
            else:
                add_patches(unit, v, spec.c_out, *sites)
        spent.append(time.perf_counter() - begin_s)
    return statistics.median(spent[1:]) * 1e3


@njit
def add_rows(unit, weight, v):
    for k in range(unit.shape[0]):
        row = weight[unit[k]]
        for j in range(v.shape[0]):
            v[j] += row[j]


@njit
def add_patches(unit, v, c, sizes, weight, row_starts, rows, col_starts, cols):
    plane, width = np.uint32(sizes[0]), np.uint32(sizes[1])
    for i in range(unit.shape[0]):
        channel = unit[i] // plane
        pixel = unit[i] - channel * plane
        y = pixel // width
        x = pixel - y * width
        for r in range(row_starts[y], row_starts[y + 1]):
            for k in range(col_starts[x], col_starts[x + 1]):
                own = np.uint64((rows[r, 0] + cols[k, 0]) * c)
                patch = np.uint64((np.int64(channel) * sizes[2] + rows[r, 1] + cols[k, 2]) * c)
                for j in range(np.uint64(cols[k, 1] * c)):
                    v[own + j] += weight[patch + j]


def measure_peers(episode: Packet, layers: list[Layer], rounds: int = 3) -> dict[str, float]:
    """Median milliseconds by library."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.npz"
        weights = {name: spec.weight for name, spec in zip(("first", "second", "head"), layers, strict=True)}
        np.savez(path, t_us=episode.t_us, unit=episode.unit, ticks=LENGTH_US // TICK_US, tick_us=TICK_US,
                 d=float(layers[0].decay()[0]), **weights)
        script, found = Path(__file__).parent / "peers" / "conv.py", {}
        for name, packages in PEERS.items():
            python = environment(name, *packages)
            if python is None:
                continue
            command = [str(python), str(script), name, str(path), str(rounds)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name} is left out: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
                continue
            told = json.loads(done.stdout.splitlines()[-1])
            print(f"{name}: spikes of its layers {told['spikes']}")
            found[name] = statistics.median(told["seconds"]) * 1e3
    return found


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--no-peers", action="store_true", help="leave the other libraries out")
    options = parser.parse_args()
    result = run(not options.no_peers)
    publish("a convolutional net at 1 ms ticks: milliseconds for one second", [result | {"peers": str(result["peers"])}], None)
    if options.json is not None:
        options.json.write_text(json.dumps({"conv": result}, indent=1) + "\n")
    if not result["equal"]:
        raise SystemExit("a layer's spikes differ from the dense reference beyond rounding")


if __name__ == "__main__":
    main()
