"""ZeroMQ messages of another pipeline, or of a program that speaks its wire format, in; packets of their stream out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from pipeline import wire
from pipeline.contract import FilePath, Source, State
from pipeline.packet import Format, Kind, Packet, join
from pipeline.zmq_end import terminate
from sources.live import POLL_MS, LiveConfig, LiveSource, Position, report_of

if TYPE_CHECKING:
    import zmq

LOCAL = re.compile(r"ipc://.+|tcp://(127(\.\d{1,3}){3}|localhost|\[::1\]):(\d+|\*)")
ENDPOINT = re.compile(r"ipc://.+|tcp://([^/:\s]+|\[[0-9a-fA-F:]+\]):(\d+|\*)")

LEAST_PAUSE_MS, MOST_PAUSE_MS = 100, 2000  # between two attempts to connect


class ZmqReceiveConfig(LiveConfig):
    """Receives a stream over ZeroMQ: the other end of the sink `zmq_publish`, or of any sender of `pipeline.wire` frames.

    Out: the sender's packets as they are: times in us, episodes, labels, lost. `kind`, `shape` (C order) and the rest say what
    the stream is, so that a pipeline can be checked while no sender runs; when the sender's format message comes, it must agree.
    `pattern: sub` listens to a publisher, which drops what its observers are too slow for; `pattern: pull` takes part in
    PUSH/PULL, which waits instead. The stream ends with the sender's end message.

    A gap in seq: with sub the interval is thinned: the next packet reaches back over it and `lost` counts one for each packet
    missed (their events are not known); an episode whose end was missed is ended. With pull it is an error. A publisher that
    begins anew ends the episode; the stream goes on. A connection that is lost is tried again, after 0.1 s to 2 s. A pipeline
    that resumes goes on with what the sender sends then.
    An endpoint off this machine (neither ipc nor loopback) is refused unless it is encrypted (CURVE) or `insecure` is true:
    to connect, give `curve_server_key`, the sender's public key file, and `curve_certificate`, the own secret key file, if the
    sender lets in known clients alone; to bind, give `curve_certificate` and, to let in known senders alone, `curve_clients`.
    Errors: a sender whose format differs; a damaged message; several streams under one topic; silence of `idle_timeout_s`.

    Example: {type: zmq_receive, connect: "tcp://127.0.0.1:5556", topic: camera, shape: [2, 34, 34]}

    Source: ZeroMQ RFC 29/PUBSUB and 30/PIPELINE.
    """

    type: Literal["zmq_receive"] = "zmq_receive"
    connect: str | None = Field(None, description="the sender's endpoint: tcp://address:port or ipc://path")
    bind: str | None = Field(None, description="instead of connect: own endpoint that senders connect to (pattern pull)")
    pattern: Literal["sub", "pull"] = Field("sub", description="sub: from a publisher; pull: from a PUSH socket")
    topic: str = Field("", description="of pattern sub: the topic, or how it begins; empty: all that the publisher sends")
    kind: Kind = Field("spikes", description="of the stream's events: spikes, graded or decisions")
    shape: Annotated[tuple[int, ...], Field(min_length=1)] = Field(description="of the stream, as in [2, 34, 34]")
    tick_ms: float | None = Field(None, gt=0, description="the grid that all times lie on; none: continuous")
    rate_hz: float | None = Field(None, gt=0, description="of a sampled signal")
    names: tuple[str, ...] = Field((), description="class names that labels and decisions refer to")
    exit_at: float | None = Field(None, description="of decisions: from which confidence on one is final")
    high_water: int = Field(1000, ge=1, description="messages that ZeroMQ keeps before the queue")
    insecure: bool = Field(False, description="allow plain text from other machines")
    curve_server_key: FilePath | None = Field(None, description="to connect: public key file of the sender")
    curve_certificate: FilePath | None = Field(None, description="own secret key file")
    curve_clients: FilePath | None = Field(None, description="to bind: folder of public key files, let in these senders alone")

    @property
    def endpoint(self) -> str:
        return self.connect or self.bind or ""

    def check(self) -> Format:
        if (self.connect is None) == (self.bind is None):
            raise ValueError("zmq_receive: give connect or bind, and not both")
        if self.bind is not None and self.pattern == "sub":
            raise ValueError("zmq_receive: pattern sub connects to its publisher; to bind, take pattern pull")
        if not ENDPOINT.fullmatch(self.endpoint) or (self.connect is not None and self.connect.endswith(":*")):
            raise ValueError(f"zmq_receive: an endpoint is tcp://address:port or ipc://path, got {self.endpoint!r}")
        self._check_keys()
        tick_us = None if self.tick_ms is None else max(1, round(self.tick_ms * 1000))
        format = Format(self.kind, self.shape, tick_us, self.rate_hz, self.names, self.exit_at)
        self.check_overload(format)
        return format

    def prepare(self) -> Callable[[State | None], Source]:
        format = self.check()
        keys = _Keys(self)
        return lambda state: ZmqReceive(self, format, keys, state)

    def _check_keys(self) -> None:
        if self.bind is not None and self.curve_server_key is not None:
            raise ValueError("zmq_receive: curve_server_key is for connect; to bind, give curve_certificate")
        if self.connect is not None and self.curve_clients is not None:
            raise ValueError("zmq_receive: curve_clients is for bind; to connect, give curve_server_key")
        name = "curve_certificate" if self.connect is None else "curve_server_key"
        needed = getattr(self, name)
        if needed is None and (self.curve_certificate or self.curve_clients):
            raise ValueError(f"zmq_receive: encryption needs {name} here")
        if not (LOCAL.fullmatch(self.endpoint) or needed or self.insecure):
            raise ValueError(f"zmq_receive: {self.endpoint} is reached in plain text over the network: use loopback or ipc, "
                             f"set {name}, or say insecure: true")


class ZmqReceive(LiveSource):
    """The source. Its position is the end of the last packet handed out and that packet's seq (`mark`)."""

    def __init__(self, config: ZmqReceiveConfig, format: Format, keys: _Keys, state: State | None) -> None:
        import zmq

        super().__init__(config, format, state)
        self._config = config
        self._stitcher = Stitcher(format, strict=config.pattern == "pull", state=state)
        self._context = zmq.Context()
        self._guard: Any = None
        try:
            self._socket = self._opened(keys)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise OSError(error.errno, f"zmq_receive: cannot open {config.endpoint}: {error.strerror}; "
                                       "choose another endpoint") from None
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._closed = False

    def report(self) -> dict[str, Any]:
        """Events received, sent, discarded, queued; packets missed by their seq; restarts of the sender."""
        stitcher = self._stitcher
        return report_of(self._queue, endpoint=self.endpoint, packets_missed=stitcher.missed, restarts=stitcher.restarts)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        super().close()
        self._socket.close(linger=0)
        if self._guard is not None:
            self._guard.stop()
        terminate(self._context)

    def _opened(self, keys: _Keys) -> zmq.Socket:
        import zmq

        config = self._config
        socket = self._context.socket(zmq.SUB if config.pattern == "sub" else zmq.PULL)
        socket.set_hwm(config.high_water)
        socket.setsockopt(zmq.RECONNECT_IVL, LEAST_PAUSE_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, MOST_PAUSE_MS)
        socket.setsockopt(zmq.IPV6, config.endpoint.startswith("tcp://["))
        keys.put_on(socket)
        if config.curve_clients is not None:
            self._guard = _guard(self._context, config.curve_clients)
        if config.pattern == "sub":
            socket.subscribe(config.topic.encode())
        if config.bind is not None:
            socket.bind(config.bind)
        else:
            socket.connect(config.endpoint)
        return socket

    def receive(self) -> None:
        """Until the sender's end message, or until the source is closed."""
        limit_s, heard_s = self._config.idle_timeout_s, time.monotonic()
        while not self._queue.closed:
            if not self._socket.poll(POLL_MS):
                if limit_s is not None and time.monotonic() - heard_s > limit_s:
                    raise ValueError(f"zmq_receive: nothing came from {self.endpoint} for {limit_s:g} s; is the sender running?")
                continue
            for packet in self._stitcher.take(self._socket.recv_multipart()):
                if not self._queue.put(packet, self._stitcher.seq):
                    return
            if self._stitcher.ended:
                self._socket.close(linger=0)  # tells a sender that waits for it that all has arrived
                return
            heard_s = time.monotonic()  # after the wait for room in the queue, which is not the sender's silence


