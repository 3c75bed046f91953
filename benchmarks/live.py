"""A classifier fed live at a million events a second: by a real dv-processing server over TCP, and by a UDP sender.

The stream is that of a DAVIS346 (346 x 260: edges, noise, hot pixels) in real time. The pipeline filters it, pools it and
classifies it with the shipped N-MNIST network (what it decides means nothing here); source, operators and sinks are a process
each, over ZeroMQ. `lag`: from the moment at which a decision's last event was due at the sensor until the decision is
written, the sender's slices of a millisecond and its own lateness (`sender_late` at most) included. `first` and `last` are the
medians of the first and of the last five seconds: equal when the lag is bounded.

Events: `sent` by the sender; `lost` before the source saw them (`told`: as many as it knows of); `received` by it, of those
`discarded` by its policy of overload, `queued` at the end, the rest `handed_out`; `late` ones came after their interval. `exact`:
received = handed_out + discarded + queued, sent = received + late + lost, and the losses that the packets carried to the sink are
late, told and discarded. Over TCP nothing may be lost; of UDP every datagram is either received or known to be dropped by a full
buffer (its events are estimated by those that follow, so told may differ from lost a little). `busy`: of a core, by source,
operators and sinks. In the last row an operator holds each packet, of a millisecond or more, for 3 ms: the policy at work.

dv-processing gets an environment of its own below build/; where it cannot be had, its row is left out.

python -m benchmarks.live [--seconds 30] [--rate 1e6] [--on-overload drop_oldest] [--json FILE]
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.filters import HEIGHT, WIDTH, scene
from benchmarks.peers import environment
from benchmarks.report import Row, arguments, publish

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "configs" / "models" / "nmnist.safetensors"
PEER = "dv-processing==2.0.4"
SPIKELINE = [sys.executable, "-c", "from spikeline.cli import main; main()"]
EDGE_S = 5  # how much of the run's beginning and end are compared


def measure(transport: str, python: Path, options: Any, folder: Path, *, overloaded: bool = False) -> Row:
    """One run: the pipeline is started, then the sender; once it is done, the stream is ended."""
    for old in folder.glob("lag.*"):
        old.unlink()
    port = free_port()
    config, summary = folder / "live.yaml", folder / "summary.json"
    config.write_text(pipeline(transport, port, folder, options, overloaded))
    script = "dv_server.py" if transport == "dv_receive" else "udp_sender.py"
    command = [str(python), str(Path(__file__).parent / "peers" / script), str(folder / "events.npz"), str(port),
               str(options.seconds)]
    run = subprocess.Popen([*SPIKELINE, "run", str(config), "--quiet", "--summary", str(summary)], cwd=ROOT)
    sender = None
    try:
        while not (folder / "lag.begun").exists():
            assert run.poll() is None, "the pipeline ended before it began"
            time.sleep(0.05)
        sender = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert sender.stdout is not None
        begun, done = (json.loads(sender.stdout.readline()) for _ in range(2))
        time.sleep(1.0)  # what is on its way, and silence
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 0
    finally:
        for process in (run, sender):
            if process is not None:
                process.kill()
                process.wait()
    lag = np.load(folder / "lag.npy")
    return row_of(transport, json.loads(summary.read_text()), lag, begun | done, overloaded)


def pipeline(transport: str, port: int, folder: Path, options: Any, overloaded: bool) -> str:
    held_up = "  - {type: 'benchmarks.lag:HeldUpConfig', hold_ms: 3}\n" if overloaded else ""
    return f"""
source: {{type: {transport}, port: {port}, width: {WIDTH}, height: {HEIGHT}, on_overload: {options.on_overload},
         queue_packets: 64, heartbeat_ms: 20}}
operators:
{held_up}  - {{type: background_activity, window_ms: 5}}
  - {{type: crop_pool, crop: center, to: [2, 17, 17]}}
  - {{type: lif, model: {MODEL}, layer: hidden}}
  - {{type: delay, model: {MODEL}, layer: hidden_delay}}
  - {{type: lif, model: {MODEL}, layer: second}}
  - {{type: readout, model: {MODEL}, layer: out, every_ms: 10, window_ms: 200}}
