"""background_activity and stcf beside dv-processing's background activity filter, on the same made-up DAVIS346 stream.

All run on one thread and are timed by processor time, in turns: spikeline in packets of about 10,000 events, dv-processing
with the whole stream at once, which it takes as fast. `over_peer` is the ratio of speeds, `kept` the share of events that
passed, `as_peer` the share of events on which filter and peer agree. `equal`: the first events came out as a plain Python
reference has them. dv-processing gets an environment of its own below build/; where it cannot be had, its columns are left out.

python -m benchmarks.filters_peers [--events 2000000] [--json FILE]
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # read when the libraries below are imported

import statistics
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.filters import (
    DVS,
    HEIGHT,
    SHAPE,
    WIDTH,
    WINDOW_US,
    Truth,
    described,
    is_true,
    packets_of,
    passed,
    scene,
    seconds_of,
)
from benchmarks.peers import environment
from benchmarks.report import Row, arguments, publish
from operators.background_activity import BackgroundActivityConfig
from operators.stcf import StcfConfig
from pipeline.contract import OperatorConfig
from pipeline.packet import Packet
from tests import naive_filters as naive

PEER = "dv-processing==2.0.4"
TURNS = 5
ROUNDS = 5

FILTERS: list[tuple[OperatorConfig, Truth]] = [
    (BackgroundActivityConfig(window_ms=WINDOW_US / 1000), lambda e: naive.background_activity(e, SHAPE, WINDOW_US)),
    (StcfConfig(window_ms=WINDOW_US / 1000, support=1), lambda e: plain_stcf(e, 1)),
    (StcfConfig(window_ms=WINDOW_US / 1000, support=2), lambda e: plain_stcf(e, 2)),
]


def measure(events: int, rate_hz: float, peer: Path | None, folder: Path) -> list[Row]:
    whole = scene(events, rate_hz)
    packets = packets_of(whole, round(1e10 / rate_hz))
    write(whole, folder / "in.npz")
    works = [partial(passed, config, packets) for config, _ in FILTERS]
    ours: list[list[float]] = []
    theirs: list[float] = []
    for _ in range(TURNS):
        ours.append(seconds_of(list(works)))
        theirs += run_peer(peer, folder) if peer else []
    peer_s = statistics.median(theirs) if theirs else None
    peer_kept = read(folder / "out.npz") if peer else None
    rows: list[Row] = []
    for (config, truth), times_s in zip(FILTERS, zip(*ours, strict=True), strict=True):
        time_s, kept = statistics.median(times_s), kept_by(config, packets)
        options = described(config) or f"window_ms={WINDOW_US / 1000}"
        row = {"rate_Mev_s": rate_hz / 1e6, "filter": config.type, "options": options, "Mev_s": whole.n / time_s / 1e6}
        if peer_s is not None and peer_kept is not None:
            row |= {"over_peer": peer_s / time_s, "as_peer": 1 - np.setxor1d(kept, peer_kept).shape[0] / whole.n}
        rows.append(row | {"kept": kept.shape[0] / whole.n, "equal": is_true(config, truth, whole)})
    if peer_s is not None and peer_kept is not None:
        rows.append({"rate_Mev_s": rate_hz / 1e6, "filter": PEER, "options": "background activity",
                     "Mev_s": whole.n / peer_s / 1e6, "kept": peer_kept.shape[0] / whole.n})
    return rows


def plain_stcf(events: list[naive.Event], support: int) -> list[naive.Event]:
    """What stcf keeps, from its definition with a radius of 1."""
    newest_us: dict[tuple[int, int], int] = {}
    kept = []
    for event in events:
        x, y = naive.pixel_of(event[1], SHAPE)
        square = [(u, v) for u in (x - 1, x, x + 1) for v in (y - 1, y, y + 1) if (u, v) != (x, y)]
        if sum(pixel in newest_us and newest_us[pixel] >= event[0] - WINDOW_US for pixel in square) >= support:
            kept.append(event)
        newest_us[x, y] = event[0]
    return naive.in_order(kept)


def write(whole: Packet, path: Path) -> None:
    y, x = np.divmod(whole.unit % (WIDTH * HEIGHT), WIDTH)
    p = whole.unit >= WIDTH * HEIGHT
    np.savez(path, t_us=whole.t_us, x=x, y=y, p=p, size=np.array([WIDTH, HEIGHT]), window_us=np.array(WINDOW_US))


def run_peer(python: Path, folder: Path) -> list[float]:
    """The seconds of each round. The folder holds in.npz and gets out.npz."""
    script = Path(__file__).parent / "peers" / "dv_filter.py"
    subprocess.run([str(python), str(script), str(folder / "in.npz"), str(folder / "out.npz"), str(ROUNDS)], check=True)
    with np.load(folder / "out.npz") as out:
        return [float(seconds) for seconds in out["seconds"]]


def read(path: Path) -> np.ndarray:
    with np.load(path) as out:
        unit = (out["p"].astype(np.int64) * HEIGHT + out["y"]) * WIDTH + out["x"]
        return distinct(out["t_us"], unit)


def kept_by(config: OperatorConfig, packets: list[Packet]) -> np.ndarray:
    operator = config.prepare(DVS)(None)
    outputs = [operator.process(packet) for packet in packets] + [operator.finish()]
    t_us, unit = (np.concatenate([getattr(output, column) for output in outputs]) for column in ("t_us", "unit"))
    return distinct(t_us, unit)


def distinct(t_us: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """A number for each event, all different: equal events of the stream are numbered through."""
    key = np.sort(t_us * DVS.size + unit) * 8
    repeats = np.arange(key.shape[0]) - np.searchsorted(key, key)
    return key + repeats


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--events", type=int, default=2_000_000, help="events of each stream (default 2 million)")
    options = parser.parse_args()
    peer = environment("dv-processing", PEER, "numpy")
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for rate_hz in (0.25e6, 1e6) for row in measure(options.events, rate_hz, peer, Path(folder))]
    publish("filters beside dv-processing: million events/s on one thread", rows, options.json)
    if not all(row.get("equal", True) for row in rows):
        raise SystemExit("a filter's output differs from the plain truth")


if __name__ == "__main__":
    main()
