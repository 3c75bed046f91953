"""Runs in dv-processing's environment: its own TCP server, which sends the events of an .npz file over and over, in real time.

python dv_server.py EVENTS.npz PORT SECONDS: the file holds one second of events: t_us, x, y, on, width, height. Each millisecond
of it is sent once it has passed. Prints a JSON line when the first event's time begins, and one at the end.
"""

import json
import sys
import time
from itertools import pairwise

import dv_processing as dv
import numpy as np

SECOND_US, SLICE_US = 1_000_000, 1000


def main() -> None:
    path, port, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    given = dict(np.load(path))
    stores = slices(given, seconds)
    stream = dv.io.Stream.EventStream(0, "events", "CAM", (int(given["width"]), int(given["height"])))
    writer = dv.io.NetworkWriter("127.0.0.1", port, stream)
    while not writer.getClientCount():
        time.sleep(0.01)
    time.sleep(0.5)
    begin_ns, late_ms, queued = time.monotonic_ns(), 0.0, 0
    print(json.dumps({"begin_us": begin_ns // 1000}), flush=True)
    for number, store in enumerate(stores, 1):
        due_ns = begin_ns + number * SLICE_US * 1000
        while (left_ns := due_ns - time.monotonic_ns()) > 0:
            time.sleep(left_ns / 1e9)
        late_ms = max(late_ms, -left_ns / 1e6)
        writer.writeEvents(store)
        queued = max(queued, writer.getQueuedPacketCount())
    while writer.getQueuedPacketCount():
        time.sleep(0.01)
    took_s = (time.monotonic_ns() - begin_ns) / 1e9
    print(json.dumps({"sent": given["t_us"].size * seconds, "seconds": took_s, "late_ms": late_ms, "queued_packets": queued}),
          flush=True)
    sys.stdin.read()  # until the receiver has taken all: a server that leaves takes along what is on its way


def slices(given: dict, seconds: int) -> list:
    """A store of events for each millisecond."""
    columns = [given[name].tolist() for name in ("x", "y", "on")]
    stores = []
    for second in range(seconds):
        t_us = given["t_us"] + second * SECOND_US
        cuts = np.searchsorted(given["t_us"], np.arange(0, SECOND_US + 1, SLICE_US)).tolist()
        events = list(zip(t_us.tolist(), *columns, strict=True))
        for begin, end in pairwise(cuts):
            store = dv.EventStore()
            for t, x, y, on in events[begin:end]:
                store.push_back(t, x, y, on)
            stores.append(store)
    return stores


if __name__ == "__main__":
    main()