sinks:
  - {{type: "benchmarks.lag:LagConfig", path: {folder}/lag.npy}}
stages: {{processes: true, high_water: 16}}
"""


def row_of(transport: str, summary: dict[str, Any], lag: np.ndarray, sender: dict[str, Any], overloaded: bool) -> Row:
    stage = summary["stages"][0]
    source = stage["source"]
    told = stage["lost"] - source["discarded"] - source["events_late"] - source["events_outside"]
    lost = sender["sent"] - source["received"] - source["events_late"] - source["events_outside"]
    end_us, events, thinned, wrote_us = lag.T
    # the sender's clock starts at 0 when its first event's time begins
    lag_ms = (wrote_us - (end_us + source["sensor_us_at_0"]) - sender["begin_us"]) / 1e3
    at_s = (end_us + source["sensor_us_at_0"]) / 1e6
    while_sent = (events > 0) & (at_s > 0) & (at_s < sender["seconds"] - 0.01)
    p50, p99 = np.percentile(lag_ms[while_sent], [50, 99])
    came = source.get("datagrams", 0) + source.get("datagrams_overflowed", 0)
    all_known = lost == 0 if transport == "dv_receive" else sender["datagrams"] == came
    exact = (source["received"] == source["sent"] + source["discarded"] + source["queued"]
             and int(thinned.sum()) == summary["lost"] and all_known)
    return {
        "from": transport, "pipeline": "held up" if overloaded else "", "seconds": round(sender["seconds"], 1),
        "sent": sender["sent"], "lost": lost, "told": told, "received": source["received"], "discarded": source["discarded"],
        "late": source["events_late"], "queued": source["queued"], "handed_out": source["sent"],
        "decisions": int(while_sent.sum()),
        "lag_p50_ms": p50, "lag_p99_ms": p99, "lag_max_ms": float(lag_ms[while_sent].max()),
        "first_ms": np.median(lag_ms[while_sent & (at_s < EDGE_S)]),
        "last_ms": np.median(lag_ms[while_sent & (at_s > sender["seconds"] - EDGE_S)]), "sender_late_ms": sender["late_ms"],
        "busy": " ".join(f"{busy['busy_s'] / sender['seconds']:.0%}" for busy in summary["stages"]), "exact": bool(exact),
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def write_events(path: Path, rate_hz: float) -> None:
    second = scene(round(rate_hz), rate_hz)
    y, x = np.divmod(second.unit % (WIDTH * HEIGHT), WIDTH)
    np.savez(path, t_us=second.t_us, x=x, y=y, on=second.unit >= WIDTH * HEIGHT, width=WIDTH, height=HEIGHT)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seconds", type=int, default=30, help="how long each sender sends (default 30)")
    parser.add_argument("--rate", type=float, default=1e6, help="events a second (default 1e6)")
    parser.add_argument("--on-overload", default="drop_oldest", help="the source's policy (default drop_oldest)")
    parser.add_argument("--only", choices=("dv_receive", "udp_receive", "overloaded"), help="one of the rows alone")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_events(folder / "events.npz", options.rate)
        peer = environment("dv-processing", PEER) if options.only in (None, "dv_receive") else None
        if peer is not None:
            rows.append(measure("dv_receive", peer, options, folder))
        if options.only in (None, "udp_receive"):
            rows.append(measure("udp_receive", Path(sys.executable), options, folder))
        if options.only in (None, "overloaded"):
            rows.append(measure("udp_receive", Path(sys.executable), options, folder, overloaded=True))
    publish(f"live: {options.rate / 1e6:g} million events/s for {options.seconds} s, on_overload: {options.on_overload}",
            rows, options.json)
    if not all(row["exact"] for row in rows):
        raise SystemExit("the counts do not add up")


if __name__ == "__main__":
    main()
