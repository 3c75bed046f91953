"""The flag that ends a stream: set from anywhere, at any moment."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.stop import SLICE_S, Stop

SCRIPT = """
import random, signal, sys
sys.path.insert(0, sys.argv[1])
from pipeline.stop import Stop
rng = random.Random(1)
for _ in range(3000):
    stop = Stop()
    signal.signal(signal.SIGALRM, lambda *_: stop.set())
    signal.setitimer(signal.ITIMER_REAL, rng.uniform(2e-6, 1.2e-4))
    while not stop.wait(2e-5):
        pass
print("ended")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no timers that send signals")
def test_a_signal_at_any_moment_of_a_wait_ends_it() -> None:
    """With a threading.Event in place of Stop this stands still within a second: the handler wants the lock of the wait."""
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "ended\n"


def test_another_thread_ends_a_wait() -> None:
    stop = Stop()
    begin_s = time.monotonic()
    timer = threading.Timer(0.05, stop.set)
    timer.start()
    assert stop.wait(60)
    assert stop.is_set()
    timer.join()
    assert time.monotonic() - begin_s < 30 + SLICE_S


def test_a_wait_takes_as_long_as_it_should_and_tells_that_nothing_was_set() -> None:
    stop, begin_s = Stop(), time.monotonic()
    assert not stop.wait(0)
    assert not stop.wait(2.5 * SLICE_S)
    assert time.monotonic() - begin_s >= 2.5 * SLICE_S
    stop.set()
    assert stop.wait(0)
