"""The yardstick of the latency benchmark: plain pyzmq, two hops through three processes, one message each millisecond.

The messages have the sizes of the pipeline's: a header and the columns of 13 events. Nothing is decoded or computed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time

import numpy as np
import zmq

RELAY = """
import sys, zmq
context = zmq.Context()
inbox, outbox = context.socket(zmq.PULL), context.socket(zmq.PUSH)
inbox.bind(sys.argv[1])
outbox.connect(sys.argv[2])
print("ready", flush=True)
while len(frames := inbox.recv_multipart()) > 1:
    outbox.send_multipart(frames)
outbox.send(b"")
"""
RECEIVER = """
import sys, time, zmq
inbox = zmq.Context().socket(zmq.PULL)
inbox.bind(sys.argv[1])
print("ready", flush=True)
late = []
while len(frames := inbox.recv_multipart()) > 1:
    late.append(time.monotonic_ns() - int.from_bytes(frames[0], "little"))
print(*late)
"""


def two_hops(messages: int = 3000, every_ms: float = 1.0) -> np.ndarray:
    """(messages,) us: from the send in this process to the receipt in the third. The first ones, sent while the sockets still
    connect, do not count."""
    warm_up = 500
    with tempfile.TemporaryDirectory() as folder:
        first, second = f"ipc://{folder}/1", f"ipc://{folder}/2"
        receiver = subprocess.Popen([sys.executable, "-c", RECEIVER, second], stdout=subprocess.PIPE, text=True)
        relay = subprocess.Popen([sys.executable, "-c", RELAY, first, second], stdout=subprocess.PIPE, text=True)
        assert receiver.stdout is not None
        assert relay.stdout is not None
        for process in (receiver, relay):
            process.stdout.readline()  # type: ignore[union-attr]
        context = zmq.Context()
        socket = context.socket(zmq.PUSH)
        socket.connect(first)
        columns = [bytes(92), bytes(13 * 8), bytes(13 * 4)]
        due_s = time.monotonic()
        for _ in range(warm_up + messages):
            due_s += every_ms / 1e3
            time.sleep(max(0.0, due_s - time.monotonic()))
            socket.send_multipart([time.monotonic_ns().to_bytes(8, "little"), *columns])
        socket.send(b"")
        late_us = np.array(receiver.stdout.readline().split(), np.float64) / 1e3
        socket.close()
        context.term()
        relay.wait()
        receiver.wait()
    if late_us.size != warm_up + messages:
        raise RuntimeError(f"{warm_up + messages} messages were sent, {late_us.size} came")
    return late_us[warm_up:]
