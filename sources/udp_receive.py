"""UDP datagrams of address events in, in the layouts of faery and AEStream; packets that meet out."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from pipeline.contract import Source, State
from pipeline.packet import Format
from sources.sensor import SensorConfig, SensorSource

Layout = Literal["t64_x16_y16_on8", "t32_x16_y15_on1", "aestream", "aestream_t32"]
RECORDS: dict[str, np.dtype] = {
    "t64_x16_y16_on8": np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "u1")]),
    "t32_x16_y15_on1": np.dtype([("t", "<u4"), ("x", "<u2"), ("y_on", "<u2")]),
    "aestream": np.dtype([("word", "<u4")]),
    "aestream_t32": np.dtype([("word", "<u4"), ("t", "<u4")]),
}
TIMELESS = np.uint32(1 << 31)
MOST_T_US = 1 << 62
MOST_BYTES = 65536
SO_RXQ_OVFL = 40  # Linux: each datagram tells how many the socket's full buffer has dropped so far


class UdpReceiveConfig(SensorConfig):
    """Receives the address events of a camera as UDP datagrams: from faery, AEStream, or the sink `udp`.

    Out: spikes of shape (2, height, width), ON is index 1, y as sent. Layouts, all little-endian:
    t64_x16_y16_on8 (faery): t us u64, x u16, y u16, on u8: 13 bytes an event.
    t32_x16_y15_on1 (faery): t mod 2**32 us u32, x u16, y << 1 | on u16: 8 bytes.
    aestream: one u32 word (1 << 31) | x << 16 | on << 15 | y, no time: events get the host's time of their arrival.
    aestream_t32: the word with bit 31 clear, then t mod 2**32 us u32.

    Stream time begins at 0 when the source starts; the first event is stamped with its arrival, from there the sensor's clock
    leads. In silence the end of the stream follows the host's clock, by a fit of the two clocks, less `lateness_ms`; an event
    that arrives later is dropped and counted in `lost`. A sensor whose clock falls back by more than 1 s has begun anew.
    No layout has a sequence number, so what the network lost is not known. What this machine's full buffer dropped is (on Linux):
    each such datagram counts in `lost` as many events as those that came next held on average. Events outside of the geometry are
    dropped and counted in `lost` too; datagrams that do not fit the layout are counted in the report.
    UDP is plain text and open to anyone who can reach it: to listen off this machine say `insecure: true`.
    Errors: a port that is taken; silence of `idle_timeout_s`. A run that resumes goes on with what arrives then.

    Example: {type: udp_receive, port: 7777, width: 640, height: 480, on_overload: drop_oldest}

    Source: faery, "UDP input" (its documentation); AEStream, class DVSToUDP, after the SPIF protocol; RFC 768.
    """

    type: Literal["udp_receive"] = "udp_receive"
    host: str = Field("127.0.0.1", description="address to listen at; 0.0.0.0: all of this machine's")
    port: int = Field(ge=0, le=65535, description="port to listen at; 0 takes a free one")
    width: int = Field(ge=1, le=32768, description="columns of the sensor, pixels")
    height: int = Field(ge=1, le=32768, description="rows of the sensor, pixels")
    layout: Layout = Field("t64_x16_y16_on8", description="what a datagram holds")
    packet_ms: float = Field(1.0, gt=0, le=100, description="datagrams of this length of time become one packet, ms")
    buffer_mb: float = Field(8.0, gt=0, description="the socket's buffer, as far as the system allows, MB")
    insecure: bool = Field(False, description="allow anyone who can reach this machine to send")

    def check(self) -> Format:
        try:
            local = self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            raise ValueError(f"udp_receive: host must be an address of this machine, as 127.0.0.1, got {self.host!r}") from None
        if not (local or self.insecure):
            raise ValueError(f"udp_receive: anyone who can reach {self.host} could send: take 127.0.0.1 or say insecure: true")
        format = Format("spikes", (2, self.height, self.width))
        self.check_overload(format)
        return format

    def prepare(self) -> Callable[[State | None], Source]:
        format = self.check()
        return lambda state: UdpReceive(self, format, state)


class UdpReceive(SensorSource):
    """The source: a socket is bound from the start, so that what arrives before the first packet is asked for waits in it."""

    def __init__(self, config: UdpReceiveConfig, format: Format, state: State | None) -> None:
        super().__init__(config, format, state)
        self._config = config
        self._decoder = Decoder(config.layout, config.width, config.height)
        self._datagrams = self._overflowed = 0
        self._socket = _bound(config)
        self.port = int(self._socket.getsockname()[1])

    def figures(self) -> dict[str, Any]:
        return {"port": self.port, "datagrams": self._datagrams, "datagrams_overflowed": self._overflowed,
                "datagrams_malformed": self._decoder.malformed, "events_outside": self._decoder.outside}

    def close(self) -> None:
        super().close()
        self._socket.close()

    def listen(self) -> None:
        while not self._queue.closed:
            got = self._gathered(self._config.wait_s)
            if not (self._take(got) if got else self.silence(f"nothing came to port {self.port}", "is the sender running?")):
                return

    def _gathered(self, wait_s: float) -> list[tuple[bytes, int]]:
        """Datagrams of packet_ms from the first on, each with the number that the full buffer dropped before it."""
        got: list[tuple[bytes, int]] = []
        until_s, left_s = 0.0, wait_s
        while left_s > 0:
            self._socket.settimeout(left_s)
            try:
                data, about, _, _ = self._socket.recvmsg(MOST_BYTES, socket.CMSG_SPACE(4))
            except TimeoutError:
                break
            until_s = until_s or time.monotonic() + self._config.packet_ms / 1e3
            got.append((data, self._dropped(about)))
            left_s = until_s - time.monotonic()
        self._datagrams += len(got)
        return got

    def _dropped(self, about: list[tuple[int, int, bytes]]) -> int:
        for level, kind, data in about:
            if (level, kind) == (socket.SOL_SOCKET, SO_RXQ_OVFL):
                before, self._overflowed = self._overflowed, struct.unpack("=I", data)[0]
                return self._overflowed - before
        return 0

    def _take(self, got: list[tuple[bytes, int]]) -> bool:
        t_us, unit, lost = self._decoder.decode([data for data, _ in got])
        if dropped := sum(before for _, before in got):
            events = sum(len(data) for data, _ in got) // RECORDS[self._config.layout].itemsize
            lost += round(dropped * events / len(got))  # as if they had held as many as those that came
        return self.stamp(unit, lost) if t_us is None else self.take(t_us, unit, lost)


class Decoded(NamedTuple):
    t_us: np.ndarray | None  # (n,) int64, the sensor's; None: the layout has no times
    unit: np.ndarray  # (n,) uint32
    lost: int  # events that were left out


class Decoder:
    """Datagrams of one layout in, events out, in the order of arrival; times modulo 2**32 are continued."""

    def __init__(self, layout: Layout, width: int, height: int) -> None:
        self._layout, self._record = layout, RECORDS[layout]
        self._width, self._height = width, height
        self._newest_us: int | None = None
        self.malformed = self.outside = 0

    def decode(self, datagrams: list[bytes]) -> Decoded:
        whole = [data for data in datagrams if data and len(data) % self._record.itemsize == 0 and self._is_of_layout(data)]
        self.malformed += len(datagrams) - len(whole)
        events = np.frombuffer(b"".join(whole), self._record)
        x, y, on = self._addresses(events)
        fits = (x < self._width) & (y < self._height)
        t_us = None
        if "t" in events.dtype.names:  # type: ignore[operator]
            fits &= events["t"] < MOST_T_US
            t_us = self._times(events["t"][fits])
        unit = ((on * self._height + y) * self._width + x)[fits].astype(np.uint32)
        outside = events.size - unit.size
        self.outside += outside
        return Decoded(t_us, unit, outside)

    def _is_of_layout(self, data: bytes) -> bool:
        """Whether bit 31 of the first word, which in AEStream's layouts tells whether times follow, is as it should be."""
        return not self._layout.startswith("aestream") or (data[3] >> 7 == 1) == (self._layout == "aestream")

    def _addresses(self, events: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self._layout == "t64_x16_y16_on8":
            return events["x"].astype(np.int64), events["y"].astype(np.int64), (events["on"] != 0).astype(np.int64)
        if self._layout == "t32_x16_y15_on1":
            y_on = events["y_on"].astype(np.int64)
            return events["x"].astype(np.int64), y_on >> 1, y_on & 1
        word = events["word"].astype(np.int64)
        return word >> 16 & 0x7FFF, word & 0x7FFF, word >> 15 & 1

    def _times(self, t: np.ndarray) -> np.ndarray:
        if t.dtype.itemsize == 8:
            return t.astype(np.int64)
        if not t.size:
            return t.astype(np.int64)
        if self._newest_us is None:
            self._newest_us = int(t[0])
        # the difference to the newest time, as a signed number, is right as long as it is less than 35 minutes
        t_us = (t - np.uint32(self._newest_us & 0xFFFFFFFF)).astype(np.int32).astype(np.int64) + self._newest_us
        self._newest_us = int(t_us[-1])
        return t_us


def _bound(config: UdpReceiveConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, round(config.buffer_mb * (1 << 20)))
        if sys.platform == "linux":
            made.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        made.bind((config.host, config.port))
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"udp_receive: cannot listen at {config.host} port {config.port}: {error.strerror}; "
                                   "choose another port") from None
    return made
