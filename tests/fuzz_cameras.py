"""Damaged files for the decoders of camera recordings: each must be refused by one clear line, or give events that are possible.

`NUMBA_BOUNDSCHECK=1 python -m tests.fuzz_cameras 10000` tries so many files a format, small ones with bytes changed, cut out,
doubled or appended, and says how many were refused.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from sources.recordings import open_recording
from tests import writers_event_stream
from tests.test_formats_cameras import WRITERS
from tests.writers_aedat import Aedat4

EVENTS = sorted((17 * i * i % 5000, i * 5 % 34, i // 4 % 34, i % 2) for i in range(14))


def originals() -> dict[str, bytes]:
    files = {name: row[0](EVENTS) for name, row in WRITERS.items()}
    files["es_color"] = writers_event_stream.color([(200 * i, i, 40, i, 0, 255) for i in range(12)])
    files["es_color_v1"] = writers_event_stream.color_v1([(200 * i, i, 40, i, 0, 255) for i in range(12)])
    files["es_generic"] = writers_event_stream.generic([(200 * i, bytes(i % 9)) for i in range(12)])
    files["aedat4_triggers"] = Aedat4().events(EVENTS).triggers([(4, 1), (5, 0), (9, 3)]).imu().frame().file()
    return files


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
            events = recording.events()
            assert events.unit.size == events.t_us.size, path
            assert not events.unit.size or int(events.unit.max()) < recording.format.size, path
            assert (events.t_us[1:] >= events.t_us[:-1]).all(), path
    except ValueError as error:
        if not str(error).startswith(f"{path}: ") or "\n" in str(error):
            raise AssertionError(f"not one clear line: {error}") from error
        return False
    return True


def fuzz(files: int, seed: int = 1) -> dict[str, tuple[int, int]]:
    """How many files were tried and read, by format."""
    tried = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.aedat"
        for name, content in originals().items():
            rng = np.random.default_rng([seed, *name.encode()])
            read = 0
            for _ in range(files):
                path.write_bytes(damaged(content, rng))
                read += survives(path)
            tried[name] = files, read
    return tried


if __name__ == "__main__":
    for name, (files, read) in fuzz(int(sys.argv[1])).items():
        print(f"{name:20} {files:9,} files, {read:9,} read, {files - read:9,} refused")
