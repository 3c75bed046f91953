"""What it costs when nothing happens, and how long a run takes to begin.

`chain`: microseconds for each empty packet of 1 ms that passes six operators (background_activity, crop_pool, lif, delay,
lif, readout), and for each operator. `silence`: milliseconds of each layer for 10 s without events after it has spiked, in
one packet and in packets of 10 ms; a readout that integrates runs every tick. `start`: seconds of `spikeline run` on the
quickstart from the command to its end, by the wall: with an empty kernel cache (`first`) and with a filled one (`cached`,
median of five); and of configs/nmnist.yaml on ten samples where SPIKELINE_DATA names a folder, in one process and in one a stage.

python -m benchmarks.idle [--json FILE] [--no-start]
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # read when the libraries below are imported

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Row, arguments, publish
from operators import delay, lif, quantised_lif, readout
from operators.background_activity import BackgroundActivityConfig
from operators.crop_pool import CropPoolConfig
from pipeline.contract import Operator
from pipeline.layer_spec import DelaySpec, LIFSpec, QuantisedLIFSpec, ReadoutSpec
from pipeline.layer_spec.quantised_lif import pack, quantise
from pipeline.packet import Format, Packet

ROOT = Path(__file__).parents[1]
DVS, SMALL = Format("spikes", (2, 128, 128)), Format("spikes", (2, 34, 34))
SILENCE_US = 10_000_000


def layers() -> dict[str, tuple[Any, Format]]:
    """Makers of layers by name, and what each takes."""
    rng = np.random.default_rng(0)
    hidden = Format("spikes", (128,), 1000)
    weight = rng.normal(0.05, 0.3, (128, 128))
    codes, scale = quantise(weight, 1)
    score = rng.normal(0, 1, (128, 10))
    names = tuple("0123456789")
    made = {
        "lif": lif.make(LIFSpec(weight, 20.0, 1.0, 1000), hidden),
        "lif with bias": lif.make(LIFSpec(weight, 20.0, 1.0, 1000, bias=np.full(128, 0.01)), hidden),
        "quantised_lif": quantised_lif.make(QuantisedLIFSpec(pack(codes, 1), scale, 20.0, 1.0, 1, 1000), hidden),
        "delay": delay.make(DelaySpec(rng.integers(0, 20, 128) * 1000), hidden),
        "readout, spike_count": readout.make(ReadoutSpec("spike_count", names, score), hidden),
        "readout, membrane": readout.make(ReadoutSpec("membrane", names, score, tau_ms=20.0, tick_us=1000), hidden),
    }
    return {name: (maker, hidden) for name, maker in made.items()}


def chain() -> list[tuple[str, Operator]]:
    rng = np.random.default_rng(0)
    hidden = Format("spikes", (128,), 1000)
    kinds = layers()
    return [
        ("background_activity", BackgroundActivityConfig(window_ms=5).prepare(DVS)(None)),
        ("crop_pool", CropPoolConfig(to=(2, 34, 34)).prepare(DVS)(None)),
        ("lif", lif.make(LIFSpec(rng.normal(0.02, 0.1, (SMALL.size, 128)), 20.0, 1.0, 1000), SMALL)(None)),
        ("delay", kinds["delay"][0](None)),
        ("lif", lif.make(LIFSpec(rng.normal(0.05, 0.3, (128, 128)), 20.0, 1.0, 1000), hidden)(None)),
        ("readout", kinds["readout, spike_count"][0](None)),
    ]


def idle_chain(packets: int = 5000) -> list[Row]:
    operators = chain()
    each = [0.0] * len(operators)
    begin_s = time.perf_counter()
    for k in range(packets):
        packet = Packet(1000 * k, 1000 * (k + 1))
        for _, operator in operators:
            packet = operator.process(packet)
    rows: list[Row] = [{"what": "chain of six", "us_a_packet": (time.perf_counter() - begin_s) / packets * 1e6}]
    for k in range(packets, packets + 2000):
        packet = Packet(1000 * k, 1000 * (k + 1))
        for index, (_, operator) in enumerate(operators):
            begin_s = time.perf_counter()
            packet = operator.process(packet)
            each[index] += time.perf_counter() - begin_s
    return rows + [{"what": name, "us_a_packet": s / 2000 * 1e6} for (name, _), s in zip(operators, each, strict=True)]


def silence() -> list[Row]:
    rng = np.random.default_rng(1)
    busy = Packet(0, 50_000, np.sort(rng.integers(0, 50, 400)) * 1000, rng.integers(0, 128, 400).astype(np.uint32))
    rows = []
    for name, (maker, _) in layers().items():
        row: Row = {"what": name}
        for key, cut_us in (("ms_in_one_packet", SILENCE_US), ("ms_in_packets_of_10_ms", 10_000)):
            times = []
            for _ in range(5):
                operator = maker(None)
                operator.process(busy)
                packets = [Packet(50_000 + t, 50_000 + t + cut_us) for t in range(0, SILENCE_US, cut_us)]
                begin_s = time.perf_counter()
                for packet in packets:
                    operator.process(packet)
                times.append(time.perf_counter() - begin_s)
            row[key] = statistics.median(times) * 1e3
        rows.append(row)
    return rows


def run_s(config: Path, cache: str | None, *options: str) -> float:
    """Wall seconds of `spikeline run`, kernels cached in the folder `cache` (None: where they are anyway)."""
    places = {} if cache is None else {"NUMBA_CACHE_DIR": cache}
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | places
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # otherwise every start would compile spikeline's own modules again
    command = [sys.executable, "-c", "from spikeline.cli import main; main()", "run", str(config), *options]
    with tempfile.TemporaryDirectory() as folder:
        begin_s = time.perf_counter()
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
        wall_s = time.perf_counter() - begin_s
    if done.returncode:
        raise SystemExit(f"{config.name} did not run: {done.stderr.strip().splitlines()[-1:]}")
    return wall_s


def start() -> list[Row]:
    configs: list[tuple[Path, tuple[str, ...]]] = [(ROOT / "configs" / "quickstart.yaml", ("--inline",))]
    if os.environ.get("SPIKELINE_DATA"):
        ten = ("--set", "source.limit=10")
        configs += [(ROOT / "configs" / "nmnist.yaml", how) for how in ((*ten, "--inline"), ten)]
    rows: list[Row] = []
    for config, options in configs:
        with tempfile.TemporaryDirectory() as cache:
            first = run_s(config, cache, *options)
            cached = statistics.median(run_s(config, cache, *options) for _ in range(5))
        rows.append({"what": f"spikeline run {config.name} {' '.join(options)}", "first_s": first, "cached_s": cached})
    return rows


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--no-start", action="store_true", help="without starting whole runs")
    options = parser.parse_args()
    rows = idle_chain() + silence() + ([] if options.no_start else start())
    publish("idle: what nothing costs, and how long a start takes", rows, options.json)


if __name__ == "__main__":
    main()
