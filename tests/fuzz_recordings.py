"""Damaged files of all formats: each must be refused by one clear line, or give events that are possible.

`NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=build/checked python -m tests.fuzz_recordings 10000` tries so many files a format, small ones
with bytes changed, cut out, doubled or appended, and says how many were refused. Names may follow the number: only those formats
then. What kernels make of damaged words, much faster: tests/fuzz_kernels.py.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sources.cut import Events
from sources.images import ImagesConfig
from sources.recordings import open_recording
from sources.shd import ShdConfig
from tests import table_writers, writers, writers_event_stream, writers_samples
from tests.test_formats_cameras import WRITERS
from tests.test_record import record, two_episodes
from tests.test_tables import LAYOUTS, TOUCHES
from tests.writers_aedat import Aedat4

PACKETS = two_episodes()
IMAGES = np.arange(3 * 4 * 5).reshape(3, 4, 5)
EVENTS = sorted((17 * i * i % 5000, i * 5 % 34, i // 4 % 34, i % 2) for i in range(14))
TABLES = ("npy tonic", "npy matrix in s", "npz columns", "npz structured", "hdf5 dsec", "hdf5 mvsec", "hdf5 prophesee",
          "hdf5 prophesee packed", "hdf5 compound", "hdf5 group", "text rpg", "text csv", "parquet", "parquet of units", "arrow",
          "arrow of units")  # fmt: skip
BAGS = {"bag": "a.bag", "db3": "a.db3", "mcap": "a.mcap"}


def originals(folder: Path) -> dict[str, bytes]:
    files = {name: row[0](EVENTS) for name, row in WRITERS.items()}
    files["es_color"] = writers_event_stream.color([(200 * i, i, 40, i, 0, 255) for i in range(12)])
    files["es_color_v1"] = writers_event_stream.color_v1([(200 * i, i, 40, i, 0, 255) for i in range(12)])
    files["es_generic"] = writers_event_stream.generic([(200 * i, bytes(i % 9)) for i in range(12)])
    files["aedat4_triggers"] = Aedat4().events(EVENTS).triggers([(4, 1), (5, 0), (9, 3)]).imu().frame().file()
    words = {"evt2": writers.evt2, "evt3": writers.evt3, "dat": writers.dat, "dat_v1": writers.dat_v1, "nmnist": writers.nmnist}
    files |= {name: write(EVENTS) for name, write in words.items()}
    files |= {name: LAYOUTS[name](EVENTS) for name in TABLES}
    files |= {"mat": table_writers.st_mnist(TOUCHES), "mat not compressed": table_writers.st_mnist(TOUCHES, packed=False)}
    files |= {"idx": writers_samples.idx(IMAGES), "idx packed": writers_samples.idx(IMAGES, packed=True)}
    record(folder / "run.spkl", [PACKETS[0], replace(PACKETS[1], last=True)])
    writers_samples.write_shd(folder / "shd.h5", [[0.1, 0.2], [0.3]], [[1, 2], [3]], [0, 1], ("a", "b"), (1, 2))
    files |= {"spkl": (folder / "run.spkl").read_bytes(), "shd": (folder / "shd.h5").read_bytes()}
    return files | _bags(folder)


def _bags(folder: Path) -> dict[str, bytes]:
    try:
        from tests.test_rosbag import bag, evt3_messages
    except pytest.skip.Exception:  # without the extra ros
        return {}
    found = {}
    for kind in BAGS:
        (folder / kind).mkdir()
        found[kind] = bag(folder / kind, kind, evt3_messages(kind != "bag")).read_bytes()
    return found


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with one to four places changed, most often towards its end, where the events are."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        at = int(len(data) * rng.random() ** 0.5)
        kind, some = rng.integers(6), rng.integers(0, 256, int(rng.integers(1, 9)), np.uint8).tobytes()
        if kind < 2 and at < len(data):
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            data[at : at + len(some)] = some
        elif kind == 3:
            del data[at : at + len(some)]
        elif kind == 4:
            data[at:at] = data[at : at + 16]
        else:
            data[at : at + 8] = rng.choice([b"\x00" * 8, b"\xff" * 8, b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80"])
    return bytes(data)


def survives(path: Path) -> bool:
    """Whether the file is read; AssertionError where it is neither read as it should be nor refused as it should be."""
    try:
        streams = open_recording(path).header.streams
        for stream in ("events", *streams):
            recording = open_recording(path, on_disorder="drop", on_truncated="keep", stream=stream)  # type: ignore[arg-type]
            _check(recording.events(), recording.format.size, path)
    except ValueError as error:
        return _refused(path, error)
    return True


def survives_samples(config: Any) -> bool:
    """The same, for the sources of labelled samples."""
    try:
        source = config.prepare()(None)
        for packet in source.packets():
            packet.check(source.format)
        source.close()
    except ValueError as error:
        return _refused(config.path, error)
    return True


def _check(events: Events, units: int, path: Path) -> None:
    assert events.unit.size == events.t_us.size, path
    assert not events.unit.size or int(events.unit.max()) < units, path
    assert (events.t_us[1:] >= events.t_us[:-1]).all(), path


def _refused(path: Path, error: ValueError) -> bool:
    if "\n" in str(error) or not (str(error).startswith(f"{path}: ") or str(error).startswith("sample ")):
        raise AssertionError(f"not one clear line: {error}") from error
    return False


def fuzz(files: int, names: Sequence[str] = (), seed: int = 1) -> dict[str, tuple[int, int]]:
    """How many files were tried and read, by format."""
    tried = {}
    with tempfile.TemporaryDirectory(dir=memory_folder()) as folder:
        found = originals(Path(folder))
        for name in names or found:
            path = Path(folder) / BAGS.get(name, "recording.aedat")
            test = {"shd": lambda path: survives_samples(ShdConfig(path=path)),
                    "idx": lambda path: survives_samples(ImagesConfig(path=path))}.get(name.split()[0], survives)  # fmt: skip
            rng = np.random.default_rng([seed, *name.encode()])
            read = 0
            for _ in range(files):
                path.write_bytes(damaged(found[name], rng))
                try:
                    read += test(path)
                except Exception:
                    keep = Path(tempfile.gettempdir()) / f"harmful-{name.replace(' ', '-')}"
                    shutil.copy(path, keep)
                    print(f"{name}: after {tried.get(name, (0, 0))[0]} files, one does harm: kept as {keep}", file=sys.stderr)
                    raise
            tried[name] = files, read
            if __name__ == "__main__":
                print(f"{name:24} {files:9,} files, {read:9,} read, {files - read:9,} refused", flush=True)
    return tried


def memory_folder() -> str | None:
    """Where files are written to memory alone; None where there is no such folder."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    fuzz(int(sys.argv[1]), sys.argv[2:])
