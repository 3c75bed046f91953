"""What tests do with packets: make recordings, cut them up, put them together again, look at every bit of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from pipeline.packet import Format, Packet, join


def recording(
    format: Format, seed: int, *, n: int = 400, begin_us: int = 1_234_567, length_us: int = 60_000, label: int = -1
) -> Packet:
    """One random episode in one packet: events crowd on few microseconds, and one unit may fire twice in one.

    They are ordered by time alone, as sensors send them. On a format with a tick they lie on it, and so does the begin.
    """
    rng = np.random.default_rng(seed)
    tick_us = format.tick_us or 1
    begin_us = begin_us // tick_us * tick_us
    moments = rng.integers(0, length_us // tick_us, max(1, n // 2))
    t_us = np.sort(begin_us + rng.choice(moments, n) * tick_us)
    unit = rng.integers(0, format.size, n).astype(np.uint32)
    value = None if format.kind == "spikes" else rng.normal(size=n).astype(np.float32)
    return Packet(begin_us, begin_us + length_us, t_us, unit, value, last=True, label=label)


def glue(outputs: list[Packet]) -> Packet:
    """One packet over all; AssertionError where they do not meet."""
    try:
        return reduce(join, outputs)
    except ValueError as error:
        raise AssertionError(str(error)) from None


def divisions(episode: Packet) -> Iterator[list[Packet]]:
    """The episode cut in ways that matter, with empty packets and zero-length ones among them."""
    begin_us, end_us = episode.begin_us, episode.end_us
    rng = np.random.default_rng(5)
    yield recut(episode, rng.integers(begin_us, end_us + 1, 12).repeat(rng.integers(1, 3, 12)).tolist())
    yield recut(episode, [*range(begin_us, end_us, 1000), end_us])
    yield recut(episode, [begin_us, begin_us, end_us, end_us])
    times = np.unique(episode.t_us)[:60].tolist()
    yield recut(episode, [*times, *(t_us + 1 for t_us in times)])


def recut(packet: Packet, cuts_us: list[int]) -> list[Packet]:
    """The packet's time divided at `cuts_us`; a cut named twice makes a packet of zero length. `last` stays on the last."""
    edges = [packet.begin_us, *sorted(cuts_us), packet.end_us]
    at = packet.t_us.searchsorted(edges)
    at[-1] = packet.n
    pieces = []
    for k in range(len(edges) - 1):
        part = slice(at[k], at[k + 1])
        value = None if packet.value is None else packet.value[part]
        last = packet.last and k == len(edges) - 2
        t_us, unit = packet.t_us[part], packet.unit[part]
        pieces.append(replace(packet, begin_us=edges[k], end_us=edges[k + 1], t_us=t_us, unit=unit, value=value, last=last))
    return pieces


def empty(packet: Packet) -> Packet:
    return first_of(packet, 0)


def first_of(packet: Packet, n: int) -> Packet:
    return replace(packet, t_us=packet.t_us[:n], unit=packet.unit[:n], value=None if packet.value is None else packet.value[:n])


def before(packet: Packet, end_us: int) -> Packet:
    return recut(packet, [end_us])[0] if packet.end_us > end_us else packet


def unflagged(packet: Packet) -> Packet:
    return replace(packet, last=False)


def silence(format: Format, begin_us: int, end_us: int) -> Packet:
    return Packet(begin_us, end_us, value=None if format.kind == "spikes" else np.empty(0, np.float32))


def owned(packet: Packet) -> Packet:
    """A copy in memory of its own, which could be written to, where a view of read-only memory could not."""
    value = None if packet.value is None else packet.value.copy()
    return replace(packet, t_us=packet.t_us.copy(), unit=packet.unit.copy(), value=value)


def writable(packet: Packet) -> Packet:
    copy = owned(packet)
    for array in columns(copy):
        array.flags.writeable = True
    return copy


def columns(packet: Packet) -> list[np.ndarray]:
    return [array for array in (packet.t_us, packet.unit, packet.value) if array is not None]


def content(packet: Packet) -> tuple[Any, ...]:
    flags = (packet.begin_us, packet.end_us, packet.episode, packet.last, packet.label, packet.lost, packet.barrier)
    return (*flags, *(array.tobytes() for array in columns(packet)))


def spread(n: int) -> list[int]:
    """Some of 0..n, both ends among them."""
    return sorted(set(np.linspace(0, n, min(n + 1, 9)).astype(int).tolist()))
