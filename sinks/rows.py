"""Packets in, columns of a table out: one row a decision, or one row an event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np

from pipeline.packet import Format, Packet, decisions

Columns: TypeAlias = dict[str, Any]  # by name: a numpy array, or a list
ROWS = 1 << 20  # gathered at a time

EVENT_DTYPES: dict[str, Any] = {
    "t": np.int64, "x": np.uint16, "y": np.uint16, "p": np.uint8, "unit": np.uint32, "value": np.float32,
    "episode": np.int64, "label": np.int64,
}  # fmt: skip
DECISION_DTYPES: dict[str, Any] = {
    "episode": np.int64, "t_us": np.int64, "class": np.int32, "name": object, "confidence": np.float32, "scores": np.float32,
    "final": np.bool_, "label": np.int64,
}  # fmt: skip


def is_camera(format: Format) -> bool:
    """Whether events are those of a camera, whose sides fit the columns x and y."""
    return len(format.shape) == 3 and format.shape[0] == 2 and max(format.shape) <= 1 << 16


def column_names(format: Format) -> tuple[str, ...]:
    """episode, t_us, class, name, confidence, scores, final, label of decisions; of events t (us), x, y, p - or unit, where
    the shape is not (2, height, width) -, value where they have one, episode, label. label: -1 where it is not known."""
    if format.kind == "decisions":
        return tuple(DECISION_DTYPES)
    address = ("x", "y", "p") if is_camera(format) else ("unit",)
    return ("t", *address, *(("value",) if format.kind == "graded" else ()), "episode", "label")


def tables(packets: Iterable[Packet], format: Format) -> Iterator[Columns]:
    """The rows of packets, in tables of limited length; at least one, which may be empty."""
    held: list[Columns] = []
    rows, any_yet = 0, False
    for packet in packets:
        if packet.n:
            held.append(columns(packet, format))
            rows += len(held[-1]["episode"])
        if rows >= ROWS:
            yield _joined(held, format)
            held, rows, any_yet = [], 0, True
    if held or not any_yet:
        yield _joined(held, format)


def columns(packet: Packet, format: Format) -> Columns:
    """The rows of one packet."""
    return _decision_columns(packet, format) if format.kind == "decisions" else _event_columns(packet, format)


def _decision_columns(packet: Packet, format: Format) -> Columns:
    made = list(decisions(packet, format))
    return {
        "episode": np.full(len(made), packet.episode, np.int64),
        "t_us": np.array([decision.t_us for decision in made], np.int64),
        "class": np.array([decision.index for decision in made], np.int32),
        "name": np.array([decision.name for decision in made], object),
        "confidence": np.array([decision.scores[decision.index] for decision in made], np.float32),
        "scores": np.array([decision.scores for decision in made], np.float32).reshape(-1, format.size),
        "final": np.array([decision.final for decision in made], np.bool_),
        "label": np.full(len(made), packet.label, np.int64),
    }


def _event_columns(packet: Packet, format: Format) -> Columns:
    found: Columns = {"t": packet.t_us}
    if is_camera(format):
        p, y, x = np.unravel_index(packet.unit, format.shape)
        found |= {"x": x.astype(np.uint16), "y": y.astype(np.uint16), "p": p.astype(np.uint8)}
    else:
        found["unit"] = packet.unit
    if packet.value is not None:
        found["value"] = packet.value
    return found | {"episode": np.full(packet.n, packet.episode, np.int64), "label": np.full(packet.n, packet.label, np.int64)}


def _joined(held: list[Columns], format: Format) -> Columns:
    if held:
        return {name: np.concatenate([table[name] for table in held]) for name in column_names(format)}
    dtypes = DECISION_DTYPES if format.kind == "decisions" else EVENT_DTYPES
    shapes = {"scores": (0, format.size)}
    return {name: np.empty(shapes.get(name, 0), dtypes[name]) for name in column_names(format)}
