"""The yardstick of the latency within one process: a bare loop, once a millisecond, with no pipeline around it.

Every turn adds the weight rows of 13 events, a packet's worth of N-MNIST, to the state of 256 neurons; every fiftieth writes one
line of JSON with ten scores. There are no packets, layers, thresholds, counts or checks.
"""

from __future__ import annotations

import json
import os
import tempfile
import time

import numpy as np


def bare_loop(turns: int = 6000, every_ms: float = 1.0, paced: bool = True) -> np.ndarray:
    """(turns / 50,) us: from the wake-up to the return of the write, of the turns that write a line."""
    random = np.random.default_rng(0)
    rows, scores, state = random.random((578, 256), np.float32), random.random(10, np.float32), np.zeros(256, np.float32)
    events = random.integers(0, 578, (turns, 13))
    late_us = []
    with tempfile.TemporaryFile() as file:
        due_s = time.monotonic()
        for turn in range(1, turns + 1):
            due_s += every_ms / 1e3
            while paced and (left_s := due_s - time.monotonic()) > 0:
                time.sleep(left_s)
            begin_ns = time.monotonic_ns()
            for unit in events[turn - 1]:
                state += rows[unit]
            if turn % 50 == 0:
                line = {"t_us": turn * 1000, "class": int(scores.argmax()), "scores": scores.tolist()}
                os.write(file.fileno(), json.dumps(line).encode() + b"\n")
                late_us.append((time.monotonic_ns() - begin_ns) / 1e3)
    return np.array(late_us)
