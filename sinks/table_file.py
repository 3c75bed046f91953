"""What the sinks parquet, arrow and hdf5 share: packets are recorded as they come, the table is made of them at the end.

A table's file tells at its end where its columns stand, so it can be neither appended to nor cut back. The recording beside it
(PATH.spkl) can: it holds all that was written when the process dies, and is cut back to the checkpoint on resume.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from pipeline.contract import State
from pipeline.packet import Format, Packet
from pipeline.packet_log import SUFFIX, PacketLog, PacketLogWriter
from sinks.files import unwritable

WriteTable = Callable[[Path, list[Path]], None]  # writes the table of some recordings to a path


class TableFile:
    """Records packets that have events; when it is closed, makes the table and removes the recording, unless a checkpoint may
    still want to go on from it. State: `offset`, the bytes of the recording."""

    def __init__(self, sink: str, path: Path, format: Format, stream: str, write_table: WriteTable, state: State | None) -> None:
        self._sink, self._path, self._write_table = sink, path, write_table
        self._checkpointed, self._closed = state is not None, False
        self.log_path = path.with_name(path.name + SUFFIX)
        try:
            self._log = PacketLogWriter(self.log_path, format, stream, None if state is None else int(state["offset"]))
        except FileNotFoundError:
            raise ValueError(f"{sink}: {self.log_path} is missing, which the checkpoint goes on from: "
                             "put the file back, or run without --resume") from None
        except OSError as error:
            raise unwritable(sink, self.log_path, error) from None

    def write(self, packet: Packet) -> None:
        if packet.n:
            try:
                self._log.write(packet)
            except OSError as error:
                raise unwritable(self._sink, self.log_path, error) from None

    def snapshot(self) -> State:
        """The promise that all rows so far are on disk, in the recording."""
        self._log.to_disk()
        self._checkpointed = True
        return {"offset": np.array(self._log.offset, np.int64)}

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._log.close()
        written_whole(self._sink, self._path, lambda path: self._write_table(path, [self.log_path]))
        if not self._checkpointed:
            self.log_path.unlink()


def written_whole(sink: str, path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make a file beside `path`, and put it there once it is whole and on disk."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise unwritable(sink, path, error) from None
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


def format_of(recordings: list[Path]) -> Format:
    log = PacketLog(recordings[0])
    log.close()
    return log.format


def packets_of(recordings: list[Path]) -> Iterator[Packet]:
    for path in recordings:
        log = PacketLog(path)
        try:
            for entry in log.entries():
                yield entry.packet
        finally:
            log.close()
