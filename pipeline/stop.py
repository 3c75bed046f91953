"""Stop: the flag that ends a stream early."""

from __future__ import annotations

import time

SLICE_S = 0.05  # how late a wait may notice that the flag was set


class Stop:
    """A flag that a signal's handler or another thread sets, and that a wait looks at. It has no lock.

    A handler runs in the middle of whatever its thread is at. Were that the wait of a threading.Event, the handler could want the
    very lock that the wait holds, and both would wait forever.
    """

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set

    def wait(self, seconds: float) -> bool:
        """Return after so many seconds, or within SLICE_S of the flag being set; whether it is."""
        if seconds <= 0:
            return self._set
        end_s = time.monotonic() + seconds
        while not self._set and (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(left_s, SLICE_S))
        return self._set
