"""What live sources share: the options of all of them, and the packets that a stage draws while a thread receives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from pydantic import Field

from pipeline.contract import SourceConfig, State
from pipeline.packet import NO_VALUES, Format, Packet
from sources.live_queue import LiveQueue, OnOverload

POLL_MS = 50  # how often a receiver that hears nothing looks whether it is to stop


class LiveConfig(SourceConfig):
    """The options of every live source: what it does when the pipeline is too slow, and how often it gives a sign of life."""

    on_overload: OnOverload = Field(
        "block", description="when the queue is full: block the sender, keep the latest packet, drop_oldest, or rate_cap"
    )
    queue_packets: int = Field(64, ge=1, description="most packets between the receiver and the pipeline")
    max_rate_hz: float | None = Field(None, gt=0, description="of rate_cap: most events a second of the stream's time")
    heartbeat_ms: float = Field(100.0, gt=0, le=200, description="after so long without a packet, an empty one is handed out")
    idle_timeout_s: float | None = Field(None, gt=0, description="nothing from the sender for so long is an error; none: wait")

    def check_overload(self, format: Format) -> None:
        """ValueError unless the policy's options fit together and fit the stream."""
        if (self.on_overload == "rate_cap") != (self.max_rate_hz is not None):
            raise ValueError(f"{self.type}: on_overload: rate_cap and max_rate_hz go together, got {self.on_overload} "
                             f"and {self.max_rate_hz}")
        if self.on_overload == "rate_cap" and format.kind == "decisions":
            raise ValueError(f"{self.type}: rate_cap would tear decisions apart; take latest or drop_oldest")

    def queue(self) -> LiveQueue:
        return LiveQueue(self.on_overload, self.queue_packets, self.max_rate_hz)


class Position:
    """Where the packets handed out so far have come to; with a snapshot, where those of the run before had come to.

    mark: that of the last packet, -1 before the first.
    """

    def __init__(self, kind: str, state: State | None) -> None:
        self.value = None if kind == "spikes" else NO_VALUES
        self.open = state is not None and bool(state["open"])
        self.episode, self.end_us, self.label, self.mark = 0, 0, -1, -1
        if state is not None:
            self.episode, self.end_us, self.label, self.mark = (int(state[k]) for k in ("episode", "end_us", "label", "mark"))

    def pass_on(self, packet: Packet, mark: int) -> Packet:
        self.open, self.episode, self.end_us, self.label = not packet.last, packet.episode, packet.end_us, packet.label
        self.mark = mark
        return packet

    def still(self, *, last: bool = False, lost: int = 0) -> Packet:
        """An empty packet of zero length, here."""
        return Packet(self.end_us, self.end_us, value=self.value, episode=self.episode, last=last, label=self.label, lost=lost)

    def snapshot(self) -> State:
        numbers = {"episode": self.episode, "end_us": self.end_us, "label": self.label, "mark": self.mark}
        return {"open": np.array(self.open), **{name: np.array(number, np.int64) for name, number in numbers.items()}}


class Receiver:
    """Runs `receive` in a thread of its own, which puts packets into the queue until there are no more or the queue is closed."""

    def __init__(self, queue: LiveQueue, receive: Callable[[], None], name: str) -> None:
        self._queue, self._receive = queue, receive
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._queue.close()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._receive()
        except Exception as error:  # whatever it is, the stage reports it
            self._queue.end(error)
        else:
            self._queue.end()


class LiveSource:
    """A source that draws what a thread of its own receives. Its position is the end of the last packet handed out.

    A subclass gives `receive`, which puts packets into `_queue` until there are no more or the queue is closed, and `report`.
    """

    def __init__(self, config: LiveConfig, format: Format, state: State | None) -> None:
        self.format = format
        self._position = Position(format.kind, state)
        self._queue = config.queue()
        self._heartbeat_s = config.heartbeat_ms / 1e3
        self._receiver = Receiver(self._queue, self.receive, config.type)

    def receive(self) -> None:
        raise NotImplementedError

    def report(self) -> dict[str, Any]:
        raise NotImplementedError

    def packets(self) -> Iterator[Packet | None]:
        self._receiver.start()
        return drawn(self._queue, self._position, self._heartbeat_s)

    @property
    def waited_s(self) -> float:
        return self._queue.waited_s

    def snapshot(self) -> State:
        return self._position.snapshot()

    def close(self) -> None:
        self._receiver.stop()


def drawn(queue: LiveQueue, position: Position, heartbeat_s: float) -> Iterator[Packet | None]:
    """The packets of the queue; after heartbeat_s without one an empty one, or None where no episode is under way.

    An episode that is under way when the stream ends is ended.
    """
    while True:
        taken = queue.take(heartbeat_s)
        if taken is not None:
            yield position.pass_on(*taken)
        elif queue.ended:
            break
        else:
            yield position.still() if position.open else None
    if position.open:
        yield position.pass_on(position.still(last=True), position.mark)


def report_of(queue: LiveQueue, **figures: Any) -> dict[str, Any]:
    """Events received, sent, discarded and queued, and the source's own figures."""
    return queue.counts() | figures
