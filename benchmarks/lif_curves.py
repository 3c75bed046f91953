"""How the time of dense layers grows with width, input rate, depth, packet size and streams: one picture and one table a curve.

Each point is the median of some passes over 200 ticks of 1 ms, `lif` operators made anew, in one packet unless it says
otherwise, on one thread.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.lif_chain import Chain, spec_layers, whole
from pipeline.packet import Packet
from tests.packets import recut

TICKS = 200
Points = list[tuple[float, float]]


def weights(sizes: Sequence[int], gain: float = 2.0) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [(gain * rng.standard_normal((i, o)) / np.sqrt(i)).astype(np.float32) for i, o in pairwise(sizes)]


def spikes(n_in: int, rate: float, ticks: int = TICKS) -> np.ndarray:
    return np.random.default_rng(0).random((ticks, n_in)) < rate


def median_ms(chain: Chain, packets: Sequence[Packet], rounds: int = 7) -> float:
    chain.run(packets)
    return statistics.median(chain.seconds(*packets) for _ in range(rounds)) * 1e3


def width() -> Iterator[tuple[float, float]]:
    for n in (64, 128, 256, 512, 1024, 2048, 4096, 8192):
        yield n, median_ms(Chain(spec_layers(weights([256, n]))), [whole(spikes(256, 0.02))])


def input_rate() -> Iterator[tuple[float, float]]:
    chain = Chain(spec_layers(weights([700, 128])))
    for rate in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3):
        yield rate * 100, median_ms(chain, [whole(spikes(700, rate))])


def depth() -> Iterator[tuple[float, float]]:
    for layers in (1, 2, 4, 8, 16):
        yield layers, median_ms(Chain(spec_layers(weights([128] * (layers + 1)))), [whole(spikes(128, 0.05))])


def packet_size() -> Iterator[tuple[float, float]]:
    """Microseconds per 1000 events of a layer of 128, the same 131,072 events cut into packets of n."""
    chain, sample = Chain(spec_layers(weights([700, 128]))), whole(spikes(700, 0.02, 9400))
    for n in (16, 64, 256, 1024, 4096, 16_384, 65_536):
        packets = recut(sample, sample.t_us[n::n].tolist())
        yield n, median_ms(chain, packets, 3) * 1e6 / sample.n


def streams() -> Iterator[tuple[float, float]]:
    """Net A's sizes: samples a second of one process, and of two at once."""
    command = [sys.executable, "-m", "benchmarks.lif_curves"]
    for count in (1, 2):
        running = [subprocess.Popen([*command, str(core)], stdout=subprocess.PIPE, text=True) for core in range(count)]
        yield count, sum(float(process.communicate()[0]) for process in running)


def one_stream(core: int, seconds: float = 1.5) -> float:
    """Samples a second on one core, once the other streams have had time to begin."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})
    chain, sample = Chain(spec_layers(weights([700, 128, 128, 20]))), whole(spikes(700, 0.0115, 1000))
    chain.run([sample])
    time.sleep(1.0)
    done, begin_s = 0, time.perf_counter()
    while time.perf_counter() - begin_s < seconds:
        chain.run([sample])
        done += 1
    return done / (time.perf_counter() - begin_s)


CURVES = {
    "width": (width, "neurons of a layer with 256 inputs at 2 %", "ms for 200 ticks"),
    "input_rate": (input_rate, "% of 700 inputs that spike in a tick, 128 neurons", "ms for 200 ticks"),
    "depth": (depth, "layers of 128 neurons, 5 % input", "ms for 200 ticks"),
    "packet_size": (packet_size, "events a packet, 700-128", "us for 1000 events"),
    "streams": (streams, "processes at once, each 700-128-128-20", "samples of 1000 ticks a second, together"),
}


def draw_all(folder: Path) -> Iterator[Path]:
    """Measures every curve, prints its points and writes its picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (measure, x_label, y_label) in CURVES.items():
        points: Points = list(measure())
        print(f"{name} ({x_label} -> {y_label}): " + ", ".join(f"{x:g}: {y:.3g}" for x, y in points))
        yield draw(points, x_label, y_label, folder / f"{name}.png")


def draw(points: Points, x_label: str, y_label: str, path: Path) -> Path:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    axes.plot(*zip(*points, strict=True), "o-")
    if len(points) > 2:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(True, which="both", alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


if __name__ == "__main__":
    print(one_stream(int(sys.argv[1])))
