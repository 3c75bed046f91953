"""Links between stages: a packet sent at one end is received at the other, in order, once, or a named error says so.

MemoryLink joins stages of one process, ZmqOutbox and ZmqInbox those of several: PUSH/PULL, which blocks at the high-water
mark and loses nothing. Every message carries a seq without gaps, and the end of a stream carries the last one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline import wire
from pipeline.packet import Format, Packet
from pipeline.zmq_end import terminate

LONGEST_LINGER_S = 60.0  # the next stage is there until it has read the end
SENT_AS_COPY = 8192  # packets of fewer events are copied into the socket: cheaper than to hand over their memory


class LinkError(RuntimeError):
    """Messages are missing, or are not what the stream promised."""


@dataclass(frozen=True, slots=True)
class Message:
    """A packet and the CLOCK_MONOTONIC time, in ns, at which the source handed out what caused it."""

    packet: Packet
    origin_ns: int


class Outbox(Protocol):
    """The sending end. `seq` is the number of the last packet sent, -1 before the first."""

    seq: int

    def send(self, packet: Packet, origin_ns: int) -> None: ...
    def end(self) -> None: ...
    def close(self) -> None: ...


class Inbox(Protocol):
    """The receiving end: a message, "end" after the last one, or None when nothing came in time."""

    seq: int

    def receive(self) -> Message | Literal["end"] | None: ...
    def close(self) -> None: ...


class MemoryLink:
    """Both ends of a link inside one process. seq: that of the last packet already sent, on a resume."""

    def __init__(self, seq: int = -1) -> None:
        self.seq = seq
        self._queue: deque[Message | Literal["end"]] = deque()

    def send(self, packet: Packet, origin_ns: int) -> None:
        self.seq += 1
        self._queue.append(Message(packet, origin_ns))

    def end(self) -> None:
        self._queue.append("end")

    def receive(self) -> Message | Literal["end"] | None:
        return self._queue.popleft() if self._queue else None

    def close(self) -> None:
        self._queue.clear()


class ZmqOutbox:
    """PUSH, connected to the inbox of the next stage. Waits while the next stage is `high_water` packets behind.

    Close it only when the other end has received the end: an inbox at its high-water mark gives up what is left in the
    operating system's buffers as soon as it sees the connection closed.

    waited is called with the seconds that a send had to wait. high_water: packets queued at each end.
    """

    def __init__(self, endpoint: str, stream: str, seq: int = -1, high_water: int = 64, *,
                 codec: int = 0, waited: Callable[[float], None] = lambda s: None) -> None:
        import zmq

        self.seq = seq
        self._topic = stream.encode()
        self._stream_id = wire.stream_id(stream)
        self._codec = codec
        self._waited = waited
        self._again, self._no_wait = zmq.Again, zmq.DONTWAIT
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.set_hwm(high_water)
        self._socket.set(zmq.IMMEDIATE, 1)  # queue for a connected peer only, so that the high-water mark holds from the start
        self._socket.set(zmq.LINGER, -1)  # what was sent arrives even if this process is done; the runner ends a hang
        self._socket.connect(endpoint)

    def send(self, packet: Packet, origin_ns: int) -> None:
        self.seq += 1
        frames = wire.encode(packet, topic=self._topic, stream_id=self._stream_id, seq=self.seq, origin_ns=origin_ns,
                             codec=self._codec)
        self._put(frames, packet.n < SENT_AS_COPY)

    def end(self) -> None:
        self._put(wire.encode_end(topic=self._topic, stream_id=self._stream_id, seq=self.seq), True)

    def _put(self, frames: list[wire.Frame], copy: bool) -> None:
        try:
            self._socket.send_multipart(frames, self._no_wait, copy=copy)
        except self._again:
            begin_s = time.monotonic()
            self._socket.send_multipart(frames, copy=copy)
            self._waited(time.monotonic() - begin_s)

    def close(self) -> None:
        self._socket.close()
        terminate(self._context, LONGEST_LINGER_S)


class ZmqInbox:
    """PULL, bound for the stage before. Checks that no packet is missing and that each fits the stream's format.

    trusted: the sender is a stage of the same run, on a socket that no one else can reach, and has checked its packets already.

    receive returns None after `patience_ms` without a message, so that its caller can look after other things.
    """

    def __init__(self, endpoint: str, stream: str, format: Format, seq: int = -1, high_water: int = 64, *,
                 trusted: bool = False, patience_ms: int = 200) -> None:
        import zmq

        self.seq = seq
        self._stream, self._stream_id = stream, wire.stream_id(stream)
        self._format, self._trusted = format, trusted
        self._again = zmq.Again
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PULL)
        self._socket.set_hwm(high_water)
        self._socket.set(zmq.RCVTIMEO, patience_ms)
        self._socket.set(zmq.LINGER, 0)
        self._socket.bind(endpoint)

    def receive(self) -> Message | Literal["end"] | None:
        try:
            frames = self._socket.recv_multipart()
        except self._again:
            return None
        envelope, packet = wire.decode(frames)
        if envelope.stream_id != self._stream_id:
            raise LinkError(f"link of {self._stream}: a message of another stream arrived; is the endpoint used twice?")
        expected = self.seq + (packet is not None)
        if envelope.seq != expected:
            lost = envelope.seq - expected
            raise LinkError(f"link of {self._stream}: message {expected} was due, {envelope.seq} came ({lost} lost)")
        self.seq = envelope.seq
        if packet is None:
            return "end" if envelope.kind == "end" else None
        if not self._trusted:
            packet.check(self._format)
        return Message(packet, envelope.origin_ns)

    def close(self) -> None:
        self._socket.close()
        terminate(self._context)
