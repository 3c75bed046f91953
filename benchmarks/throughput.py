"""Throughput of the N-MNIST pipeline at full speed, inline and over ZeroMQ, beside raw pyzmq with equal packets in the same run.

The raw yardstick sends the columns of the same packets, as they are, over ipc PUSH/PULL to a process that only counts them.

python -m benchmarks.throughput [--packet-ms 10 100] [--json FILE]
"""

from __future__ import annotations

import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import zmq

import spikeline
from benchmarks.report import Row, arguments, data_folder, publish

CONFIG = Path(__file__).parents[1] / "configs" / "nmnist.yaml"
COUNTER = """
import sys, zmq
socket = zmq.Context().socket(zmq.PULL)
socket.set_hwm(64)
socket.bind(sys.argv[1])
print("ready", flush=True)
events = 0
while frames := socket.recv_multipart():
    if len(frames) == 1:
        break
    events += len(frames[2]) // 4
print(events, flush=True)
"""


def settings(packet_ms: float, lines: Path) -> list[str]:
    return [f"source.path={data_folder()}/nmnist/Test", f"source.packet_ms={packet_ms}", "source.pace=fast",
            f"sinks=[{{type: json_lines, path: {lines}}}]", "stages.checkpoint_every_s=null"]


def pipeline_mev_s(packet_ms: float, inline: bool, lines: Path, repeats: int) -> float:
    """Median million events/s of the whole pipeline, from the first packet handed out to the last line written."""
    rates = []
    for _ in range(repeats):
        summary = spikeline.run(spikeline.load(CONFIG, settings(packet_ms, lines)), inline=inline)
        assert summary["dropped_packets"] == 0
        rates.append(summary["events_per_s"] / 1e6)
    return statistics.median(rates)


def raw_mev_s(packets: list[tuple[bytes, bytes, bytes]], repeats: int) -> float:
    """Median million events/s of bare PUSH/PULL with the same columns, until the receiver has counted the last."""
    events = sum(len(unit) // 4 for _, _, unit in packets)
    rates = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            endpoint = f"ipc://{folder}/raw"
            counter = subprocess.Popen([sys.executable, "-c", COUNTER, endpoint], stdout=subprocess.PIPE, text=True)
            assert counter.stdout is not None
            counter.stdout.readline()
            context = zmq.Context()
            socket = context.socket(zmq.PUSH)
            socket.set_hwm(64)
            socket.connect(endpoint)
            begin_s = time.perf_counter()
            for columns in packets:
                socket.send_multipart(columns)
            socket.send(b"")
            counted = int(counter.stdout.readline())
            rates.append(events / (time.perf_counter() - begin_s) / 1e6)
            socket.close()
            context.term()
            counter.wait()
            assert counted == events, "the receiver counted other events than were sent"
    return statistics.median(rates)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--packet-ms", type=float, nargs="+", default=[1.0, 10.0, 100.0], help="default 1 10 100")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, the median counts (default 3)")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "processes.jsonl", Path(folder) / "inline.jsonl"]
        for packet_ms in options.packet_ms:
            rows.append(_row(packet_ms, files, options.repeats))
    publish("throughput: the N-MNIST pipeline at full speed", rows, options.json)
    if not all(row["equal"] for row in rows):
        raise SystemExit("the decisions of the two modes differ")


def _row(packet_ms: float, files: list[Path], repeats: int) -> Row:
    graph = spikeline.load(CONFIG, settings(packet_ms, files[0]))
    packets = list(graph.source.prepare()(None).packets())
    columns = [(pickle.dumps((p.begin_us, p.end_us)), p.t_us.tobytes(), p.unit.tobytes()) for p in packets]
    over_zmq = pipeline_mev_s(packet_ms, False, files[0], repeats)
    inline = pipeline_mev_s(packet_ms, True, files[1], repeats)
    raw = raw_mev_s(columns, repeats)
    return {"packet_ms": packet_ms, "packets": len(packets), "events_per_packet": round(sum(p.n for p in packets) / len(packets)),
            "inline_mev_s": inline, "zmq_mev_s": over_zmq, "raw_pyzmq_mev_s": raw, "zmq_to_raw": over_zmq / raw,
            "equal": files[0].read_bytes() == files[1].read_bytes()}


if __name__ == "__main__":
    main()