class Stitcher:
    """Messages of one stream in, packets that meet out: gaps are bridged and counted, or, if `strict`, an error."""

    def __init__(self, format: Format, *, strict: bool, state: State | None = None) -> None:
        self._format, self._strict = format, strict
        self._at = Position(format.kind, state)
        self.seq = self._at.mark  # of the last packet; -1: none yet
        self._stream: int | None = None
        self._begun = False
        self._lost = 0  # packets missed that no packet has told of yet
        self.missed = self.restarts = 0
        self.ended = False

    def take(self, frames: list[bytes]) -> list[Packet]:
        envelope, packet = wire.decode(frames)
        self._check_stream(frames[0], envelope)
        if packet is None:
            return self._note(envelope)
        closing = self._follow(envelope.seq)
        packet.check(self._format)
        return closing + self._stitched(packet)

    def _check_stream(self, topic: bytes, envelope: wire.Envelope) -> None:
        if self._stream is None:
            self._stream = envelope.stream_id
        if envelope.stream_id != self._stream:
            raise ValueError(f"zmq_receive: a message of another stream came under {topic.decode(errors='replace')!r}: "
                             "set topic to that of one stream, or use one sender")
        if envelope.format is not None:
            check_format(self._format, envelope.format)

    def _note(self, envelope: wire.Envelope) -> list[Packet]:
        """What a message without a packet says of the last packet sent."""
        closing = self._follow(envelope.seq + 1, of_packet=False) if self._begun else []
        if envelope.kind != "end":
            return closing
        self.ended = True
        if self._at.open:
            closing.append(self._at.pass_on(self._at.still(last=True, lost=self._taken_lost()), self.seq))
        return closing

    def _follow(self, seq: int, *, of_packet: bool = True) -> list[Packet]:
        """Count what is missing before `seq`; a sender that began anew ends the episode."""
        due, closing = self.seq + 1, []
        missing = seq - due if self.seq >= 0 else 0
        if missing and self._strict and self._begun:
            raise ValueError(f"zmq_receive: packet {seq} came where {due} was due, and PUSH/PULL loses none: "
                             "let one sender feed this endpoint, and start this pipeline anew with it")
        if missing < 0:
            self.restarts += 1
            if self._at.open:
                closing.append(self._at.pass_on(self._at.still(last=True, lost=self._taken_lost()), self.seq))
            missing = seq
        self.missed += missing
        self._lost += missing
        self.seq = seq if of_packet else max(seq - 1, -1)
        self._begun = True
        return closing

    def _stitched(self, packet: Packet) -> list[Packet]:
        """The packet, reaching back to where the last one ended, and before it the end of an episode whose own end was missed."""
        at, out = self._at, []
        if at.open and (packet.episode != at.episode or packet.begin_us < at.end_us):
            out.append(at.pass_on(at.still(last=True, lost=self._taken_lost()), self.seq))
        if at.open and packet.begin_us > at.end_us:
            packet = join(Packet(at.end_us, packet.begin_us, value=at.value), packet)
        if lost := self._taken_lost():
            packet = replace(packet, lost=packet.lost + lost)
        out.append(at.pass_on(packet, self.seq))
        return out

    def _taken_lost(self) -> int:
        lost, self._lost = self._lost, 0
        return lost


