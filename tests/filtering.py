"""How the filters' tests make recordings, cut them, stop and go on between packets, and read what comes out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from pipeline.contract import OperatorConfig
from pipeline.packet import Format, Packet, same_events
from tests.naive_filters import Event
from tests.packets import glue, recut

few = settings(max_examples=100, deadline=None, derandomize=True)


@st.composite
def recordings(draw: st.DrawFn, format: Format, *, span_us: int = 40, most: int = 60) -> Packet:
    """One episode: crowded on few microseconds, in no order within one, beginning anywhere, before time 0 as well."""
    begin_us = draw(st.sampled_from([0, 7, -25, 3_000_000_000]))
    moments = draw(st.lists(st.integers(0, span_us - 1), max_size=most).map(sorted))
    units = draw(st.lists(st.integers(0, format.size - 1), min_size=len(moments), max_size=len(moments)))
    return packet_of(format, list(zip((begin_us + t for t in moments), units, strict=True)), begin_us, begin_us + span_us)


@st.composite
def cuts(draw: st.DrawFn, *, most: int = 12) -> list[tuple[float, bool]]:
    """Where to cut, as a share of the episode's length, and whether to stop there and go on from a snapshot."""
    return draw(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=most))


def packet_of(format: Format, events: list[tuple[int, int]], begin_us: int, end_us: int) -> Packet:
    """One packet. On graded streams the i-th event has value i, so that each can be told from the others."""
    t_us, unit = np.array([t for t, _ in events], np.int64), np.array([u for _, u in events], np.uint32)
    return Packet(begin_us, end_us, t_us, unit, None if format.kind == "spikes" else np.arange(len(events), dtype=np.float32))


def filtered(config: OperatorConfig, format: Format, episode: Packet, cut: list[tuple[float, bool]] = ()) -> Packet:  # type: ignore[assignment]
    """What comes out over the whole episode, with everything checked that all filters share."""
    out_format = config.check(format)
    make = config.prepare(format)
    places = sorted((round(episode.begin_us + share * (episode.end_us - episode.begin_us)), stop) for share, stop in cut)
    operator, outputs = make(None), []
    for packet, stop in zip(recut(episode, [at for at, _ in places]), [*(stop for _, stop in places), True], strict=True):
        outputs.append(operator.process(packet))
        if stop:
            operator = make(operator.snapshot())
    outputs.append(operator.finish())
    for output in outputs:
        output.check(out_format)
    assert all(a.end_us == b.begin_us for a, b in pairwise(outputs)), "outputs do not meet"
    return glue(outputs)


def events_of(packet: Packet) -> list[Event]:
    value: Any = np.zeros(packet.n) if packet.value is None else packet.value
    return [(int(t), int(u), float(v)) for t, u, v in zip(packet.t_us, packet.unit, value, strict=True)]


def spikes(packet: Packet) -> list[tuple[int, int]]:
    return [(t, u) for t, u, _ in events_of(packet)]


def assert_same(a: Packet, b: Packet) -> None:
    assert same_events(a, b), f"{events_of(a)} is not {events_of(b)}"
