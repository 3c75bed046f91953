"""What an encoder is asked for, what it answers, and what several of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np

from pipeline.packet import Format
from sources.cut import Events


class TimeTooLate(ValueError):
    """A time is greater than the format can hold."""


class Target(NamedTuple):
    """A file to be written."""

    path: Path  # does not exist yet
    shape: tuple[int, ...]  # of the events: (2, height, width) of a camera, (channels,) of a cochlea
    t0_us: int = 0  # what has been taken off all times, for the header


class Writer(Protocol):
    """Writes the events of one recording."""

    def write(self, events: Events) -> None: ...  # later than those before; times have had Target.t0_us taken off
    def close(self) -> None: ...  # writes what belongs at the end; without it the file is not whole


@dataclass(frozen=True)
class Encoder:
    """A row of the table of encoders."""

    name: str
    suffix: str  # of files that mean this format, with its dot
    make: Callable[[Target], Writer]  # imports what encoding needs
    first_us: int | None = None  # a first event at or after it (or before 0) needs times counted from the first event; None: any
    end_us: int | None = None  # what all times must stay below; None: any
    camera: bool | None = True  # whether it holds events of cameras (True), of channels (False) or both (None)
    most: int = 1 << 31  # the greatest width and height, pixels
    keeps_t0: bool = False  # whether its header tells Target.t0_us

    def check(self, format: Format) -> None:
        """Raise ValueError unless events of this format can be written."""
        shape = format.shape
        is_camera = len(shape) == 3 and shape[0] == 2
        if format.kind != "spikes" and self.camera is not None:
            raise ValueError(f"{self.name} holds events without values, got {format}: write csv, npz, arrow or parquet")
        if self.camera and not is_camera:
            raise ValueError(f"{self.name} holds events of cameras, got the shape {shape}: write csv, npz, arrow or parquet")
        if self.camera is False and len(shape) != 1:
            raise ValueError(f"{self.name} holds events of channels, got the shape {shape}: write another format")
        if self.camera is not False and is_camera and max(shape[1:]) > self.most:
            reach, got = f"{self.most}x{self.most}", f"{shape[2]}x{shape[1]}"
            raise ValueError(f"{self.name} reaches {reach} pixels, got {got}: write another format")


class FileWriter:
    """A file and the target that it is for: what writers of bytes begin with."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.file: BinaryIO = open(target.path, "wb")  # noqa: SIM115 (closed by close)

    def write(self, events: Events) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.file.close()


def columns_of(events: Events, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The columns of a table of events: t (us) and, for cameras, x, y, p (1: ON), else unit; value where there is one."""
    columns: dict[str, Any] = {"t": events.t_us}
    if len(shape) == 3 and shape[0] == 2:
        columns["x"], columns["y"], columns["p"] = addresses(events.unit, shape)
    else:
        columns["unit"] = events.unit
    if events.value is not None:
        columns["value"] = events.value
    return columns


def addresses(unit: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (n,) uint16, y (n,) uint16 and polarity (n,) uint8 of a camera's units."""
    _, height, width = shape
    on = unit >= np.uint32(height * width)
    pixel = unit - on * np.uint32(height * width)
    y = pixel // np.uint32(width)
    x = pixel - y * np.uint32(width)
    return x.astype(np.uint16), y.astype(np.uint16), on.astype(np.uint8)