def check_format(wanted: Format, got: Format) -> None:
    """ValueError unless the sender's stream is what the options promise; what they leave open is not compared."""
    for name in ("kind", "shape", "tick_us", "rate_hz", "names", "exit_at"):
        ours, theirs = getattr(wanted, name), getattr(got, name)
        if ours != theirs and (name in ("kind", "shape") or ours not in (None, ())):
            raise ValueError(f"zmq_receive: the sender's {name} is {theirs}, the options say {ours}: set them to what it sends")


class _Keys:
    """The CURVE keys of the options, read once."""

    def __init__(self, config: ZmqReceiveConfig) -> None:
        self._is_server = config.bind is not None
        self._server = None if config.curve_server_key is None else _read("curve_server_key", config.curve_server_key)[0]
        self._own = None if config.curve_certificate is None else _read("curve_certificate", config.curve_certificate)
        if self._own is not None and self._own[1] is None:
            raise ValueError(f"zmq_receive: curve_certificate: {config.curve_certificate} holds no secret key; "
                             "name the .key_secret file")
        if config.curve_clients is not None and not config.curve_clients.is_dir():
            raise ValueError(f"zmq_receive: curve_clients: {config.curve_clients} is no folder of public key files")

    def put_on(self, socket: zmq.Socket) -> None:
        import zmq

        if self._server is None and self._own is None:
            return
        own = self._own if self._own is not None else zmq.curve_keypair()
        socket.curve_publickey, socket.curve_secretkey = own
        if self._is_server:
            socket.curve_server = True
        else:
            socket.curve_serverkey = self._server


def _read(option: str, path: Path) -> tuple[bytes, bytes | None]:
    import zmq.auth

    try:
        return zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"zmq_receive: {option}: cannot read {path}: {error}") from None


def _guard(context: zmq.Context, folder: Path) -> Any:
    """Lets in only those whose public keys lie in the folder."""
    from zmq.auth.thread import ThreadAuthenticator

    guard = ThreadAuthenticator(context)
    guard.start()
    guard.configure_curve(domain="*", location=str(folder))
    return guard
