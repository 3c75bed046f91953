"""What is to be seen in the files that sinks write: one reader a format, by that format's own library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Seen = Callable[[Path], Any]


def _if_there(name: str, read: Callable[[Path], Any]) -> Seen:
    return lambda folder: read(folder / name) if (folder / name).exists() else None


def parquet(name: str) -> Seen:
    from pyarrow import parquet as library

    return _if_there(name, lambda path: library.read_table(path).to_pylist())


def arrow(name: str) -> Seen:
    import pyarrow as pa

    return _if_there(name, lambda path: pa.ipc.open_file(str(path)).read_all().to_pylist())


def hdf5(name: str) -> Seen:
    return _if_there(name, hdf5_columns)


def hdf5_columns(path: Path) -> dict[str, list[Any]]:
    """Every dataset, by its path in the file."""
    import h5py

    found: dict[str, list[Any]] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[:].tolist()}) if isinstance(item, h5py.Dataset) else None)
    return found


def sqlite(name: str) -> Seen:
    from sinks.sqlite import read_rows

    return _if_there(name, read_rows)


def recording(name: str) -> Seen:
    """The packets of a recording in all its parts, and the Parquet file beside it if there is one."""
    return lambda folder: (recorded(folder / name), parquet(str(Path(name).with_suffix(".parquet")))(folder))


def recorded(path: Path) -> list[Any]:
    from pipeline.packet_log import PacketLog, parts_of
    from tests.packets import content

    packets = []
    for part in parts_of(path):
        log = PacketLog(part)
        packets += [content(entry.packet) for entry in log.entries()]
        log.close()
    return packets
