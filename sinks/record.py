"""Any stream in, a recording out that the source `recorded` replays packet for packet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, Sink, SinkConfig, State
from pipeline.packet import Format, Packet
from pipeline.packet_log import MAGIC, PacketLogWriter, part_path
from sinks.files import make_folder, unwritable


class RecordConfig(SinkConfig):
    """Records every packet of a stream in an append-only file: intervals, events, values, episodes, labels, losses.

    In: spikes, graded events or decisions of any shape. The file (conventionally .spkl) holds the stream's format and then each
    packet as the wire's codec 2 makes it, behind its size and checksum; the source `recorded` replays it, packet for packet.
    With `rotate_mb` or `rotate_s` parts are made instead: run.spkl becomes run-00000.spkl, run-00001.spkl, ...; a part is closed
    with the packet that fills it. With `parquet` the events are written once more when the stream ends, beside the
    recording, as .parquet (what the sink `parquet` writes).

    Guarantee: a packet is handed to the operating system before the next one is taken, so a process killed at any moment leaves
    a recording that is whole up to its last whole packet; what a checkpoint counts as written is on disk. A run starts anew and
    replaces what stood there; one that resumes cuts the recording back to the checkpoint, so nothing is repeated or missing.
    Errors: on resume, a part that is missing or shorter than at the checkpoint; a path that cannot be written.

    Example: {type: record, path: out/run.spkl, rotate_mb: 500}

    Source: write-ahead logs: Gray, Reuter 1992, "Transaction Processing: Concepts and Techniques", chapter 9. Times in us.
    """

    type: Literal["record"] = "record"
    path: FilePath = Field(description="the recording; missing folders are made")
    rotate_mb: float | None = Field(None, gt=0, description="a new part once one has this many megabytes (1e6 bytes)")
    rotate_s: float | None = Field(None, gt=0, description="a new part once one holds this much time of the stream, s")
    parquet: bool = Field(False, description="write the events as Parquet too, when the stream ends")

    @property
    def rotates(self) -> bool:
        return self.rotate_mb is not None or self.rotate_s is not None

    def part(self, number: int) -> Path:
        return part_path(self.path, number) if self.rotates else self.path

    def check(self, upstream: Format) -> None:
        if self.path.suffix == ".parquet":
            raise ValueError(f"record makes no Parquet: use {{type: parquet}}, or give {self.path.name} the suffix .spkl")

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        self.check(upstream)
        make_folder("record", self.path)
        return lambda state: Record(self, upstream, stream, state)


class Record:
    """Appends to the newest part. State: its number, its bytes, the stream time (us) that it holds, and packets so far."""

    def __init__(self, config: RecordConfig, format: Format, stream: str, state: State | None) -> None:
        self._config, self._format, self._stream = config, format, stream
        names = "part", "offset", "held_us", "packets"
        numbers = (0, None, 0, 0) if state is None else tuple(int(state[name]) for name in names)
        self._part, offset, self._held_us, self._packets = numbers
        self._closed = False
        self._log = self._open(offset)
        self._remove_other_parts()

    def write(self, packet: Packet) -> None:
        if self._full():
            self._log.to_disk()
            self._log.close()
            self._part, self._held_us = self._part + 1, 0
            self._log = self._open(None)
        try:
            self._log.write(packet)
        except OSError as error:
            raise unwritable("record", self._log.path, error) from None
        self._held_us += packet.end_us - packet.begin_us
        self._packets += 1

    def snapshot(self) -> State:
        """The promise that all packets so far are on disk."""
        self._log.to_disk()
        numbers = {"part": self._part, "offset": self._log.offset, "held_us": self._held_us, "packets": self._packets}
        return {name: np.array(number, np.int64) for name, number in numbers.items()}

    def report(self) -> dict[str, Any]:
        return {"parts": self._part + 1, "packets": self._packets}

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._log.to_disk()
        self._log.close()
        if self._config.parquet:
            from sinks.parquet import write_parquet
            from sinks.table_file import written_whole

            parts = [self._config.part(number) for number in range(self._part + 1)]
            written_whole("record", self._config.path.with_suffix(".parquet"), lambda path: write_parquet(path, parts))

    def _full(self) -> bool:
        config = self._config
        too_large = config.rotate_mb is not None and self._log.offset >= config.rotate_mb * 1e6
        return too_large or (config.rotate_s is not None and self._held_us >= config.rotate_s * 1e6)

    def _open(self, offset: int | None) -> PacketLogWriter:
        path = self._config.part(self._part)
        try:
            return PacketLogWriter(path, self._format, self._stream, offset)
        except FileNotFoundError:
            raise ValueError(f"record: {path} is missing, but the checkpoint holds its first {offset} bytes as written: "
                             "put the file back, or run without --resume") from None
        except OSError as error:
            raise unwritable("record", path, error) from None

    def _remove_other_parts(self) -> None:
        """Remove what an earlier run, or this one beyond its checkpoint, wrote: later parts, or a recording of the plain name."""
        path, later = self._config.path, self._part + 1
        if not self._config.rotates:
            return
        while part_path(path, later).exists():
            part_path(path, later).unlink()
            later += 1
        if path.is_file():
            with open(path, "rb") as file:
                is_recording = file.read(len(MAGIC)) == MAGIC
            if is_recording:
                path.unlink()
