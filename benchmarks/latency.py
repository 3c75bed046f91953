"""Latency from packet handed out to decision written, over the N-MNIST pipeline at real-time pace with packets of 1 ms.

Every sample is replayed as its sensor saw it; the readout decides every 10 ms. A decision's latency runs from the moment
at which the source handed out the packet that let it be emitted to the return of the write of its line. The pipeline runs in
three processes over ZeroMQ, then in one (`--inline`'s mode); both must write the same bytes.

python -m benchmarks.latency [--samples 60] [--json FILE]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import spikeline
from benchmarks.report import Row, arguments, data_folder, publish

CONFIG = Path(__file__).parents[1] / "configs" / "nmnist.yaml"


def measure(samples: int, packet_ms: float, inline: bool, lines: Path) -> Row:
    """One run; its figures."""
    settings = [f"source.path={data_folder()}/nmnist/Test", f"source.limit={samples}", f"source.packet_ms={packet_ms}",
                "source.pace=realtime", "operators.-1.every_ms=10", f"sinks=[{{type: json_lines, path: {lines}}}]",
                "stages.checkpoint_every_s=null"]
    summary = spikeline.run(spikeline.load(CONFIG, settings), inline=inline)
    latency_us, drift_ms = summary["latency_us"], summary["drift_ms"]
    return {"mode": "inline" if inline else "3 processes, ipc", "packet_ms": packet_ms, "decisions": summary["decisions"],
            "p50_us": latency_us["p50"], "p99_us": latency_us["p99"], "max_us": latency_us["max"],
            "drift_p99_ms": drift_ms["p99"], "dropped_packets": summary["dropped_packets"]}


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--samples", type=int, default=60, help="N-MNIST test samples, 0.3 s each (default 60)")
    parser.add_argument("--packet-ms", type=float, default=1.0, help="length of a packet (default 1)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "processes.jsonl", Path(folder) / "inline.jsonl"]
        rows = [measure(options.samples, options.packet_ms, file is files[1], file) for file in files]
        equal = files[0].read_bytes() == files[1].read_bytes()
    for row in rows:
        row["equal"] = equal
    publish("latency: packet handed out to decision written", rows, options.json)
    if not equal:
        raise SystemExit("the decisions of the two modes differ")


if __name__ == "__main__":
    main()
