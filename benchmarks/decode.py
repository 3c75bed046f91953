"""Million events/s decoded from files of 20 million events, beside other libraries' readers in the same run.

The files are made in a temporary folder. EVT2 and EVT3: the words of a camera's own recording, over and over, the upper bits of
the time counted on in each turn (so that time never runs back); evt3-vectors is rich in vectors of events. The others: events
of a real recording, over and over, later by its duration in each turn, in the encoders' files. evt3-once: evt3.raw as it is.

Each library runs in a process and an environment of its own, reads the file from its start, and hands over all events as NumPy
columns: spikeline in chunks of times and units, as all its sources do. They take turns, so that an hour in which the machine
is slow hits all alike. `mev_s`: by processor time of all threads, the median of the rounds of all turns. `equal`: number, times,
columns, rows and polarities are those that the file was made of, known from the other format of the recording (gen4.dat for
evt3.raw) or from the events that were encoded. `over_best`: against the fastest library whose events are equal. `peak_MiB`: the
most memory of the process. A library that cannot be had is left out.

python -m benchmarks.decode [--json FILE] [--no-peers] [--events 20000000] [--only evt3 --only dat ...]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.peers import environment
from benchmarks.peers.decode import Columns, digest
from benchmarks.report import Row, arguments, data_folder, publish
from sources.cut import Events
from sources.encoders import ENCODERS
from sources.encoders.writer import Target, addresses
from sources.recordings import open_recording

TURNS, ROUNDS = 3, 3
ROOT = Path(__file__).parents[1]
LIBRARIES: dict[str, tuple[str, ...]] = {
    "evt3": ("evt3==0.4.1", "numpy"),
    "evutils": ("evutils[aedat]==0.3.18",),
    "eventcv": ("eventcv==1.0.8", "numpy"),
    "faery": ("faery==0.7.1", "numpy"),
    "expelliarmus": ("expelliarmus==1.1.12", "numpy"),
    "event_stream": ("event_stream==1.6.3", "numpy"),
    "tonic": ("tonic==1.7.0",),
    "dv-processing": ("dv-processing==2.0.4", "numpy"),
}
READ_BY = {
    "evt3": ("evt3", "evutils", "eventcv", "faery", "expelliarmus"),
    "evt2": ("evutils", "eventcv", "faery", "expelliarmus"),
    "dat": ("evutils", "eventcv", "faery", "expelliarmus"),
    "es": ("event_stream", "faery"),
    "aedat4": ("dv-processing", "evutils", "eventcv", "faery"),
    "nmnist": ("tonic",),
}


class Made:
    """A file, its truth, and how many events it holds."""

    def __init__(self, path: Path, truth: str) -> None:
        self.path, self.truth, self.events = path, truth, int(truth.split()[0])


def columns_of(name: str) -> tuple[Columns, tuple[int, ...]]:
    recording = open_recording(data_folder() / "recordings" / name)
    events = recording.events()
    return (events.t_us, *addresses(events.unit, recording.format.shape)), recording.format.shape


def turns(columns: Columns, period_us: int, count: int) -> Iterator[Columns]:
    t_us, x, y, p = columns
    return ((t_us + turn * period_us, x, y, p) for turn in range(count))


def repeated_words(name: str, truth: Columns, item: str, high_us: int, events: int, path: Path) -> Made:
    """A Prophesee RAW file's words over and over. `high_us`: what one step of the time's upper bits means."""
    source = data_folder() / "recordings" / name
    offset = open_recording(source).header.data_offset
    words = np.fromfile(source, item, offset=offset)
    shift = 8 * words.itemsize - 4
    is_high = words >> shift == 8
    steps = int(truth[0][-1] // high_us - truth[0][0] // high_us) + 2
    count = max(1, round(events / truth[0].shape[0]))
    first = int(is_high.argmax())
    with open(path, "wb") as file:
        file.write(source.read_bytes()[:offset])
        for turn in range(count):
            again = words.copy()
            highs = (again[is_high] + (turn * steps) % (1 << shift)) & ((1 << shift) - 1)
            again[is_high] = highs | (8 << shift)
            file.write(again[first if turn else 0 :].data)
    return Made(path, digest(turns(truth, steps * high_us, count)))


def repeated_events(name: str, format: str, events: int, path: Path) -> Made:
    """A recording's events over and over, in an encoder's file."""
    columns, shape = columns_of(name)
    first_us = int(columns[0][0])
    columns = (columns[0] - first_us, *columns[1:])
    period_us, count = int(columns[0][-1]) + 1000, max(1, round(events / columns[0].shape[0]))
    writer = next(row for row in ENCODERS if row.name == format).make(Target(path, shape))
    _, height, width = shape
    unit = (columns[3].astype(np.uint32) * height + columns[2]) * np.uint32(width) + columns[1]
    for turn in turns(columns, period_us, count):
        writer.write(Events(turn[0], unit))
    writer.close()
    return Made(path, digest(turns(columns, period_us, count)))


def digits(events: int, path: Path) -> Made:
    """N-MNIST samples one after the other, their times spread over the 8.3 s that the records reach."""
    samples = sorted((data_folder() / "nmnist" / "Train").glob("*/*.bin"))[:100]
    records = np.concatenate([np.fromfile(sample, np.uint8).reshape(-1, 5) for sample in samples])
    records = np.tile(records, (max(1, events // records.shape[0]), 1))
    t_us = np.arange(records.shape[0]) * ((1 << 23) - 1) // records.shape[0]
    records[:, 2] = (records[:, 2] & 0x80) | (t_us >> 16)
    records[:, 3], records[:, 4] = (t_us >> 8) & 0xFF, t_us & 0xFF
    records.tofile(path)
    return Made(path, digest([(t_us, records[:, 0], records[:, 1], records[:, 2] >> 7)]))


def files(events: int, folder: Path, formats: Sequence[str]) -> Iterator[Made]:
    """One file after the other, named FORMAT-WHAT; the format is what READ_BY knows it by."""
    data = data_folder() / "recordings"
    if "evt3" in formats:
        twin, _ = columns_of("gen4.dat")
        big = (twin[0] + 11_194_368 * (twin[0][0] < 11_194_368), *twin[1:])  # the times of evt3.raw
        with np.load(data / "evt3_sample.reference.npz") as reference:
            rich = tuple(reference[key].astype(np.int64) for key in ("t", "x", "y", "p"))
        (folder / "evt3-once.raw").symlink_to(data / "evt3.raw")
        yield Made(folder / "evt3-once.raw", digest([big]))
        yield repeated_words("evt3.raw", big, "<u2", 4096, events, folder / "evt3-.raw")
        yield repeated_words("evt3_sample.raw", rich, "<u2", 4096, events, folder / "evt3-vectors.raw")
    if "evt2" in formats:
        yield repeated_words("evt2_sample.raw", columns_of("evt2_sample.raw")[0], "<u4", 64, events, folder / "evt2-.raw")
    if "dat" in formats:
        yield repeated_events("gen4.dat", "dat", events, folder / "dat-.dat")
    if "es" in formats:
        yield repeated_events("dvs.es", "es", events, folder / "es-.es")
    if "aedat4" in formats:
        for compression, row in {"none": "aedat4_none", "lz4": "aedat4", "zstd": "aedat4_zstd"}.items():
            yield repeated_events("davis346.aedat4", row, events, folder / f"aedat4-{compression}.aedat4")
    if "nmnist" in formats:
        yield digits(events, folder / "nmnist-.bin")


def read_by(library: str, python: Path, made: Made) -> Row:
    """What one process of a library tells: seconds, digest and memory; or why it could not read the file."""
    script = Path(__file__).parent / "peers" / "decode.py"
    one = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    run = [str(python), str(script), library, str(made.path), str(ROUNDS)]
    paths = {"PYTHONPATH": str(ROOT)} if library == "spikeline" else {}
    done = subprocess.run(run, env=os.environ | one | paths, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or f"ended with {done.returncode}").splitlines()[-1]
        return {"error": reason[:100]}
    told: Row = json.loads(done.stdout.splitlines()[-1])
    return told


def measured(told: Sequence[Row], made: Made) -> Row:
    """One library's row, of what it told in each turn: its speed, whether its events are right, its memory."""
    if errors := [turn["error"] for turn in told if "error" in turn]:
        return {"error": errors[0]}
    seconds = statistics.median(second for turn in told for second in turn["seconds"])
    equal = all(turn["digest"] == made.truth for turn in told)
    return {"mev_s": made.events / seconds / 1e6, "equal": equal, "peak_MiB": max(turn["peak_MiB"] for turn in told)}


