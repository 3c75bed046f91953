"""A bounded spool between a pipeline and a receiver that may be away: texts, or decisions, in; batches that arrive out."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice

import numpy as np

from pipeline.contract import State
from pipeline.packet import Packet
from sinks.network import DecisionJson

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0


class NotDeliveredError(Exception):
    """A batch that did not arrive, or not for certain: it is to be delivered again."""


class Spool:
    """Keeps texts in order until a thread of its own has delivered them, and tries again after pauses that double.

    deliver(batch, stop): returns once the receiver has the batch; raises NotDeliveredError when it is to be tried again, any
    other ValueError when it never will be. It gives up with NotDeliveredError once `stop` is set.
    patience_s: how long a full spool, or a flush, waits without a single delivery before it is an error.
    """

    def __init__(self, name: str, deliver: Callable[[list[str], threading.Event], None], *, capacity: int, batch: int,
                 patience_s: float) -> None:
        self._name, self._deliver, self._capacity, self._batch, self._patience_s = name, deliver, capacity, batch, patience_s
        self._waiting: deque[str] = deque()
        self._changed = threading.Condition()
        self._progress_s = time.monotonic()
        self._trouble = ""  # why the last attempt failed
        self._failure: ValueError | None = None
        self._stop = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, text: str) -> None:
        """Add a text; wait while the spool is full."""
        with self._changed:
            self._wait_until(lambda: len(self._waiting) < self._capacity, f"the spool is full ({self._capacity} decisions)")
            self._waiting.append(text)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all texts have been delivered."""
        with self._changed:
            self._wait_until(lambda: not self._waiting, f"{len(self._waiting)} decisions wait to be delivered")

    def close(self) -> None:
        """Flush, unless an error was raised before, and end the thread."""
        if self._closing:
            return
        self._closing = True
        try:
            if self._failure is None:
                self.flush()
        finally:
            self._stop.set()
            with self._changed:
                self._changed.notify_all()
            self._thread.join()

    def trouble(self, reason: str) -> None:
        """Say why nothing is being delivered, for the error that may come of it."""
        self._trouble = reason

    def _wait_until(self, ready: Callable[[], bool], state: str) -> None:
        begin_s = time.monotonic()
        while self._failure is None and not ready():
            still_s = time.monotonic() - max(begin_s, self._progress_s)
            if still_s >= self._patience_s:
                reason = f" ({self._trouble})" if self._trouble else ""
                self._failure = ValueError(f"{self._name}: {state} and nothing was delivered for {self._patience_s:g} s{reason}: "
                                           "see to the receiver, then go on with --resume")
                break
            self._changed.wait(self._patience_s - still_s)
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        pause_s = SHORTEST_PAUSE_S
        while batch := self._next_batch():
            try:
                self._deliver(batch, self._stop)
            except NotDeliveredError as error:
                self._trouble = str(error)
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            except Exception as error:  # a thread has nobody above it: the next call of the pipeline's raises this
                self._fail(error)
                return
            pause_s = SHORTEST_PAUSE_S
            self._delivered(len(batch))

    def _next_batch(self) -> list[str]:
        """What is to be delivered next; empty once there is no more to do."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stop.is_set())
            return [] if self._stop.is_set() else list(islice(self._waiting, self._batch))

    def _delivered(self, count: int) -> None:
        with self._changed:
            for _ in range(count):
                self._waiting.popleft()
            self._progress_s, self._trouble = time.monotonic(), ""
            self._changed.notify_all()

    def _fail(self, error: Exception) -> None:
        with self._changed:
            own = isinstance(error, ValueError)
            self._failure = ValueError(f"{self._name}: {error if own else f'{type(error).__name__}: {error}'}")
            self._changed.notify_all()


class SpooledDecisions:
    """A sink that hands decisions, numbered from `seq`, to a spool; `hang_up` is called at the end, whatever happened."""

    def __init__(self, texts: DecisionJson, spool: Spool, seq: int, hang_up: Callable[[], None]) -> None:
        self._texts, self._spool, self._seq, self._hang_up = texts, spool, seq, hang_up

    def write(self, packet: Packet) -> None:
        for text in self._texts.texts(packet, self._seq):
            self._spool.put(text)
            self._seq += 1

    def snapshot(self) -> State:
        """The promise that the receiver has all decisions so far, `seq` of them."""
        self._spool.flush()
        return {"seq": np.array(self._seq, np.int64)}

    def close(self) -> None:
        try:
            self._spool.close()
        finally:
            self._hang_up()
