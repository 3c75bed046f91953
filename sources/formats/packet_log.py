"""Recordings of packets, made by the sink `record`, as events: for `spikeline info`, `spikeline convert` and `dvs_file`.

The source `recorded` replays the packets themselves, of any stream. Here one episode of events is read: where times begin anew
there is no one recording, and decisions are no events. Source: pipeline/packet_log.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.packet_log import MAGIC, PacketLog
from sources.cut import Events
from sources.formats.header import Chunk, Decoder, Header, Peek, RecordingFormat, Truncated
from sources.kernels.position import BEFORE_ALL_US

MOST_LOST = 1 << 24  # of one packet: a time is kept for each
OFFSET, NEWEST_US, EVENTS, LOST, PACKETS, EPISODE = range(6)  # of the position; OFFSET: bytes; EPISODE: -1 before the first


def recognise(peek: Peek) -> Header | None:
    if peek.head[: len(MAGIC) - 1] != MAGIC[:-1]:
        return None
    log = PacketLog(peek.path)
    log.close()
    kind = log.format.kind
    if kind == "decisions":
        raise ValueError(f"{peek.path}: a recording of decisions, which are no events: replay it with type: recorded")
    details, shape = {"stream": log.stream, "names": list(log.format.names)}, log.format.shape
    return Header(peek.path, "spkl", peek.size, log.data_offset, shape, "header", details=details, kind=kind)


def load(header: Header) -> Decoder:
    return _chunks


def _chunks(header: Header, start: np.ndarray | None) -> Iterator[Chunk]:
    """One chunk a packet: packets are in order of time."""
    position = np.array([header.data_offset, BEFORE_ALL_US, 0, 0, 0, -1], np.int64) if start is None else start.copy()
    log = PacketLog(header.path)
    try:
        for packet, past in log.entries(int(position[OFFSET])):
            if position[EPISODE] not in (-1, packet.episode) or (packet.n and packet.t_us[0] < position[NEWEST_US]):
                number = position[PACKETS]
                raise ValueError(f"{header.path}: its times begin anew at packet {number}: replay it with type: recorded")
            if packet.lost > MOST_LOST:
                raise ValueError(f"{header.path}: packet {position[PACKETS]} tells of {packet.lost} lost events, "
                                 f"where {MOST_LOST} can be placed among the others: replay it with type: recorded")
            before = position.copy()
            position[[OFFSET, EPISODE]] = past, packet.episode
            position[[EVENTS, LOST, PACKETS]] += packet.n, packet.lost, 1
            position[NEWEST_US] = packet.t_us[-1] if packet.n else before[NEWEST_US]
            events = Events(packet.t_us, packet.unit, packet.value, np.full(packet.lost, packet.begin_us, np.int64))
            counts = {"events": int(position[EVENTS]), "backwards": 0}
            counts |= {"lost": int(position[LOST]), "packets": int(position[PACKETS])}
            yield Chunk(before, events, int(before[NEWEST_US]), int(position[NEWEST_US]), True, counts)
    finally:
        log.close()
    if log.tail_bytes:
        at = log.size - log.tail_bytes
        raise Truncated(f"{header.path}: cut off: it ends with {log.tail_bytes} bytes of half a packet at byte {at}; "
                        "set truncated: keep to accept what is whole", log.tail_bytes)


SPKL = RecordingFormat("spkl", recognise, load)