def compare(made: Made, pythons: dict[str, Path]) -> list[Row]:
    """The rows of one file: spikeline's first, with all others' figures in `peers`."""
    format, what = made.path.stem.split("-")
    name = f"{format} {what}".strip()
    libraries = {"spikeline": Path(sys.executable)} | {peer: pythons[peer] for peer in READ_BY[format] if peer in pythons}
    told = [{library: read_by(library, python, made) for library, python in libraries.items()} for _ in range(TURNS)]
    peers = {library: measured([turn[library] for turn in told], made) for library in libraries}
    ours: Row = {"format": name, "events": made.events, "library": "spikeline"} | peers.pop("spikeline")
    best = max((peer["mev_s"] for peer in peers.values() if peer.get("equal")), default=None)
    if best and "mev_s" in ours:
        ours["over_best"] = ours["mev_s"] / best
    return [ours | {"peers": peers}] + [{"format": name, "library": library, **peer} for library, peer in peers.items()]


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--events", type=int, default=20_000_000, help="events of each file (default 20 million)")
    parser.add_argument("--no-peers", action="store_true", help="spikeline alone")
    parser.add_argument("--only", action="append", choices=list(READ_BY), help="this format alone; may be repeated")
    options = parser.parse_args()
    found = {} if options.no_peers else {name: environment(name, *packages) for name, packages in LIBRARIES.items()}
    pythons = {name: python for name, python in found.items() if python}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for made in files(options.events, Path(folder), options.only or list(READ_BY)):
            rows += compare(made, pythons)
            made.path.unlink()
    publish("decoding: million events/s on one thread", rows, options.json)
    if not all(row.get("equal") for row in rows if row["library"] == "spikeline"):
        raise SystemExit("spikeline's events differ from what a file was made of")


if __name__ == "__main__":
    main()
