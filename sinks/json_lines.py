"""Decisions in, a file of one JSON object a line out."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import numpy as np
import orjson
from pydantic import Field

from pipeline.contract import FilePath, Sink, SinkConfig, State
from pipeline.packet import Decision, Format, Packet, decisions
from sinks.decisions_only import needs_decisions

STYLE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


class JsonLinesConfig(SinkConfig):
    """Writes one JSON object a decision and line: stream, episode, t_us, class, name, confidence, scores, final, label.

    In: decisions of any shape. t_us: stream time, us. class: index of the greatest score; scores: one per class, in order, as
    the shortest text that reads back as the same float32. label: the true class, or null where it is not known.
    There is no wall-clock field: equal runs give equal bytes.

    Guarantee: a packet's lines are handed to the operating system before the next packet is taken, and are on disk once a
    checkpoint is. A run starts with an empty file; one that resumes cuts the file back to the checkpoint and goes on, so
    nothing is repeated and nothing is missing.
    Errors: on resume, a file that is missing or shorter than at the checkpoint; a path that cannot be written.

    Example: {type: json_lines, path: out/decisions.jsonl}
    """

    type: Literal["json_lines"] = "json_lines"
    path: FilePath = Field(description="the file; missing folders are made")

    def check(self, upstream: Format) -> None:
        needs_decisions("json_lines", upstream)

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        self.check(upstream)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.path, error) from None
        return lambda state: JsonLines(self.path, upstream, stream, None if state is None else int(state["offset"]))


class JsonLines:
    """Appends to a file, from its start (`offset` None) or from a byte offset, behind which it cuts the file off."""

    def __init__(self, path: Path, format: Format, stream: str, offset: int | None) -> None:
        self.path = path
        self.format = format
        self.file = _open(path, offset)
        self.offset = offset or 0
        self.stream = _text(stream)
        self.names = [_text(name) for name in format.names or map(str, range(format.size))]

    def write(self, packet: Packet) -> None:
        if packet.n == 0:
            return
        content = b"".join([self._line(decision, packet) for decision in decisions(packet, self.format)])
        try:
            written = os.write(self.file, content)
            while written < len(content):
                written += os.write(self.file, content[written:])
        except OSError as error:
            raise _unwritable(self.path, error) from None
        self.offset += written

    def snapshot(self) -> State:
        """The promise that all lines so far are on disk, `offset` bytes."""
        _to_disk(self.file)
        return {"offset": np.array(self.offset, np.int64)}

    def close(self) -> None:
        if self.file >= 0:
            os.close(self.file)
            self.file = -1

    def _line(self, decision: Decision, packet: Packet) -> bytes:
        scores = decision.scores  # of a float32: the shortest text that reads back as itself; null where it is no number
        fields = {
            "stream": self.stream, "episode": packet.episode, "t_us": decision.t_us, "class": decision.index,
            "name": self.names[decision.index], "confidence": scores[decision.index], "scores": scores, "final": decision.final,
            "label": packet.label if packet.label >= 0 else None,
        }  # fmt: skip
        return orjson.dumps(fields, option=STYLE)


def _text(name: str) -> str:
    """The name; what a folder's name has in it that is no text is spelt out."""
    return name.encode(errors="backslashreplace").decode()


def _open(path: Path, offset: int | None) -> int:
    """The file, emptied or cut back to `offset`, positioned at its end."""
    try:
        if offset is None:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
            _folder_to_disk(path.parent)
            return file
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ValueError(f"json_lines: {path} is missing, but the checkpoint holds its first {offset} bytes as written: "
                         "put the file back, or run without --resume") from None
    except OSError as error:
        raise _unwritable(path, error) from None
    size = os.fstat(file).st_size
    if size < offset:
        os.close(file)
        raise ValueError(f"json_lines: {path} has {size} bytes, but the checkpoint holds its first {offset} as written: "
                         "put the whole file back, or run without --resume")
    os.ftruncate(file, offset)
    os.lseek(file, offset, os.SEEK_SET)
    return file


def _folder_to_disk(folder: Path) -> None:
    """A new file's name is on disk only once its folder is. Some network file systems cannot be asked to: nothing to wait for."""
    entry = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    with suppress(OSError):
        os.fsync(entry)
    os.close(entry)


def _to_disk(file: int) -> None:
    if stat.S_ISREG(os.fstat(file).st_mode):  # a pipe or a terminal has no disk
        os.fsync(file)


def _unwritable(path: Path, error: OSError) -> OSError:
    return OSError(error.errno, f"json_lines: cannot write {path}: {error.strerror}; choose another path or correct this one")
