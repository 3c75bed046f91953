"""The end of a ZeroMQ context, which must not be the end of a run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import zmq


SPARE_S = 1.0  # for sockets to close in


def terminate(context: zmq.Context, linger_s: float = 0.0) -> bool:
    """Ends a context whose sockets are closed and may linger for so long; whether it has ended.

    libzmq (4.3.5) now and then waits here without end, whatever the sockets' LINGER, for a connection whose other end left at the
    same moment. What has not ended in time is left to the operating system, which takes it back with the process.
    """
    ending = threading.Thread(target=context.term, daemon=True)
    ending.start()
    ending.join(linger_s + SPARE_S)
    return not ending.is_alive()
