"""Text: one event a line, as in the RPG data sets (`t[s] x y p`), in CSV, and in any table of decimal numbers.

Fields stand between commas, semicolons, tabs or blanks (`delimiter`); lines that begin with # or % and empty ones are passed
over. Columns are told by a line of names (`t,x,y,p`, `timestamp_us,x,y,polarity`, `t,unit`), also after a #; else by the numbers:
t x y p, x y p t or x y t p. A first line of two whole numbers before lines of four is width and height. Polarity: 0 and 1, -1 and
1, true and false, on and off. Times are parsed as decimals, exactly, and rounded to the nearest microsecond once.
A last line without its line end counts only if its polarity stands last and is whole: any other number may have been cut.

Source: Mueggler, Rebecq, Gallego, Delbruck, Scaramuzza 2017, "The Event-Camera Dataset and Simulator", format of events.txt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np

from sources.cut import Events
from sources.formats.header import Chunk, Decoder, Header, Peek, RecordingFormat, TableOptions, Truncated
from sources.formats.tables import Columns, find_columns, find_order, table_header
from sources.formats.time_units import unit_of_name
from sources.kernels.position import BEFORE_ALL_US

CHUNK_BYTES = 1 << 18
LOOKED_AT = 1000  # lines
NOT_TEXT = re.compile(rb"[^\t\n\r -~]")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
SIGNS = {"true": 1.0, "false": 0.0, "on": 1.0, "off": 0.0}
SHIFT = {"s": 6, "ms": 3, "us": 0, "ns": -3}
FAULTS = {
    1: "has too few fields",
    2: "holds something else than numbers",
    4: "has a polarity that is not 0, 1, -1, true, false, on or off",
    5: "has a time that cannot be: set time_unit, or the file is damaged",
}


class Layout(NamedTuple):
    """What the first lines show."""

    offset: int  # of the first line of data, bytes
    lines: int  # before it
    delimiter: str  # "" for blanks
    names: list[str] | None
    geometry: tuple[int, int] | None
    rows: list[list[str]]


def recognise(peek: Peek) -> Header | None:
    head = peek.head.removeprefix(b"\xef\xbb\xbf")
    if NOT_TEXT.search(head):
        return None
    layout = _look(peek, head)
    if layout is None:
        return None
    offset, lines, delimiter, names, geometry, rows = layout
    numbers = np.array([[_number(field) for field in row] for row in rows])
    places = _places(peek, names, numbers)
    if places is None:
        return None
    fields = [places.get(key, -1) for key in ("t", "x" if "x" in places else "unit", "y", "p", "value")]
    t = numbers[:, places["t"]]
    if all(re.fullmatch(r"[-+]?\d{1,18}", row[places["t"]]) for row in rows):
        t = np.array([int(row[places["t"]]) for row in rows])
    look = Columns.of({key: place for key, place in places.items() if key != "t"} | {"t": None},
                      lambda place: t if place is None else numbers[:, place])  # fmt: skip
    unit = unit_of_name(names[places["t"]])[1] if names else None
    details: dict[str, Any] = {"columns": places, "delimiter": delimiter or " ", "fields": fields, "header_lines": lines}
    header = table_header(peek, "text", 0, look, time_unit=unit, declared=geometry, details=details)
    del header.details["rows"]
    return Header(**(header.__dict__ | {"data_offset": offset + len(peek.head) - len(head)}))


def _look(peek: Peek, head: bytes) -> Layout | None:
    text = head.decode("ascii")
    if len(head) < peek.size and "\n" in text:
        text = text[: text.rindex("\n") + 1]
    offset, comment, geometry, names, lines, delimiter = 0, "", None, None, 0, ""
    all_lines = text.splitlines(keepends=True)
    if len(all_lines) > 1 and not all_lines[-1].endswith("\n"):
        all_lines.pop()  # half a line, perhaps
    for number, line in enumerate(all_lines):
        bare = line.strip()
        if bare and bare[0] in "#%":
            comment = bare.lstrip("#% ")
        elif bare:
            delimiter = _delimiter(peek, bare)
            fields = _fields(bare, delimiter)
            if len(fields) == 2 and all(field.isdecimal() for field in fields) and _has_fours(all_lines[number + 1 :], delimiter):
                geometry = int(fields[0]), int(fields[1])
            elif names is None and not all(_is_number(field) for field in fields):
                names = fields
            else:
                break
        offset += len(line)
        lines += 1
    rows = [_fields(line, delimiter) for line in all_lines[lines:] if line.strip() and line.lstrip()[0] not in "#%"][:LOOKED_AT]
    rows = list(takewhile(lambda row: len(row) == len(rows[0]) >= 2 and (names or all(map(_is_number, row))), rows))
    if not rows:
        return None
    if names is None and comment:
        told = _fields(comment, _delimiter(peek, comment))
        names = told if len(told) == len(rows[0]) and find_columns(peek._replace(options=TableOptions()), told) else None
    return Layout(offset, lines, delimiter, names, geometry, rows)


def _has_fours(lines: list[str], delimiter: str) -> bool:
    return any(len(_fields(line, delimiter)) >= 4 for line in lines[:1])


def _delimiter(peek: Peek, line: str) -> str:
    if peek.options.delimiter is not None:
        return "" if peek.options.delimiter.isspace() and peek.options.delimiter != "\t" else peek.options.delimiter
    return next((mark for mark in ",;\t" if mark in line), "")


def _fields(line: str, delimiter: str) -> list[str]:
    fields = line.strip("\r\n").split(delimiter) if delimiter else line.split()
    return [field.strip().removeprefix('"').removesuffix('"') for field in fields]


def _is_number(field: str) -> bool:
    return NUMBER.fullmatch(field) is not None or field.lower() in SIGNS


def _number(field: str) -> float:
    if field.lower() in SIGNS:
        return SIGNS[field.lower()]
    return float(field) if NUMBER.fullmatch(field) else np.nan


def _places(peek: Peek, names: list[str] | None, numbers: np.ndarray) -> dict[str, int] | None:
    """The numbers of the columns; None where this is no table of events."""
    if names is None:
        return find_order(peek, numbers) if numbers.shape[1] >= 4 else None
    if len(names) != numbers.shape[1]:
        return None
    chosen = find_columns(peek, names)
    if chosen is None:
        if np.isnan(numbers).all():
            return None
        told = ", ".join(names)
        raise ValueError(f"{peek.path}: columns t, x, y and p (or t and unit) are wanted, there are {told}: set columns")
    return {key: names.index(name) for key, name in chosen.items()}


def _decode(header: Header, start: np.ndarray | None) -> Iterator[Chunk]:
    from sources.kernels.text import AT, BACKWARDS, LINE, NEWEST_US

    position = _start(header) if start is None else start.copy()
    with open(header.path, "rb", buffering=0) as file:
        while (at := int(position[AT])) < header.size:
            file.seek(at)
            piece = file.read(min(CHUNK_BYTES, header.size - at))
            if not piece:
                raise ValueError(f"{header.path}: byte {at} is gone: the file had {header.size} bytes when it was opened")
            last = at + len(piece) >= header.size
            whole = piece[: piece.rfind(b"\n") + 1]
            if not whole and not last:
                raise ValueError(f"{header.path}: line {position[LINE] + 1} has over {len(piece)} bytes: the file is damaged")
            if not whole:
                yield from _last_line(header, position, piece)
                return
            before = position.copy()
            events = _lines(header, whole, position)
            position[AT] += len(whole)
            yield _chunk(before, position, events, bool(before[BACKWARDS] == position[BACKWARDS]), NEWEST_US)


def _start(header: Header) -> np.ndarray:
    from sources.kernels import text as kernel

    position = np.zeros(kernel.LENGTH, np.int64)
    position[kernel.AT], position[kernel.LINE] = header.data_offset, header.details["header_lines"]
    position[kernel.NEWEST_US] = BEFORE_ALL_US
    return position


def _last_line(header: Header, position: np.ndarray, line: bytes) -> Iterator[Chunk]:
    """The last line, which has no line end."""
    from sources.kernels.text import AT, BACKWARDS, LINE, NEWEST_US

    if not line.strip():
        return
    fields = header.details["fields"]
    before = position.copy()
    sure = header.details["header_lines"] or int(position[LINE]) > header.details["header_lines"]  # which column is which
    if sure and fields[2] >= 0 and fields[3] == max(fields):
        try:
            if len(_fields(line.decode("ascii", "replace"), header.details["delimiter"].strip(" "))) == fields[3] + 1:
                events = _lines(header, line, position)
                position[AT] += len(line)
                yield _chunk(before, position, events, bool(before[BACKWARDS] == position[BACKWARDS]), NEWEST_US)
                return
        except ValueError:
            position[:] = before
    at = header.size - len(line)
    raise Truncated(f"{header.path}: cut off: the line at byte {at} has no end; set truncated: keep to accept what is whole")


def _lines(header: Header, whole: bytes, position: np.ndarray) -> Events:
    from sources.kernels import text as kernel

    fields = np.array(header.details["fields"], np.int64)
    height, width = header.shape[-2:] if len(header.shape) == 3 else (1, int(np.prod(header.shape)))
    if fields[2] < 0 and len(header.shape) == 3:
        height, width = 1, int(np.prod(header.shape))
    room = len(whole) // 2 + 1
    t_us, unit = np.empty(room, np.int64), np.empty(room, np.uint32)
    values = np.empty((room if fields[4] >= 0 else 1, 2), np.int64)
    delimiter = header.details["delimiter"].strip(" ")
    n = kernel.decode(np.frombuffer(whole, np.uint8), ord(delimiter) if delimiter else 0, fields,
                      SHIFT[header.details["time_unit"]], width, height, position, t_us, unit, values)  # fmt: skip
    if position[kernel.FAULT]:
        raise ValueError(_fault(header, whole, position))
    if fields[4] < 0:
        return Events(t_us[:n].copy(), unit[:n].copy())
    try:
        value = np.array([float(whole[a:b]) for a, b in values[:n].tolist()], np.float32)
    except ValueError as error:
        raise ValueError(f"{header.path}: lines to {position[kernel.LINE]} hold a value that is no number ({error})") from None
    return Events(t_us[:n].copy(), unit[:n].copy(), value)


def _fault(header: Header, whole: bytes, position: np.ndarray) -> str:
    from sources.kernels import text as kernel

    begin = int(position[kernel.FAULT_AT])
    line = whole[begin : begin + 80].split(b"\n")[0].decode("ascii", "replace").strip()
    where = f"{header.path}: line {position[kernel.LINE]}, {line!r},"
    if position[kernel.FAULT] != kernel.OUTSIDE:
        return f"{where} {FAULTS[int(position[kernel.FAULT])]}"
    size = f"{header.shape[-1]}x{header.shape[-2]}" if len(header.shape) == 3 else f"{header.shape[0]} units"
    return f"{where} lies outside of {size}: set width and height (or channels), or the file is damaged"


def _chunk(before: np.ndarray, after: np.ndarray, events: Events, ordered: bool, newest: int) -> Chunk:
    from sources.kernels.text import BACKWARDS, EVENTS

    counts = {"events": int(after[EVENTS]), "backwards": int(after[BACKWARDS])}
    return Chunk(before, events, int(before[newest]), int(after[newest]), ordered, counts)


def load(header: Header) -> Decoder:
    import sources.kernels.text  # noqa: F401  (compiles)

    return _decode


TEXT = RecordingFormat("text", recognise, load)
