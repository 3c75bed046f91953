"""Runs the tests that a pipeline's YAML file brings along: events in, the decisions compared with those expected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.chain import Chain
from pipeline.config import EventConfig, ExpectedConfig, YamlTestConfig
from pipeline.graph import Graph
from pipeline.packet import NO_VALUES, Decision, Format, Packet, decisions


def run_tests(graph: Graph) -> Iterator[tuple[YamlTestConfig, str]]:
    """Each test of the graph with the reason why it failed; no reason: it passed."""
    chain = Chain([(node.config, node.upstream) for node in graph.operators])
    for test in graph.tests:
        try:
            packet = input_packet(test, graph.source_format)
        except ValueError as error:
            yield test, str(error)
            continue
        if graph.format.kind != "decisions":
            yield test, f"the pipeline makes {graph.format}, and no decisions to compare"
            continue
        made = list(decisions(chain.push(packet), graph.format))
        yield test, difference(test.decisions, made)


def input_packet(test: YamlTestConfig, format: Format) -> Packet:
    """A test's events as one whole episode of the source's format. ValueError when they do not fit it."""
    end_us = round(test.end_ms * 1000)
    rows = [_event(event, format) for event in test.input]
    for index, (at_us, address, _) in enumerate(rows):
        if not 0 <= at_us < end_us:
            raise ValueError(f"input[{index}] at {at_us} us lies outside of the episode, 0 to {end_us} us")
        if not 0 <= address < format.size:
            raise ValueError(f"input[{index}] names unit {address}; the source's {format} have {format.size}")
    order = sorted(range(len(rows)), key=lambda index: rows[index][0])  # stable: the order given stands within a time
    t_us = np.array([rows[i][0] for i in order], np.int64)
    unit = np.array([rows[i][1] for i in order], np.uint32)
    value = None if format.kind == "spikes" else np.array([rows[i][2] for i in order], np.float32) if rows else NO_VALUES
    return Packet(0, end_us, t_us, unit, value, last=True)


def difference(expected: Sequence[ExpectedConfig], made: Sequence[Decision]) -> str:
    """The first way in which the decisions differ from those expected, or nothing."""
    for index, (wanted, decision) in enumerate(zip(expected, made, strict=False)):
        named = (wanted.class_,) if wanted.class_ is not None else ()
        if named and named[0] not in (decision.index, decision.name):
            return f"decision {index} wanted class {named[0]}, got {_told(decision)}"
        if wanted.t_ms is not None and decision.t_us + 1 != round(wanted.t_ms * 1000):
            return f"decision {index} wanted at {wanted.t_ms:g} ms, got {_told(decision)}"
        if wanted.confidence_at_least is not None and decision.confidence < wanted.confidence_at_least:
            return f"decision {index} wanted with confidence {wanted.confidence_at_least:g} at least, got {_told(decision)}"
        if wanted.final is not None and decision.final != wanted.final:
            return f"decision {index} wanted {'final' if wanted.final else 'not final'}, got {_told(decision)}"
    if len(expected) != len(made):
        got = "; ".join(map(_told, made[:5])) + ("; ..." if len(made) > 5 else "")
        return f"wanted {len(expected)} decisions, got {len(made)}{': ' + got if made else ''}"
    return ""


def _event(event: EventConfig | tuple[int, int] | tuple[int, int, float], format: Format) -> tuple[int, int, float]:
    """(t_us, unit, value) of an event as it was written."""
    if not isinstance(event, EventConfig):
        return event[0], event[1], event[2] if len(event) == 3 else 1.0
    if len(format.shape) != 3 or format.shape[0] != 2:
        raise ValueError(f"events {{t_ms, x, y, p}} need a camera; the source gives {format}: write [t_us, unit]")
    _, height, width = format.shape
    if event.x >= width or event.y >= height:
        raise ValueError(f"an event at x {event.x}, y {event.y} lies outside of {width} x {height} pixels")
    return round(event.t_ms * 1000), (event.p * height + event.y) * width + event.x, 1.0


def _told(decision: Decision) -> str:
    """A decision over data up to E is stamped E - 1 us; it is told by E."""
    return f"{decision.name} at {(decision.t_us + 1) / 1000:g} ms with confidence {decision.confidence:.3f}"
