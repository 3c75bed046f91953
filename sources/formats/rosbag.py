"""ROS 1 bags (.bag) and ROS 2 bags (.db3, .mcap) of event_camera_msgs and dvs_msgs, by the package `rosbags` (extra `ros`).

* event_camera_msgs/EventPacket: encoding evt3 (sensor time, wrapped as in RAW files) or mono (time_base plus 32 bits of ns);
  packets missing by their seq are counted.
* dvs_msgs/EventArray (and prophesee_event_msgs of the same layout): each event has its own time, seconds and nanoseconds.
Where a bag has several such topics, `table` names the one to read. A message is a chunk.

Source: github.com/ros-event-camera/event_camera_msgs, README and EventPacket.msg; github.com/uzh-rpg/rpg_dvs_ros, dvs_msgs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from sources.cut import Events
from sources.formats.header import Chunk, Decoder, Header, Peek, RecordingFormat
from sources.formats.words import start_position
from sources.kernels import position as slot

MAGICS = {b"#ROSBAG V2.0": ".bag", b"SQLite format 3\x00": ".db3", b"\x89MCAP0\r\n": ".mcap"}
PACKETS = ("event_camera_msgs/msg/EventPacket", "event_array_msgs/msg/EventArray")
ARRAYS = ("dvs_msgs/msg/EventArray", "prophesee_event_msgs/msg/EventArray")
MOST = 1 << 16  # pixels of width and height
ROOM = 1 << 16  # events
TIME_NS, NTH, SEQ, MISSING, KERNEL = range(5)  # of a position: where the next message stands; its last seq; then the kernel's
PACKED = np.dtype([("x", "<u2"), ("y", "<u2"), ("s", "<u4"), ("ns", "<u4"), ("p", "u1")])  # ROS 1 has no padding
ALIGNED = np.dtype([("x", "<u2"), ("y", "<u2"), ("pad", "<u2"), ("s", "<u4"), ("ns", "<u4"), ("p", "u1"), ("end", "u1")])


class Message(NamedTuple):
    width: int
    height: int
    seq: int
    time_base_ns: int
    encoding: str
    body: bytes


def recognise(peek: Peek) -> Header | None:
    suffix = next((suffix for magic, suffix in MAGICS.items() if peek.head.startswith(magic)), None)
    if suffix is None:
        return None
    with _opened(peek.path, suffix) as reader:
        connections = [c for c in reader.connections if c.msgtype in PACKETS + ARRAYS]
        topics = sorted({c.topic for c in connections})
        wanted = peek.options.table
        if wanted is not None and wanted not in topics:
            raise ValueError(f"{peek.path}: no events on topic {wanted!r}; there are {', '.join(topics) or 'none'}")
        if wanted is None and len(topics) != 1:
            what = f"events on {', '.join(topics)}: set table to one of these topics" if topics else "no topic with events in it"
            raise ValueError(f"{peek.path}: a ROS bag with {what}")
        topic = wanted or topics[0]
        chosen = [c for c in connections if c.topic == topic]
        for connection, _, raw in reader.messages(chosen):
            message = _parse(peek.path, connection.msgtype, bytes(raw), suffix != ".bag")
            break
        else:
            raise ValueError(f"{peek.path}: no message on topic {topic}")
    if peek.geometry and peek.geometry != (message.width, message.height):
        raise ValueError(f"{peek.path}: the messages say {message.width}x{message.height}: leave out width and height")
    if not (0 < message.width <= MOST and 0 < message.height <= MOST):
        raise ValueError(f"{peek.path}: a geometry of {message.width}x{message.height} is not possible")
    details = {"topic": topic, "encoding": message.encoding, "container": suffix}
    return Header(peek.path, "rosbag", peek.size, 0, (2, message.height, message.width), "header", details=details)


@contextmanager
def _opened(path: Any, suffix: str) -> Iterator[Any]:
    """A reader of the package; whatever it finds wrong is one line."""
    try:
        from rosbags.rosbag1 import Reader as Reader1
        from rosbags.rosbag2 import Reader as Reader2
    except ImportError:
        raise ValueError(f"{path}: ROS bags need the package rosbags: install the extra spikeline[ros]") from None
    try:
        with (Reader1 if suffix == ".bag" else Reader2)(path) as reader:
            yield reader
    except Exception as error:  # a damaged bag raises whatever its parsers do
        if isinstance(error, ValueError) and str(error).startswith(f"{path}: "):
            raise
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise ValueError(f"{path}: a damaged or cut off ROS bag ({reason[:120]})") from None


class _Fields:
    """The fields of a serialised message, one after another: of ROS 1 (packed), or of ROS 2 (CDR: aligned)."""

    def __init__(self, raw: bytes, cdr: bool) -> None:
        self._raw, self._at, self._cdr, self._origin = raw, 4 if cdr else 0, cdr, 4 if cdr else 0
        if cdr and raw[:2] != b"\x00\x01":
            raise ValueError("a message that is not little-endian CDR")

    def number(self, code: str) -> int:
        size = struct.calcsize("<" + code)
        if self._cdr:
            self._at += -(self._at - self._origin) % size
        (value,) = struct.unpack_from("<" + code, self._raw, self._at)
        self._at += size
        return int(value)

    def text(self) -> bytes:
        """A length, and so many bytes."""
        size = self.number("I")
        if size > len(self._raw) - self._at:
            raise ValueError(f"a message of {len(self._raw)} bytes that tells of {size} more")
        self._at += size
        return self._raw[self._at - size : self._at]

    def rest(self) -> bytes:
        return self._raw[self._at :]


def _parse(path: Any, msgtype: str, raw: bytes, cdr: bool) -> Message:
    try:
        fields = _Fields(raw, cdr)
        if not cdr:
            fields.number("I")  # the header's own seq
        fields.number("I"), fields.number("I"), fields.text()
        height, width = fields.number("I"), fields.number("I")
        if msgtype in ARRAYS:
            count = fields.number("I")
            return Message(width, height, count, 0, "array", fields.rest())
        seq, time_base = fields.number("Q"), fields.number("Q")
        encoding = fields.text().rstrip(b"\x00").decode("ascii", "replace")
        fields.number("B")
        return Message(width, height, seq, time_base, encoding, fields.text())
    except (struct.error, ValueError) as error:
        raise ValueError(f"{path}: a damaged message of events ({error})") from None


def _decode(header: Header, start: np.ndarray | None) -> Iterator[Chunk]:
    from sources.kernels.evt3 import decode

    position = np.concatenate((np.array((-(2**62), 0, -1, 0)), start_position())) if start is None else start.copy()
    suffix, topic = header.details["container"], header.details["topic"]
    with _opened(header.path, suffix) as reader:
        chosen = [c for c in reader.connections if c.topic == topic and c.msgtype in PACKETS + ARRAYS]
        begin_ns, skip = int(position[TIME_NS]), int(position[NTH])
        for connection, time_ns, raw in reader.messages(chosen, start=begin_ns if start is not None else None):
            if time_ns == begin_ns and skip:
                skip -= 1
                continue
            message = _parse(header.path, connection.msgtype, bytes(raw), suffix != ".bag")
            if (message.height, message.width) != header.shape[1:]:
                raise ValueError(f"{header.path}: a message of {message.width}x{message.height} among others of another size")
            before = position.copy()
            events = _events(header, message, position, decode)
            _move_on(position, time_ns, message)
            ordered = bool(before[KERNEL + slot.BACKWARDS] == position[KERNEL + slot.BACKWARDS])
            since_us, newest_us = int(before[KERNEL + slot.NEWEST_US]), int(position[KERNEL + slot.NEWEST_US])
            yield Chunk(before, events, since_us, newest_us, ordered, _counts(position))


def _move_on(position: np.ndarray, time_ns: int, message: Message) -> None:
    """To the message after this one."""
    position[NTH] = position[NTH] + 1 if time_ns == position[TIME_NS] else 1
    position[TIME_NS] = time_ns
    if message.encoding != "array":
        if position[SEQ] >= 0:
            position[MISSING] += max(message.seq - int(position[SEQ]) - 1, 0)
        position[SEQ] = message.seq & (2**62 - 1)


def _counts(position: np.ndarray) -> dict[str, int]:
    names = {"events": slot.EVENTS, "backwards": slot.BACKWARDS, "triggers": slot.TRIGGERS, "incomplete": slot.INCOMPLETE,
             "unknown_words": slot.UNKNOWN}  # fmt: skip
    return {name: int(position[KERNEL + place]) for name, place in names.items()} | {"missing_packets": int(position[MISSING])}


def _events(header: Header, message: Message, position: np.ndarray, decode: Any) -> Events:
    """The events of one message; the position's numbers of the kernel are moved on."""
    state = position[KERNEL:]
    if message.encoding == "evt3":
        return _evt3(header, message, state, decode)
    if message.encoding == "mono":
        words = np.frombuffer(message.body, "<u8", len(message.body) // 8)
        ns = message.time_base_ns + (words & np.uint64(0xFFFFFFFF)).astype(np.int64)
        places = ((32, 0xFFFF), (48, 0x7FFF), (63, 1))
        x, y, p = ((words >> np.uint64(shift) & np.uint64(mask)).astype(np.int64) for shift, mask in places)
        t_us = (ns + 500) // 1000
    elif message.encoding == "array":
        rows = _rows(header, message)
        x, y, p = (rows[name].astype(np.int64) for name in "xyp")
        t_us = rows["s"].astype(np.int64) * 1_000_000 + (rows["ns"].astype(np.int64) + 500) // 1000
    else:
        raise ValueError(f"{header.path}: events are encoded as {message.encoding!r}: evt3 and mono can be read")
    _, height, width = header.shape
    outside = (x >= width) | (y >= height)
    if outside.any():
        at = int(np.argmax(outside))
        raise ValueError(f"{header.path}: an event at x={x[at]}, y={y[at]} lies outside of {width}x{height}: the file is damaged")
    if t_us.size:
        newest = np.maximum.accumulate(np.maximum(t_us, state[slot.NEWEST_US]))
        state[slot.BACKWARDS] += int((t_us < newest).sum())
        state[slot.NEWEST_US] = newest[-1]
        state[slot.EVENTS] += t_us.size
    return Events(t_us, (((p > 0) * height + y) * width + x).astype(np.uint32))


def _rows(header: Header, message: Message) -> np.ndarray:
    """The events of a dvs_msgs/EventArray; `seq` holds their number."""
    n, body = message.seq, message.body
    if header.details["container"] == ".bag":
        if len(body) < n * PACKED.itemsize:
            raise ValueError(f"{header.path}: a damaged message: {len(body)} bytes for {n} events")
        return np.frombuffer(body, PACKED, n)
    # aligned to 4 bytes where the first event begins: only this one has no padding between its address and its time
    if n and len(body) < 16 * n - 3:
        raise ValueError(f"{header.path}: a damaged message: {len(body)} bytes for {n} events")
    padded = body[:4] + b"\x00\x00" + body[4 : 16 * n - 2]
    return np.frombuffer(padded.ljust(ALIGNED.itemsize * n, b"\x00"), ALIGNED, n)


def _evt3(header: Header, message: Message, state: np.ndarray, decode: Any) -> Events:
    if len(message.body) % 2:
        raise ValueError(f"{header.path}: a message of {len(message.body)} bytes of evt3: half a word")
    words = np.frombuffer(message.body, "<u2").astype(np.uint16)
    times, units = [], []
    state[slot.WORD] = at = 0
    while at < words.size:
        room = min(ROOM, 12 * words.size) + 28
        t_us, unit = np.empty(room, np.int64), np.empty(room, np.uint32)
        n = decode(words[at:], header.shape[2], header.shape[1], state, t_us, unit)
        if state[slot.FAULT_X] >= 0:
            x, y = int(state[slot.FAULT_X]), int(state[slot.FAULT_Y])
            raise ValueError(f"{header.path}: an event at x={x}, y={y} lies outside of {header.shape[2]}x{header.shape[1]}")
        at = int(state[slot.WORD])
        times.append(t_us[:n])
        units.append(unit[:n])
    return Events(np.concatenate([np.empty(0, np.int64), *times]), np.concatenate([np.empty(0, np.uint32), *units]))


def load(header: Header) -> Decoder:
    import sources.kernels.evt3  # noqa: F401  (compiles)

    return _decode


ROSBAG = RecordingFormat("rosbag", recognise, load)
