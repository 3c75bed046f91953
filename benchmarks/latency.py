"""Latency from packet handed out to decision written, over the N-MNIST pipeline at real-time pace with packets of 1 ms.

Every sample is replayed as its sensor saw it. A decision's latency runs from the moment
at which the source handed out the packet that let it be emitted to the return of the write of its line. The pipeline runs in
three processes over ZeroMQ, on any core and on one that they share (`stages.cpus`), then in one (`--inline`'s mode), paced and,
with everything warm, at full speed; all must write the same bytes. The yardsticks are plain pyzmq over as many hops with messages
of the same size, one a millisecond, on any core and on one, and, for one process, a bare loop that adds a packet's weight rows
and writes a line.

python -m benchmarks.latency [--samples 100] [--json FILE]
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

import spikeline
from benchmarks.bare_loop import bare_loop
from benchmarks.raw_zmq import two_hops
from benchmarks.report import Row, arguments, data_folder, publish
from pipeline.cpus import on_cpus

CORE = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None  # where a program may choose its cores
MODES = ("3 processes, ipc", *(["3 processes, one core"] if CORE is not None else []), "inline", "inline, full speed")
CONFIG = Path(__file__).parents[1] / "configs" / "nmnist.yaml"


def measure(samples: int, packet_ms: float, mode: str, lines: Path) -> Row:
    """One run; its figures. At full speed only one process has a latency: between several, packets would queue."""
    inline, pace = mode.startswith("inline"), "fast" if "full speed" in mode else "realtime"
    settings = [f"source.path={data_folder()}/nmnist/Test", f"source.limit={samples}", f"source.packet_ms={packet_ms}",
                f"source.pace={pace}", f"sinks=[{{type: json_lines, path: {lines}}}]",
                "stages.checkpoint_every_s=null", *([f"stages.cpus=[{CORE}]"] if "one core" in mode else [])]
    summary = spikeline.run(spikeline.load(CONFIG, settings), inline=inline)
    latency_us, drift_ms = summary["latency_us"], summary["drift_ms"] or {}
    return {"mode": mode, "packet_ms": packet_ms, "decisions": summary["decisions"],
            "p50_us": latency_us["p50"], "p99_us": latency_us["p99"], "max_us": latency_us["max"],
            "drift_p99_ms": drift_ms.get("p99"), "dropped_packets": summary["dropped_packets"]}


def yardstick(mode: str, late_us: np.ndarray) -> Row:
    p50, p99 = np.percentile(late_us, [50, 99])
    return {"mode": mode, "packet_ms": 1.0, "p50_us": round(p50, 1), "p99_us": round(p99, 1),
            "max_us": round(late_us.max(), 1)}


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--samples", type=int, default=100, help="N-MNIST test samples, 0.3 s each (default 100)")
    parser.add_argument("--packet-ms", type=float, default=1.0, help="length of a packet (default 1)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {mode: Path(folder) / f"{i}.jsonl" for i, mode in enumerate(MODES)}
        rows = [measure(options.samples, options.packet_ms, mode, file) for mode, file in files.items()]
        equal = len({file.read_bytes() for file in files.values()}) == 1
    for row in rows:
        row["equal"] = equal
    raw = [yardstick("raw pyzmq, 2 hops", two_hops())]
    if CORE is not None:
        with on_cpus([CORE]):
            raw.append(yardstick("raw pyzmq, one core", two_hops()))
    rows[-2:-2] = raw
    rows += [yardstick("bare loop", bare_loop()), yardstick("bare loop, full speed", bare_loop(paced=False))]
    publish("latency: packet handed out to decision written", rows, options.json)
    if not equal:
        raise SystemExit("the decisions of the modes differ")


if __name__ == "__main__":
    main()
