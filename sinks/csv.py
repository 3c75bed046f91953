"""Events or decisions in, a CSV file out."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, Sink, SinkConfig, State
from pipeline.packet import Format, Packet
from sinks.files import make_folder, unwritable
from sinks.rows import column_names, columns


class CsvConfig(SinkConfig):
    """Writes a header line, and then one line a decision or one line an event.

    In: any stream. Columns of decisions: episode, t_us, class, name, confidence, one score_<name> per class, final (0 or 1),
    label; of events of shape (2, height, width): t (us), x, y, p (1: ON), episode, label; of other shapes unit (flat, C order) in
    place of x, y, p; value on graded streams. label is empty where it is not known. Numbers are the shortest texts that read back
    as the same float32. Fields are quoted where they must be (RFC 4180), lines end with a line feed.

    Guarantee: a packet's lines are handed to the operating system before the next packet is taken, and are on disk once a
    checkpoint is. A run starts with a new file; one that resumes cuts the file back to the checkpoint, so no line is missing or
    twice. Equal runs give equal bytes.
    Errors: on resume, a file that is missing or shorter than at the checkpoint; a path that cannot be written.

    Example: {type: csv, path: out/decisions.csv}

    Source: Y. Shafranovich 2005, RFC 4180.
    """

    type: Literal["csv"] = "csv"
    path: FilePath = Field(description="the file; missing folders are made")

    def check(self, upstream: Format) -> None:
        pass

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        make_folder("csv", self.path)
        return lambda state: Csv(self.path, upstream, None if state is None else int(state["offset"]))


class Csv:
    """Appends to a file, from its start (`offset` None) or from a byte offset, behind which it cuts the file off."""

    def __init__(self, path: Path, format: Format, offset: int | None) -> None:
        self._path, self._format = path, format
        self._file = _open(path, offset)
        self._offset = offset or 0
        if offset is None:
            self._put(_text([header(format)]))

    def write(self, packet: Packet) -> None:
        if packet.n:
            self._put(_text(_rows(packet, self._format)))

    def snapshot(self) -> State:
        """The promise that all lines so far are on disk, `offset` bytes."""
        os.fsync(self._file)
        return {"offset": np.array(self._offset, np.int64)}

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _put(self, text: str) -> None:
        view = memoryview(text.encode())
        try:
            while view:
                written = os.write(self._file, view)
                self._offset += written
                view = view[written:]
        except OSError as error:
            raise unwritable("csv", self._path, error) from None


def header(format: Format) -> list[str]:
    """The names of the columns; each class has one for its score."""
    names = format.names or tuple(str(index) for index in range(format.size if format.kind == "decisions" else 0))
    scores = [f"score_{name}" for name in names]
    return [part for name in column_names(format) for part in (scores if name == "scores" else [name])]


def _rows(packet: Packet, format: Format) -> list[Any]:
    table = columns(packet, format)
    fields: list[list[Any]] = []
    for name, column in table.items():
        if name == "scores":
            fields += [[str(score) for score in scores] for scores in column.T]
        elif name == "label":
            fields.append([""] * len(column) if packet.label < 0 else column.tolist())
        elif column.dtype == np.float32:
            fields.append([str(number) for number in column])
        else:
            fields.append((column.astype(np.int64) if column.dtype == np.bool_ else column).tolist())
    return list(zip(*fields, strict=True))


def _text(rows: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _open(path: Path, offset: int | None) -> int:
    try:
        if offset is None:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ValueError(f"csv: {path} is missing, but the checkpoint holds its first {offset} bytes as written: "
                         "put the file back, or run without --resume") from None
    except OSError as error:
        raise unwritable("csv", path, error) from None
    if (size := os.fstat(file).st_size) < offset:
        os.close(file)
        raise ValueError(f"csv: {path} has {size} bytes, but the checkpoint holds its first {offset} as written: "
                         "put the whole file back, or run without --resume")
    os.ftruncate(file, offset)
    os.lseek(file, offset, os.SEEK_SET)
    return file
