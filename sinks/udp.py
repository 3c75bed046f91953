"""Events of a camera in, UDP datagrams in the layouts of faery and AEStream out; or decisions in, JSON datagrams out."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.contract import Sink, SinkConfig, State
from pipeline.packet import Format, Packet
from sinks.network import DecisionJson, needs_cover

T64 = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "u1")])  # 13 bytes
T32 = np.dtype([("t", "<u4"), ("x", "<u2"), ("y_on", "<u2")])  # 8 bytes
WORD = np.dtype("<u4")
TIMED_WORD = np.dtype([("word", "<u4"), ("t", "<u4")])
EVENTS_EACH = {"t64_x16_y16_on8": 93, "t32_x16_y15_on1": 151, "aestream": 128, "aestream_t32": 64}  # most a datagram


class UdpConfig(SinkConfig):
    """Sends events, or decisions, as UDP datagrams, each of which holds whole events.

    In: spikes of shape (2, H, W) (polarity, y, x), with H and W up to 32768, or decisions. Layouts, all little-endian:
    t64_x16_y16_on8 (faery): t us u64, x u16, y u16, on u8: 13 bytes an event, 93 events a datagram.
    t32_x16_y15_on1 (faery): t mod 2**32 us u32, x u16, y << 1 | on u16: 8 bytes, 151 a datagram.
    aestream: one u32 word (1 << 31) | x << 16 | on << 15 | y, no time: 4 bytes, 128 a datagram.
    aestream_t32: the word with bit 31 clear, then t mod 2**32 us u32: 8 bytes, 64 a datagram.
    json: a JSON object a decision and datagram, as the sink mqtt sends it, seq among its fields.
    auto: json for decisions, t64_x16_y16_on8 for events.

    Guarantee: may lose. UDP has no flow control: what a receiver is too slow for, or nobody receives, is gone without a word,
    and datagrams may change places. Decisions carry seq, so that a gap shows; the layouts of events have no place for one.
    No empty packet, label or episode is sent. A run that resumes sends again what came after its checkpoint.
    UDP is plain text: off this machine it is refused unless `insecure` is true.
    Errors: a host that is not known; a network that cannot be reached; a stream that the layout cannot hold.

    Example: {type: udp, host: 127.0.0.1, port: 7777}

    Source: faery, "UDP input" (its documentation); AEStream, class DVSToUDP; RFC 768.
    """

    type: Literal["udp"] = "udp"
    host: str = Field("127.0.0.1", min_length=1, description="the receiver's name or address")
    port: int = Field(ge=1, le=65535, description="the receiver's port")
    layout: Literal["auto", "t64_x16_y16_on8", "t32_x16_y15_on1", "aestream", "aestream_t32", "json"] = Field(
        "auto", description="what a datagram holds"
    )
    insecure: bool = Field(False, description="allow plain text to other machines")

    def check(self, upstream: Format) -> None:
        layout = self.layout_for(upstream)
        if layout == "json" and upstream.kind != "decisions":
            raise ValueError(f"udp: layout json takes decisions, got {upstream}: put a readout before it, or take another layout")
        if layout != "json":
            shape = upstream.shape
            if upstream.kind != "spikes" or len(shape) != 3 or shape[0] != 2 or max(shape[1:]) > 32768:
                raise ValueError(f"udp: layout {layout} takes spikes of shape (2, H, W), H and W up to 32768, got {upstream}")
        needs_cover("udp", self.host, self.insecure, "")

    def layout_for(self, upstream: Format) -> str:
        return self.layout if self.layout != "auto" else "json" if upstream.kind == "decisions" else "t64_x16_y16_on8"

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        self.check(upstream)
        try:
            family, _, _, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)[0]
        except OSError as error:
            raise ValueError(f"udp: host {self.host} is not known ({error.strerror}): correct it") from None
        layout = self.layout_for(upstream)
        datagrams = _decision_datagrams(upstream, stream) if layout == "json" else _event_datagrams(upstream, layout)
        return lambda state: Udp(family, address, datagrams, 0 if state is None else int(state["seq"]))


Datagrams = Callable[[Packet, int], list[bytes]]


class Udp:
    """A socket and what cuts packets into datagrams. seq: the number of the next datagram, which for decisions is theirs."""

    def __init__(self, family: int, address: tuple[object, ...], datagrams: Datagrams, seq: int) -> None:
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._address, self._datagrams, self._seq = address, datagrams, seq

    def write(self, packet: Packet) -> None:
        if packet.n == 0:
            return
        for datagram in self._datagrams(packet, self._seq):
            try:
                self._socket.sendto(datagram, self._address)
            except OSError as error:
                raise ValueError(f"udp: cannot send {len(datagram)} bytes to {self._address[0]} port {self._address[1]}: "
                                 f"{error.strerror}") from None
            self._seq += 1

    def snapshot(self) -> State:
        return {"seq": np.array(self._seq, np.int64)}

    def close(self) -> None:
        self._socket.close()


def _decision_datagrams(format: Format, stream: str) -> Datagrams:
    texts = DecisionJson(format, stream)
    return lambda packet, seq: [text.encode() for text in texts.texts(packet, seq)]


def _event_datagrams(format: Format, layout: str) -> Datagrams:
    _, height, width = format.shape
    columns = LAYOUTS[layout]
    step = EVENTS_EACH[layout]

    def cut(packet: Packet, seq: int) -> list[bytes]:
        row, x = np.divmod(packet.unit, np.uint32(width))
        on, y = np.divmod(row, np.uint32(height))
        words = columns(packet.t_us, x, y, on)
        return [words[first : first + step].tobytes() for first in range(0, packet.n, step)]

    return cut


def _t64(t_us: np.ndarray, x: np.ndarray, y: np.ndarray, on: np.ndarray) -> np.ndarray:
    return _filled(T64, t=t_us, x=x, y=y, on=on)


def _t32(t_us: np.ndarray, x: np.ndarray, y: np.ndarray, on: np.ndarray) -> np.ndarray:
    return _filled(T32, t=t_us & 0xFFFFFFFF, x=x, y_on=y << 1 | on)


def _words(t_us: np.ndarray, x: np.ndarray, y: np.ndarray, on: np.ndarray) -> np.ndarray:
    return (1 << 31 | x << 16 | on << 15 | y).astype(WORD)


def _timed_words(t_us: np.ndarray, x: np.ndarray, y: np.ndarray, on: np.ndarray) -> np.ndarray:
    return _filled(TIMED_WORD, word=x << 16 | on << 15 | y, t=t_us & 0xFFFFFFFF)


def _filled(dtype: np.dtype, **columns: np.ndarray) -> np.ndarray:
    events = np.empty(columns["t"].shape, dtype)
    for name, column in columns.items():
        events[name] = column
    return events


LAYOUTS = {"t64_x16_y16_on8": _t64, "t32_x16_y15_on1": _t32, "aestream": _words, "aestream_t32": _timed_words}
