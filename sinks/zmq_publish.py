"""Packets of any stream in, ZeroMQ messages for observers out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from pipeline import wire
from pipeline.contract import FilePath, Sink, SinkConfig, State
from pipeline.packet import Format, Packet
from pipeline.zmq_end import terminate
from sinks.curve import Keys, guard, server_keys

if TYPE_CHECKING:
    import zmq

LOCAL = re.compile(r"ipc://.+|tcp://(127(\.\d{1,3}){3}|localhost|\[::1\]):(\d+|\*)")
ENDPOINT = re.compile(r"ipc://.+|tcp://([^/:\s]+|\[[0-9a-fA-F:]+\]):(\d+|\*)")
LINGER_MS = 1000  # how long the end of a stream may wait for slow observers


class ZmqPublishConfig(SinkConfig):
    """Publishes every packet on a ZeroMQ PUB socket, for observers that come and go.

    In: a stream of any kind. Out: messages of `pipeline.wire` under `topic`: the stream's format with the first packet, every
    `format_every_packets` and whenever an observer subscribes, then the packets, seq 0, 1, 2, ..., and an end message that
    carries the last seq.

    Guarantee: none for an observer. PUB drops what an observer is too slow for (more than `high_water` packets behind) and what
    went out before it came; the pipeline never waits, but up to a second for the end to go out. A gap in seq tells the observer
    how many packets it missed. A run that resumes goes on with the seq of its checkpoint.
    Off this machine (neither ipc nor loopback) an endpoint is refused unless it is encrypted (CURVE) or `insecure` is true.
    `curve_certificate` is the secret key file that `zmq.auth.create_certificates` writes; observers need its public key.
    With `curve_clients`, a folder of observers' public keys, no other observer gets in.
    Errors: an endpoint that is not one or is taken; a key file that cannot be read.

    Example: {type: zmq_publish, bind: "tcp://127.0.0.1:5556", topic: decisions}
    """

    type: Literal["zmq_publish"] = "zmq_publish"
    bind: str = Field("tcp://127.0.0.1:5556", description="endpoint: tcp://address:port (port * takes a free one) or ipc://path")
    topic: str | None = Field(None, description="what observers subscribe to; default: the pipeline's name")
    codec: Literal[0, 1, 2] = Field(0, description="0 raw columns, 1 packed to 8 bytes an event, 2 packed and lz4-compressed")
    crc: bool = Field(False, description="add a checksum to every message")
    high_water: int = Field(1000, ge=1, description="packets kept for a slow observer before it loses some")
    format_every_packets: int = Field(1000, ge=1, description="how often the stream's format is repeated")
    insecure: bool = Field(False, description="allow plain text to other machines")
    curve_certificate: FilePath | None = Field(None, description="secret key file: encrypt, and prove who publishes")
    curve_clients: FilePath | None = Field(None, description="folder of public key files: let in these observers alone")

    def check(self, upstream: Format) -> None:
        if not ENDPOINT.fullmatch(self.bind):
            raise ValueError(f"zmq_publish: bind must be tcp://address:port or ipc://path, got {self.bind!r}")
        if self.curve_clients is not None and self.curve_certificate is None:
            raise ValueError("zmq_publish: curve_clients needs a curve_certificate")
        if not (LOCAL.fullmatch(self.bind) or self.curve_certificate or self.insecure):
            raise ValueError(f"zmq_publish: {self.bind} can be reached from other machines in plain text: bind 127.0.0.1 or ipc, "
                             "set curve_certificate, or say insecure: true")

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        self.check(upstream)
        keys = None if self.curve_certificate is None else server_keys("zmq_publish", self.curve_certificate, self.curve_clients)
        return lambda state: ZmqPublish(self, upstream, stream, keys, -1 if state is None else int(state["seq"]))


class ZmqPublish:
    """A bound XPUB socket, which is a PUB that hears of subscriptions. seq: that of the last packet published, or -1."""

    def __init__(
        self, config: ZmqPublishConfig, format: Format, stream: str, keys: Keys | None, seq: int
    ) -> None:
        import zmq

        self.config = config
        self.format = format
        self.topic = (stream if config.topic is None else config.topic).encode()
        self.stream_id = wire.stream_id(stream)
        self.seq = seq
        self.format_due = 0  # packets until the format is published again
        self.has_subscription = zmq.POLLIN
        self.context = zmq.Context()
        self.guard = guard(self.context, keys)
        self.socket = _bound(self.context, config, keys)
        self.endpoint = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def write(self, packet: Packet) -> None:
        while int(self.socket.events) & self.has_subscription:
            subscribed = self.socket.recv()[:1] == b"\1"
            self.format_due = 0 if subscribed else self.format_due
        if self.format_due == 0:
            self._send(wire.encode_format(
                self.format, topic=self.topic, stream_id=self.stream_id, seq=self.seq, crc=self.config.crc))
            self.format_due = self.config.format_every_packets
        self.format_due -= 1
        self.seq += 1
        self._send(wire.encode(packet, topic=self.topic, stream_id=self.stream_id, seq=self.seq, origin_ns=0,
                               codec=self.config.codec, crc=self.config.crc))

    def snapshot(self) -> State:
        return {"seq": np.array(self.seq, np.int64)}

    def report(self) -> dict[str, Any]:
        return {"endpoint": self.endpoint, "seq": self.seq}

    def close(self) -> None:
        if self.socket.closed:
            return
        self._send_end()
        self.socket.close(linger=LINGER_MS)
        if self.guard is not None:
            self.guard.stop()
        terminate(self.context, LINGER_MS / 1000)

    def _send_end(self) -> None:
        """Wait a little for observers that are behind; then send it to the others."""
        import zmq

        frames = wire.encode_end(topic=self.topic, stream_id=self.stream_id, seq=self.seq, crc=self.config.crc)
        self.socket.setsockopt(zmq.SNDTIMEO, LINGER_MS)
        self.socket.setsockopt(zmq.XPUB_NODROP, 1)
        try:
            self._send(frames)
        except zmq.Again:
            self.socket.setsockopt(zmq.XPUB_NODROP, 0)
            self._send(frames)

    def _send(self, frames: list[wire.Frame]) -> None:
        self.socket.send_multipart(frames, copy=False)  # the columns are read-only, so they may be sent later


def _bound(context: zmq.Context, config: ZmqPublishConfig, keys: Keys | None) -> zmq.Socket:
    import zmq

    socket = context.socket(zmq.XPUB)
    try:
        socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # tell of every subscription, not only of the first to a topic
        socket.set_hwm(config.high_water)
        socket.setsockopt(zmq.IPV6, config.bind.startswith("tcp://["))
        if keys is not None:
            keys.put_on(socket)
        socket.bind(config.bind)
    except zmq.ZMQError as error:
        socket.close(linger=0)
        context.destroy(linger=0)
        raise OSError(error.errno, f"zmq_publish: cannot bind {config.bind}: {error.strerror}; choose another endpoint") from None
    return socket
