"""Packets of any stream in, ZeroMQ messages for one receiver that takes them all out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pipeline import wire
from pipeline.contract import FilePath, Sink, SinkConfig, State
from pipeline.packet import Format, Packet
from pipeline.zmq_end import terminate
from sinks.curve import Keys, client_keys, guard, server_keys
from sinks.network import needs_cover
from sinks.zmq_publish import ENDPOINT


class ZmqPushConfig(SinkConfig):
    """Pushes every packet to one ZeroMQ PULL socket, waiting where the receiver is slow.

    In: a stream of any kind. Out: messages of `pipeline.wire`: the stream's format, then the packets, seq 0, 1, 2, ..., and an
    end message that carries the last seq. The sink connects to the receiver's endpoint, or with `bind` lets it connect. Have
    one receiver: ZeroMQ deals messages out among several.

    Guarantee: nothing is dropped and the order is kept while both ends live. The pipeline waits while the receiver is more than
    `high_water` packets behind. After the end the sink waits up to `linger_s` for the receiver to hang up, which it should once
    it has the end: a connection that is closed sooner can cost what the receiver has not read (it sees that by the last seq,
    or that there is no end). A receiver that hangs up before the
    end ends the run, since what was on its way to it is lost. A run that resumes goes on with the seq of its checkpoint: what
    came after that is sent again (seen by a seq that runs back), and what was on its way when a process died is missing (a gap).
    An endpoint off this machine is refused unless it is encrypted (CURVE) or `insecure` is true. To connect, give
    `curve_server_key`, the receiver's public key file, and `curve_certificate`, the own secret key file, if it lets in known
    senders alone; to bind, give `curve_certificate` and, to let in known receivers alone, `curve_clients`.
    Errors: an endpoint that is not one; a key file that cannot be read; a receiver that does not come within
    `connect_timeout_s`, takes nothing for `stall_s`, or hangs up before the end.

    Example: {type: zmq_push, endpoint: "tcp://127.0.0.1:5557"}

    Source: ZeroMQ RFC 30/PIPELINE; libzmq, zmq_socket (ZMQ_PUSH) and zmq_socket_monitor.
    """

    type: Literal["zmq_push"] = "zmq_push"
    endpoint: str = Field("tcp://127.0.0.1:5557", description="tcp://address:port or ipc://path")
    bind: bool = Field(False, description="let the receiver connect to the endpoint, instead of connecting to it")
    codec: Literal[0, 1, 2] = Field(0, description="0 raw columns, 1 packed to 8 bytes an event, 2 packed and lz4-compressed")
    crc: bool = Field(False, description="add a checksum to every message")
    high_water: int = Field(64, ge=1, description="packets queued before the pipeline waits for the receiver")
    connect_timeout_s: float = Field(10.0, gt=0, description="how long the receiver may take to come")
    stall_s: float = Field(60.0, gt=0, description="how long the receiver may take nothing before it is an error")
    linger_s: float = Field(10.0, ge=0, description="how long to wait, after the end, until the receiver has read all")
    insecure: bool = Field(False, description="allow plain text to other machines")
    curve_server_key: FilePath | None = Field(None, description="to connect: public key file of the receiver")
    curve_certificate: FilePath | None = Field(None, description="own secret key file; to connect, keys are made if need be")
    curve_clients: FilePath | None = Field(None, description="to bind: folder of public key files, let in these receivers alone")

    def check(self, upstream: Format) -> None:
        if not ENDPOINT.fullmatch(self.endpoint):
            raise ValueError(f"zmq_push: endpoint must be tcp://address:port or ipc://path, got {self.endpoint!r}")
        self._check_keys()

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        self.check(upstream)
        keys = self._keys()
        return lambda state: ZmqPush(self, upstream, stream, keys, -1 if state is None else int(state["seq"]))

    def _check_keys(self) -> None:
        if self.bind and self.curve_server_key is not None:
            raise ValueError("zmq_push: curve_server_key is to connect; to bind, give curve_certificate")
        if not self.bind and self.curve_clients is not None:
            raise ValueError("zmq_push: curve_clients is to bind; to connect, give curve_server_key")
        name = "curve_certificate" if self.bind else "curve_server_key"
        needed = getattr(self, name)
        if needed is None and (self.curve_certificate or self.curve_clients):
            raise ValueError(f"zmq_push: encryption needs {name} here")
        if self.endpoint.startswith("tcp://") and needed is None:
            needs_cover("zmq_push", self.endpoint[6:].rpartition(":")[0], self.insecure, f"set {name}, or ")

    def _keys(self) -> Keys | None:
        if self.curve_server_key is not None:
            return client_keys("zmq_push", self.curve_server_key, self.curve_certificate)
        return None if self.curve_certificate is None else server_keys("zmq_push", self.curve_certificate, self.curve_clients)


class ZmqPush:
    """A PUSH socket and a monitor that tells when the receiver comes and goes. seq: that of the last packet sent, or -1."""

    def __init__(self, config: ZmqPushConfig, format: Format, stream: str, keys: Keys | None, seq: int) -> None:
        self.config, self.seq = config, seq
        self._topic, self._stream_id, self._format = stream.encode(), wire.stream_id(stream), format
        self._came = self._gone = self._begun = self._broken = False
        self._open(keys)

    def write(self, packet: Packet) -> None:
        if not self._begun:
            self._await_receiver()
        self._see_events(0)
        if self._gone:
            raise self._failure(f"the receiver hung up after packet {self.seq}, with what was on its way: start it anew")
        frames = wire.encode(packet, topic=self._topic, stream_id=self._stream_id, seq=self.seq + 1, origin_ns=0,
                             codec=self.config.codec, crc=self.config.crc)
        self._send(frames)
        self.seq += 1

    def snapshot(self) -> State:
        return {"seq": np.array(self.seq, np.int64)}

    def report(self) -> dict[str, Any]:
        return {"seq": self.seq}

    def close(self) -> None:
        if self._socket.closed:
            return
        try:
            if self._begun and not self._broken:
                self._end()
        finally:
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
            self._socket.close(linger=0 if self._broken else int(self.config.linger_s * 1000))
            if self._guard is not None:
                self._guard.stop()
            terminate(self._context, 0.0 if self._broken else self.config.linger_s)

    def _open(self, keys: Keys | None) -> None:
        import zmq

        config = self.config
        self._context = zmq.Context()
        self._guard = guard(self._context, keys)
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.set_hwm(config.high_water)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # queue for a connected receiver only
        self._socket.setsockopt(zmq.IPV6, config.endpoint.startswith("tcp://["))
        if keys is not None:
            keys.put_on(self._socket)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        try:
            (self._socket.bind if config.bind else self._socket.connect)(config.endpoint)
        except zmq.ZMQError as error:
            self._broken = True
            self.close()
            raise ValueError(f"zmq_push: cannot use {config.endpoint}: {error.strerror}; choose another endpoint") from None
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def _await_receiver(self) -> None:
        until_s = time.monotonic() + self.config.connect_timeout_s
        while not self._came:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise self._failure(f"no receiver came within {self.config.connect_timeout_s:g} s: start it, or correct endpoint")
            self._see_events(left_s)
        self._send(wire.encode_format(self._format, topic=self._topic, stream_id=self._stream_id, seq=self.seq,
                                      crc=self.config.crc))
        self._begun = True

    def _see_events(self, wait_s: float) -> None:
        """Note who came and went; wait up to `wait_s` for the first such event."""
        import zmq
        from zmq.utils.monitor import recv_monitor_message

        while self._monitor.poll(int(wait_s * 1000)):
            event = recv_monitor_message(self._monitor)["event"]
            self._came = self._came or event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            self._gone = self._gone or (self._came and event == zmq.EVENT_DISCONNECTED)
            wait_s = 0

    def _send(self, frames: list[wire.Frame]) -> None:
        import zmq

        until_s = time.monotonic() + self.config.stall_s
        while True:
            try:
                self._socket.send_multipart(frames, zmq.DONTWAIT, copy=False)  # the columns are read-only: they may go out later
                return
            except zmq.Again:
                if self._socket.poll(50, zmq.POLLOUT):
                    continue
            self._see_events(0)
            if self._gone:
                raise self._failure(f"the receiver hung up after packet {self.seq}, with what was on its way: start it anew")
            if time.monotonic() >= until_s:
                raise self._failure(f"the receiver took nothing for {self.config.stall_s:g} s: see to it, or raise stall_s")

    def _end(self) -> None:
        self._send(wire.encode_end(topic=self._topic, stream_id=self._stream_id, seq=self.seq, crc=self.config.crc))
        until_s = time.monotonic() + self.config.linger_s
        while not self._gone and (left_s := until_s - time.monotonic()) > 0:
            self._see_events(left_s)

    def _failure(self, text: str) -> ValueError:
        self._broken = True
        return ValueError(f"zmq_push: {self.config.endpoint}: {text}")
