"""Sends the events of an .npz file over and over in real time, as faery does: UDP datagrams of 93 events of 13 bytes.

python udp_sender.py EVENTS.npz PORT SECONDS: the file holds one second of events: t_us, x, y, on. Each millisecond of it is sent
once it has passed. Prints a JSON line when the first event's time begins, and one at the end.
"""

import json
import socket
import sys
import time
from itertools import pairwise

import numpy as np

RECORD = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "u1")])
EVENTS_EACH = 93
SECOND_US, SLICE_US = 1_000_000, 1000


def main() -> None:
    path, port, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    given = dict(np.load(path))
    events = np.empty(given["t_us"].size, RECORD)
    for name, column in zip(RECORD.names, ("t_us", "x", "y", "on"), strict=True):
        events[name] = given[column]
    cuts = np.searchsorted(given["t_us"], np.arange(0, SECOND_US + 1, SLICE_US)).tolist()
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect(("127.0.0.1", port))
    begin_ns, late_ms, datagrams = time.monotonic_ns(), 0.0, 0
    print(json.dumps({"begin_us": begin_ns // 1000}), flush=True)
    for second in range(seconds):
        for number, (begin, end) in enumerate(pairwise(cuts), 1):
            due_ns = begin_ns + second * 1_000_000_000 + number * SLICE_US * 1000
            while (left_ns := due_ns - time.monotonic_ns()) > 0:
                time.sleep(left_ns / 1e9)
            late_ms = max(late_ms, -left_ns / 1e6)
            for at in range(begin, end, EVENTS_EACH):
                sender.send(events[at : min(end, at + EVENTS_EACH)].tobytes())
                datagrams += 1
        events["t"] += SECOND_US
    took_s = (time.monotonic_ns() - begin_ns) / 1e9
    print(json.dumps({"sent": events.size * seconds, "seconds": took_s, "late_ms": late_ms, "datagrams": datagrams}), flush=True)
    sys.stdin.read()  # as the other sender: until the receiver has taken all


if __name__ == "__main__":
    main()
