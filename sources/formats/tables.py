"""Tables of events: columns t, x, y, p (or t, unit and perhaps value) of any types. What all table formats share.

A table format finds its columns, looks at the first rows, and gives `table_header` what it saw; its decoder is `decode_table`
with a function that reads rows. Names are matched without case: t, ts, time, timestamp, each with a unit (t_us); x, y, also
xs, ys, col, row, x_address, y_address; p, ps, pol, polarity, on. Polarities are 0 and 1, or -1 and 1.
The geometry is the option's, the header's, or the smallest of the well-known sensors that holds the first rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np

from pipeline.packet import NO_UNITS
from sources.cut import Events
from sources.formats.header import Chunk, Header, Peek, Truncated, camera_geometry
from sources.formats.time_units import in_us, unit_of_name, unit_of_times
from sources.kernels.position import BEFORE_ALL_US

CHUNK_ROWS = 1 << 16
LOOKED_AT = 4096  # rows
MOST = 1 << 16  # pixels of width and height
ALIASES = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs", "col", "x_address"),
    "y": ("y", "ys", "row", "y_address"),
    "p": ("p", "ps", "pol", "polarity", "polarities", "on"),
}
SENSORS = ((34, 34), (128, 128), (240, 180), (304, 240), (320, 240), (346, 260), (640, 480), (1280, 720))
ORDERS = (("t", "x", "y", "p"), ("x", "y", "p", "t"), ("x", "y", "t", "p"))  # of tables whose columns have no names


class Columns(NamedTuple):
    """Some rows of a table: t with x, y and p, or t with unit and perhaps value."""

    t: np.ndarray
    x: np.ndarray | None = None
    y: np.ndarray | None = None
    p: np.ndarray | None = None
    unit: np.ndarray | None = None
    value: np.ndarray | None = None

    @classmethod
    def of(cls, chosen: Mapping[str, Any], read: Callable[[Any], np.ndarray]) -> Columns:
        """The columns that `chosen` names, each as `read` gives it."""
        return cls(**{key: read(name) for key, name in chosen.items()})


ReadRows = Callable[[int, int], Columns]
"""Rows [first, past). ValueError, naming the file, where they cannot be read."""

OpenTable = Callable[[Header], AbstractContextManager[ReadRows]]


def find_columns(peek: Peek, names: Sequence[str]) -> dict[str, str] | None:
    """Which of a table's columns holds t, x, y and p (or t, unit and value); None when they are not all there.

    The options win over the names.
    """
    chosen = {key: _named(peek, key, wanted, names) for key, wanted in (peek.options.columns or {}).items()}
    for key, aliases in ALIASES.items():
        if key not in chosen:
            found = [name for name in names if (unit_of_name(name)[0] if key == "t" else name.strip().lower()) in aliases]
            if len(found) > 1:
                raise ValueError(f"{peek.path}: columns {' and '.join(found)} may both hold {key}: set columns")
            if not found:
                return _units(chosen, names)
            chosen[key] = found[0]
    return chosen


def _units(chosen: dict[str, str], names: Sequence[str]) -> dict[str, str] | None:
    if "t" not in chosen or "unit" not in names:
        return None
    return {"t": chosen["t"], "unit": "unit"} | ({"value": "value"} if "value" in names else {})


def _named(peek: Peek, key: str, wanted: str | int, names: Sequence[str]) -> str:
    if isinstance(wanted, int):
        if not 0 <= wanted < len(names):
            raise ValueError(f"{peek.path}: columns says that {key} is column {wanted}: there are columns 0 to {len(names) - 1}")
        return names[wanted]
    if wanted not in names:
        raise ValueError(f"{peek.path}: columns says that {key} is {wanted!r}: there are {', '.join(names)}")
    return wanted


def find_order(peek: Peek, rows: np.ndarray) -> dict[str, int] | None:
    """Which of the numbered columns of a table hold t, x, y and p, as the first rows (n, columns) show; None when none fit."""
    numbers = [str(number) for number in range(rows.shape[1])]
    given = {key: int(_named(peek, key, wanted, numbers)) for key, wanted in (peek.options.columns or {}).items()}
    if len(given) == len(ALIASES):
        return given
    for order in ORDERS if rows.shape[1] == 4 else ():
        places = {key: place for place, key in enumerate(order)}
        if all(places[key] == place for key, place in given.items()) and _fits(rows, places):
            return places
    return None


def _fits(rows: np.ndarray, places: dict[str, int]) -> bool:
    """Whether most rows look like what they are taken for: addresses whole, polarities signs, times not backwards."""
    t, x, y, p = (rows[:, places[key]].astype(np.float64) for key in "txyp")
    with np.errstate(invalid="ignore"):
        forwards = len(t) < 2 or (np.diff(t) >= 0).mean() > 0.9
        good = (x >= 0) & (np.rint(x) == x) & (y >= 0) & (np.rint(y) == y) & np.isin(p, (-1, 0, 1))
    return bool(good.size and good.mean() > 0.9 and forwards)


def table_header(
    peek: Peek,
    format: str,
    rows: int,
    look: Columns,
    *,
    time_unit: str | None = None,
    declared: tuple[int, int] | None = None,
    shape: Sequence[int] | None = None,
    tail_bytes: int = 0,
    details: dict[str, Any] | None = None,
) -> Header:
    """The header of a table of `rows` rows, of which `look` are the first.

    time_unit: as names and attributes tell it; declared: width and height, likewise; shape: likewise, of any stream.
    """
    time_unit = peek.options.time_unit or time_unit or unit_of_times(peek.path, look.t)
    found, geometry_from = _shape(peek, look, declared, shape)
    known = {"time_unit": time_unit, "rows": rows}
    kind: Literal["spikes", "graded"] = "spikes" if look.value is None else "graded"
    return Header(peek.path, format, peek.size, 0, found, geometry_from, tail_bytes, (details or {}) | known, kind)


def _shape(
    peek: Peek, look: Columns, declared: tuple[int, int] | None, shape: Sequence[int] | None
) -> tuple[tuple[int, ...], str]:
    """The shape of the events and who says so."""
    if shape is not None and len(shape) == 3 and shape[0] == 2:
        declared = shape[2], shape[1]
    elif shape is not None:
        if not shape or min(shape) < 1 or prod(shape) > 2**32:
            raise ValueError(f"{peek.path}: a shape of {list(shape)} is not possible")
        return tuple(shape), "header"
    if look.x is None or look.y is None:
        if peek.options.channels:
            return (peek.options.channels,), "option"
        if not peek.geometry and not declared:
            units = whole(peek.path, "unit", look.unit if look.unit is not None else NO_UNITS, 0, most=2**32)
            return (max(int(units.max(initial=0)), 0) + 1,), "the first events"
        guess = peek.geometry or declared or (1, 1)
    else:
        guess = peek.geometry or declared or _guess(look.x, look.y)
    camera, geometry_from = camera_geometry(peek, declared, guess, MOST)
    return camera, "the first events" if geometry_from == "default" else geometry_from


def _guess(x: np.ndarray, y: np.ndarray) -> tuple[int, int]:
    with np.errstate(invalid="ignore"):
        width, height = (int(np.clip(np.nan_to_num(v).max(), 0, MOST - 1)) + 1 if v.size else 1 for v in (x, y))
    return well_known_sensor(width, height)


def well_known_sensor(width: int, height: int) -> tuple[int, int]:
    """The smallest of the well-known sensors with at least so many columns and rows; beyond them, these themselves."""
    return next((sensor for sensor in SENSORS if width <= sensor[0] and height <= sensor[1]), (width, height))


def decode_table(header: Header, start: np.ndarray | None, open_table: OpenTable) -> Iterator[Chunk]:
    """The chunks of a table from a position (row, newest time, events backwards in time) on."""
    row, newest_us, backwards = (0, BEFORE_ALL_US, 0) if start is None else start.tolist()
    rows = header.details["rows"]
    with open_table(header) as read:
        while row < rows:
            past = min(row + CHUNK_ROWS, rows)
            events = addressed(header, read(row, past), row)
            since_us, before = newest_us, np.array((row, newest_us, backwards), np.int64)
            newest = np.maximum.accumulate(np.maximum(events.t_us, since_us))
            newest_us, late = int(newest[-1]), int((events.t_us < newest).sum())
            backwards, row = backwards + late, past
            yield Chunk(before, events, since_us, newest_us, late == 0, {"events": past, "backwards": backwards})
    if header.tail_bytes:
        at = header.size - header.tail_bytes
        raise Truncated(f"{header.path}: cut off at byte {at}: rows are missing; set truncated: keep to accept what is whole")


def addressed(header: Header, columns: Columns, row: int) -> Events:
    """Rows of any types as times and addresses, each checked. row: number of the first, for the error."""
    t_us = in_us(header.path, columns.t, header.details["time_unit"], row) + header.details.get("t_offset_us", 0)
    if columns.x is None or columns.y is None or columns.p is None:
        value = None if columns.value is None else columns.value.astype(np.float32)
        return Events(t_us, _unit(header, columns, row), value)
    _, height, width = header.shape
    x, y = whole(header.path, "x", columns.x, row), whole(header.path, "y", columns.y, row)
    outside = (x < 0) | (x >= width) | (y < 0) | (y >= height)
    if outside.any():
        at = int(np.argmax(outside))
        advice = "the file is damaged" if header.geometry_from == "header" else "set width and height, or the file is damaged"
        raise ValueError(f"{header.path}: event {row + at} lies at x={x[at]}, y={y[at]}, outside of {width}x{height}: {advice}")
    return Events(t_us, ((_polarity(header, columns.p, row) * height + y) * width + x).astype(np.uint32))


def _unit(header: Header, columns: Columns, row: int) -> np.ndarray:
    size = prod(header.shape)
    units = whole(header.path, "unit", columns.unit if columns.unit is not None else NO_UNITS, row, most=2**32)
    outside = (units < 0) | (units >= size)
    if outside.any():
        at = int(np.argmax(outside))
        raise ValueError(f"{header.path}: unit {units[at]} of event {row + at} lies outside of {size} units: set channels, "
                         "or width and height, or the file is damaged")
    return units.astype(np.uint32)


def whole(path: object, name: str, values: np.ndarray, row: int, most: int = MOST) -> np.ndarray:
    """Values of any type as int64; what is no whole number, or a huge one, is an error."""
    if values.dtype.kind in "bi" or (values.dtype.kind == "u" and values.dtype.itemsize < 8):
        return values.astype(np.int64)
    with np.errstate(invalid="ignore"):  # a signalling NaN
        wrong = ~((values >= -most) & (values <= most) & (np.rint(values) == values))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"{path}: {name} of event {row + at} must be a whole number, got {values[at]}")
    return values.astype(np.int64)


def _polarity(header: Header, values: np.ndarray, row: int) -> np.ndarray:
    p = whole(header.path, "p", values, row)
    wrong = (p < -1) | (p > 1)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"{header.path}: the polarity of event {row + at} must be 0 or 1, or -1 or 1, got {p[at]}")
    return (p > 0).astype(np.int64)
