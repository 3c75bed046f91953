"""Reads one recording with one library, in that library's own environment, and tells how fast, how big and what came out.

python decode.py LIBRARY FILE ROUNDS prints a JSON line: `seconds` of processor time of each round (all threads), `peak_MiB`
of the whole process, and the `digest` of all columns, which does not depend on how the events come in chunks.
Each library reads the file from its start in the way that is fastest for it, and hands the events over as NumPy columns.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

CHUNK = 1 << 16  # events, where a library wants to be told
Columns = tuple[Any, Any, Any, Any]  # t (us), x, y, p


def digest(chunks: Iterable[Columns]) -> str:
    """Of the columns' values: the number of events and a hash of each column."""
    hashes, n = [hashlib.blake2b(digest_size=8) for _ in range(4)], 0
    for columns in chunks:
        n += len(columns[0])
        for hashed, column, dtype in zip(hashes, columns, (np.int64, np.uint16, np.uint16, np.uint8), strict=True):
            hashed.update(np.ascontiguousarray(column).astype(dtype).data)
    return f"{n} events " + " ".join(hashed.hexdigest() for hashed in hashes)


def spikeline(path: str) -> Iterator[Any]:
    from sources.recordings import open_recording

    recording = open_recording(path)
    for chunk in recording.chunks():
        yield chunk.events, recording.format.shape


def spikeline_columns(chunk: Any) -> Columns:
    from sources.encoders.writer import addresses

    events, shape = chunk
    return events.t_us, *addresses(events.unit, shape)


def evt3(path: str) -> Iterator[Any]:
    import evt3

    yield from evt3.decode_file_batches(path)


def evutils(path: str) -> Iterator[Any]:
    from evutils.io import EventReader

    yield from EventReader(path, n_events=CHUNK)


def eventcv(path: str) -> Iterator[Any]:
    import eventcv

    yield eventcv.load(path).numpy()


def faery(path: str) -> Iterator[Any]:
    import faery

    yield from faery.events_stream_from_file(path)


def expelliarmus(path: str) -> Iterator[Any]:
    from expelliarmus import Wizard

    encoding = Path(path).stem.split("-")[0]
    yield from Wizard(encoding=encoding, fpath=path, chunk_size=CHUNK).read_chunk()


def event_stream(path: str) -> Iterator[Any]:
    import event_stream

    yield from event_stream.Decoder(path)


def tonic(path: str) -> Iterator[Any]:
    from tonic.io import events_struct, read_mnist_file

    yield read_mnist_file(path, events_struct)


def dv_processing(path: str) -> Iterator[Any]:
    import dv_processing

    recording = dv_processing.io.MonoCameraRecording(path)
    while recording.isRunning():
        batch = recording.getNextEventBatch()
        if batch is not None:
            yield batch.numpy()


def attributes(chunk: Any) -> Columns:
    return chunk.t, chunk.x, chunk.y, chunk.p


def fields(chunk: Any) -> Columns:
    return chunk["t"], chunk["x"], chunk["y"], chunk["p"]

def rows(chunk: Any) -> Columns:
    return chunk[:, 2], chunk[:, 0], chunk[:, 1], chunk[:, 3]


def tuples(chunk: Any) -> Columns:
    return chunk["timestamp"], chunk["x"], chunk["y"], chunk["polarity"]


READERS: dict[str, tuple[Callable[[str], Iterator[Any]], Callable[[Any], Columns]]] = {
    "spikeline": (spikeline, spikeline_columns),
    "evt3": (evt3, attributes),
    "evutils": (evutils, attributes),
    "eventcv": (eventcv, rows),
    "faery": (faery, fields),
    "expelliarmus": (expelliarmus, fields),
    "event_stream": (event_stream, fields),
    "tonic": (tonic, fields),
    "dv-processing": (dv_processing, tuples),
}


def main() -> None:
    library, path, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    read, columns = READERS[library]
    seconds = []
    for _ in range(rounds + 1):  # the first warms up
        begin_s = time.process_time()
        for _chunk in read(path):
            pass
        seconds.append(time.process_time() - begin_s)
    peak_mib = peak()
    came_out = digest(columns(chunk) for chunk in read(path))
    print(json.dumps({"seconds": seconds[1:], "peak_MiB": peak_mib, "digest": came_out}))


def peak() -> int | None:
    """The most memory that the process has had resident so far; None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), None)


if __name__ == "__main__":
    main()
