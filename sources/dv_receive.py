"""Events of a dv-processing (or DV) network server in, over TCP or a unix socket; packets that meet out."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, Source, State
from pipeline.packet import NO_TIMES, NO_UNITS, Format
from sources.formats.flatbuffer import Damaged, Table
from sources.live import POLL_MS
from sources.sensor import SensorConfig, SensorSource

EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("on", "u1"), ("unused", "V3")])
COMPRESSIONS = ("none", "lz4", "lz4_high", "zstd", "zstd_high")
MOST_BYTES = 1 << 28  # of a message: more than any camera sends at once
LOCAL = ("127.", "localhost", "::1")
LEAST_PAUSE_S, MOST_PAUSE_S = 0.1, 2.0  # between two attempts to connect
CONNECT_S = 0.2
GREATEST_US = 1 << 62


class DvReceiveConfig(SensorConfig):
    """Receives the event stream of a dv-processing NetworkWriter, or of DV's network output.

    Out: spikes of shape (2, height, width), ON is index 1, y as sent; width and height must be those that the server tells.
    The stream is that of AEDAT 4: a header (what is sent, and how it is compressed: not at all, LZ4 or Zstandard), then packets.

    Stream time begins at 0 when the source starts; the first event is stamped with its arrival, from there the sensor's clock
    leads. In silence the end of the stream follows the host's clock, by a fit of the two clocks, less `lateness_ms`; an event
    that arrives later is dropped and counted in `lost`. TCP loses nothing on the way; a server drops what its client is too slow
    for. A connection that cannot be had, or that is lost, is tried again (after 0.1 s, then twice as long, up to 2 s), until
    `idle_timeout_s` if that is given; with `reconnect: false` a lost connection ends the stream.
    TCP without TLS is plain text: off this machine it is refused unless `insecure` is true.
    Errors: a server of another geometry or without events; damaged data; silence of `idle_timeout_s`. A run that resumes goes on
    with what arrives then.

    Example: {type: dv_receive, port: 10000, width: 346, height: 260, on_overload: latest}

    Source: iniVation, "AEDAT file formats", 4.0; dv-processing, NetworkWriter, checked against version 2.0.4.
    """

    type: Literal["dv_receive"] = "dv_receive"
    host: str = Field("127.0.0.1", min_length=1, description="the server's name or address")
    port: int | None = Field(None, ge=1, le=65535, description="the server's TCP port; or give path")
    path: FilePath | None = Field(None, description="the server's unix socket, instead of host and port")
    width: int = Field(ge=1, le=32767, description="columns of the sensor, pixels")
    height: int = Field(ge=1, le=32767, description="rows of the sensor, pixels")
    reconnect: bool = Field(True, description="whether a lost connection is tried again; else it ends the stream")
    insecure: bool = Field(False, description="allow plain text from other machines")

    @property
    def endpoint(self) -> str:
        return f"{self.host} port {self.port}" if self.path is None else str(self.path)

    def check(self) -> Format:
        if (self.port is None) == (self.path is None):
            raise ValueError("dv_receive: give port or path, and not both")
        if self.path is None and not (self.host.startswith(LOCAL) or self.insecure):
            raise ValueError(f"dv_receive: {self.host} is reached in plain text over a network: tunnel it or say insecure: true")
        format = Format("spikes", (2, self.height, self.width))
        self.check_overload(format)
        return format

    def prepare(self) -> Callable[[State | None], Source]:
        format = self.check()
        return lambda state: DvReceive(self, format, state)


class DvReceive(SensorSource):
    """The source: connects, reads until the server hangs up, and connects again."""

    def __init__(self, config: DvReceiveConfig, format: Format, state: State | None) -> None:
        super().__init__(config, format, state)
        self._config = config
        self._connections = self._outside = self._others = 0

    def figures(self) -> dict[str, Any]:
        return {"connections": self._connections, "events_outside": self._outside, "other_packets": self._others}

    def listen(self) -> None:
        pause_s = LEAST_PAUSE_S
        while not self._queue.closed:
            connection = self._connected()
            if connection is not None:
                pause_s = LEAST_PAUSE_S
                with connection:
                    self._read_from(connection)
                if not self._config.reconnect:
                    self.finished()
                    return
            until_s = time.monotonic() + pause_s
            while time.monotonic() < until_s and self._pass_time():
                time.sleep(POLL_MS / 1e3)
            pause_s = min(2 * pause_s, MOST_PAUSE_S)

    def _connected(self) -> socket.socket | None:
        config = self._config
        try:
            if config.path is None:
                return socket.create_connection((config.host, config.port or 0), timeout=CONNECT_S)
            made = socket.socket(socket.AF_UNIX)
            try:
                made.connect(str(config.path))
            except OSError:
                made.close()
                raise
            return made
        except OSError:
            return None

    def _read_from(self, connection: socket.socket) -> None:
        """Until the server hangs up or the source is closed."""
        reader = DvReader(self._config.width, self._config.height)
        self._connections += 1
        self._mint.reconnected()
        connection.settimeout(min(self._config.wait_s, POLL_MS / 1e3))
        while not self._queue.closed:
            try:
                data = connection.recv(1 << 20)
            except TimeoutError:
                if not self._pass_time():
                    return
                continue
            except ConnectionError:
                return
            if not data:
                return
            self._heard_s = time.monotonic()
            t_us, unit, outside = reader.feed(data)
            self._outside += outside
            self._others += reader.take_others()
            if (t_us.size or outside) and not self.take(t_us, unit, outside):
                return

    def _pass_time(self) -> bool:
        """Hand out silence; False when the source is closed."""
        what = "nothing came from" if self._connections else "nobody answers at"
        return self.silence(f"{what} {self._config.endpoint}", "is the server running?")


class DvReader:
    """The bytes of one connection in, in pieces of any size; the events of its whole packets out."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._held = bytearray()
        self._decompress: Callable[[memoryview], Any] | None = None  # None: the header is still to come
        self._stream = -1
        self._others = 0

    def feed(self, data: bytes) -> tuple[np.ndarray, np.ndarray, int]:
        """Times as the sensor stamped them (n,) int64 us, units (n,) uint32, and how many events lay outside of the sensor."""
        self._held += data
        parts, outside, at = [(NO_TIMES, NO_UNITS)], 0, 0
        held = bytes(self._held)
        while (whole := self._next(held, at)) is not None:
            at, part, missed = whole
            outside += missed
            if part is not None:
                parts.append(part)
        del self._held[:at]
        t_us, unit = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return t_us, unit, outside

    def take_others(self) -> int:
        """Packets of other streams, passed over since the last call."""
        others, self._others = self._others, 0
        return others

    def _next(self, held: bytes, at: int) -> tuple[int, tuple[np.ndarray, np.ndarray] | None, int] | None:
        """Where the message at `at` ends, its events, and how many lay outside; None if it is not whole yet."""
        head_bytes = 4 if self._decompress is None else 8
        if len(held) - at < head_bytes:
            return None
        *number, size = struct.unpack_from("<I" if self._decompress is None else "<iI", held, at)
        if size > MOST_BYTES:
            raise ValueError(f"dv_receive: a message of {size} bytes: this is not a stream of dv-processing, or it is damaged")
        begin, end = at + head_bytes, at + head_bytes + size
        if len(held) < end:
            return None
        try:
            if self._decompress is None:
                self._read_header(held[begin:end])
                return end, None, 0
            if number[0] != self._stream:
                self._others += 1
                return end, None, 0
            return end, *self._events(bytes(self._decompress(memoryview(held)[begin:end])))
        except (Damaged, struct.error) as error:
            raise ValueError(f"dv_receive: a message {error}: the stream is damaged") from None

    def _read_header(self, data: bytes) -> None:
        if data[4:8] != b"IOHE":
            raise ValueError(f"dv_receive: a stream of dv-processing begins with 'IOHE', got {data[4:8]!r}")
        table = Table.root(memoryview(data), 0)
        compression = table.integer(0, "<i", 0)
        if not 0 <= compression < len(COMPRESSIONS):
            raise ValueError(f"dv_receive: compressed by method {compression}, which is none of {', '.join(COMPRESSIONS)}")
        self._stream = self._event_stream(table.text(2))
        self._decompress = _decompressor(COMPRESSIONS[compression])

    def _event_stream(self, info: str) -> int:
        """The number of the stream of events."""
        try:
            nodes = ElementTree.fromstring(info).findall("./node[@name='outInfo']/node")
        except ElementTree.ParseError as error:
            raise ValueError(f"dv_receive: the server's description of its streams cannot be read: {error}") from None
        kinds = {node.get("name", ""): node.findtext("./attr[@key='typeIdentifier']") or "?" for node in nodes}
        for node in nodes:
            if kinds[node.get("name", "")] == "EVTS":
                size = [node.findtext(f"./node[@name='info']/attr[@key='{key}']") for key in ("sizeX", "sizeY")]
                if size not in ([str(self._width), str(self._height)], [None, None]):
                    raise ValueError(f"dv_receive: the server's sensor has {size[0]} x {size[1]} pixels, the options say "
                                     f"{self._width} x {self._height}: set width and height to that")
                return int(node.get("name", "0"))
        raise ValueError(f"dv_receive: the server sends no events, only {', '.join(kinds.values()) or 'nothing'}")

    def _events(self, data: bytes) -> tuple[tuple[np.ndarray, np.ndarray], int]:
        if data[8:12] != b"EVTS":
            raise Damaged(f"is marked {data[8:12]!r}, where 'EVTS' is wanted")
        first, count = Table.root(memoryview(data), 4).vector(0, EVENT.itemsize)
        events = np.frombuffer(data, EVENT, count, first)
        x, y, t_us = events["x"].astype(np.int64), events["y"].astype(np.int64), events["t"]
        fits = (x >= 0) & (x < self._width) & (y >= 0) & (y < self._height) & (t_us > -GREATEST_US) & (t_us < GREATEST_US)
        unit = ((events["on"] != 0) * self._height + y) * self._width + x
        return (t_us[fits].astype(np.int64), unit[fits].astype(np.uint32)), count - int(fits.sum())


def _decompressor(compression: str) -> Callable[[memoryview], Any]:
    if compression == "none":
        return bytes
    from sources.formats import decompress

    return decompress.Lz4() if compression.startswith("lz4") else decompress.zstd
