"""What is known of a recording before its first event is read, and what its decoder hands out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from sources.cut import Events


class Truncated(ValueError):
    """The recording ends in the middle of a record: it was cut off."""

    def __init__(self, message: str, tail_bytes: int = 0) -> None:
        super().__init__(message)
        self.tail_bytes = tail_bytes  # of half a record at the end


LONGEST_SILENCE_US = 24 * 3_600_000_000  # inside a recording; a time that is further ahead is damage, else silence would not end

TimeUnit = Literal["s", "ms", "us", "ns"]
US_PER = {"s": 1_000_000.0, "ms": 1000.0, "us": 1.0, "ns": 0.001}


class TableOptions(NamedTuple):
    """What the user says of a table of events, where it does not tell itself. None: find out."""

    time_unit: TimeUnit | None = None
    columns: dict[str, str | int] | None = None  # which column of the file holds t, x, y or p: its name, or its number from 0
    delimiter: str | None = None  # between the fields of a line of text
    table: str | None = None  # path of the table inside the file (HDF5, npz, bags)
    channels: int | None = None  # units of a stream that is no camera's


class Peek(NamedTuple):
    """What a format may look at to tell whether a file is its own."""

    path: Path
    size: int  # bytes of the file
    head: bytes  # the first of them
    geometry: tuple[int, int] | None = None  # (width, height), where the user has given them
    options: TableOptions = TableOptions()


@dataclass(frozen=True)
class Header:
    """A recording, as its header and its size describe it."""

    path: Path
    format: str  # the name in the table of formats
    size: int  # bytes of the file
    data_offset: int  # where its header ends
    shape: tuple[int, ...]  # of its events: (2, height, width) for a camera
    geometry_from: str  # header, option, or the format's default
    tail_bytes: int = 0  # of half a record at the end
    details: dict[str, Any] = field(default_factory=dict)  # what else the header tells
    kind: Literal["spikes", "graded"] = "spikes"
    stream: str = "events"  # which of the streams of the file is read: events, or one of
    streams: tuple[str, ...] = ()  # what else can be read from it: triggers, exposures


class Chunk(NamedTuple):
    """Events in the order of the file, and where the decoder stands."""

    position: np.ndarray  # int64: where the decoder stood BEFORE this chunk; what its numbers mean is the format's business
    events: Events
    since_us: int  # the greatest time of an event before this chunk
    newest_us: int  # and with it
    ordered: bool  # no event of this chunk is earlier than one before it
    counts: dict[str, int]  # of the whole file up to here: events, triggers, ...


Decoder = Callable[[Header, np.ndarray | None], Iterator[Chunk]]
"""Decodes from a position (None: the start) on, in chunks of limited size. Raises Truncated or ValueError, naming the file."""


@dataclass(frozen=True)
class RecordingFormat:
    """A row of the table of formats."""

    name: str
    recognise: Callable[[Peek], Header | None]  # None: not mine. ValueError: mine, but it cannot be read
    load: Callable[[Header], Decoder]  # imports what decoding needs: this is where kernels are compiled


TRIGGER_CHANNELS = 32
TRIGGER_SHAPE = (2, TRIGGER_CHANNELS)  # falling and rising edges, each by channel


def camera_geometry(
    peek: Peek, declared: tuple[int, int] | None, default: tuple[int, int], most: int
) -> tuple[tuple[int, int, int], str]:
    """The shape (2, height, width) and who says so: the header, the option, or the default of the format.

    most: the greatest width and height that the format's addresses can tell.
    """
    given = peek.geometry
    if given and declared and given != declared:
        says = f"{declared[0]}x{declared[1]}"
        raise ValueError(f"{peek.path}: the header says {says}, the options {given[0]}x{given[1]}: leave out width and height")
    width, height = given or declared or default
    if not (0 < width <= most and 0 < height <= most):
        raise ValueError(f"{peek.path}: a geometry of {width}x{height} is not possible, this format reaches {most}x{most}")
    if 2 * height * width > 1 << 32:
        raise ValueError(f"{peek.path}: a geometry of {width}x{height} has more pixels than can be addressed")
    return (2, height, width), "option" if given else "header" if declared else "default"
