"""parquet, arrow, hdf5, csv and sqlite: the same rows, whatever happens to the run."""

from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import spikeline
from pipeline.config import component
from pipeline.packet import Format, Packet
from sinks.sqlite import read_rows
from tests.examples import CATALOG, EXITING, decision_packets
from tests.seen_files import hdf5_columns, recorded

DVS = Format("spikes", (2, 8, 8))
SOUND = Format("graded", (12,), rate_hz=16_000.0)
NAMES = {"parquet": "d.parquet", "arrow": "d.arrow", "hdf5": "d.h5", "csv": "d.csv", "sqlite": "d.sqlite"}
TABLES = ("parquet", "arrow", "hdf5")


def make(kind: str, folder: Path, format: Format = EXITING, stream: str = "cam") -> Any:
    config: Any = component("sink", {"type": kind, "path": str(folder / NAMES[kind])}, CATALOG)
    return config.prepare(format, stream)


def write(kind: str, folder: Path, packets: tuple[Packet, ...] = decision_packets(), format: Format = EXITING) -> Path:
    sink = make(kind, folder, format)(None)
    for packet in packets:
        sink.write(packet)
    sink.close()
    return folder / NAMES[kind]


def rows(kind: str, path: Path) -> list[tuple[Any, ...]]:
    """episode, t_us, class, name, confidence, final of each decision."""
    wanted = "episode", "t_us", "class", "name", "confidence", "final"
    if kind == "parquet":
        table = pq.read_table(path).to_pylist()
    elif kind == "arrow":
        table = pa.ipc.open_file(str(path)).read_all().to_pylist()
    elif kind == "hdf5":
        columns = {name.removeprefix("decisions/"): values for name, values in hdf5_columns(path).items()}
        columns["name"] = [name.decode() for name in columns["name"]]
        table = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    elif kind == "csv":
        table = list(csv.DictReader(path.open(newline="")))
    else:
        names = "stream", "seq", *wanted[:5], "scores", "final", "label"
        table = [dict(zip(names, row, strict=True)) for row in read_rows(path)]
    return [(int(r["episode"]), int(r["t_us"]), int(r["class"]), r["name"], np.float32(r["confidence"]), bool(int(r["final"])))
            for r in table]  # fmt: skip


def test_all_destinations_hold_the_same_decisions(tmp_path: Path) -> None:
    found = {kind: rows(kind, write(kind, tmp_path)) for kind in NAMES}
    assert len(found["csv"]) == 8
    assert all(table == found["csv"] for table in found.values())


def test_scores_come_back_as_the_same_floats(tmp_path: Path) -> None:
    scores = [packet.value.reshape(-1, 3).tolist() for packet in decision_packets() if packet.value is not None and packet.n]
    wanted = [row for rows_of_packet in scores for row in rows_of_packet]
    assert pq.read_table(write("parquet", tmp_path))["scores"].to_pylist() == wanted
    assert hdf5_columns(write("hdf5", tmp_path))["decisions/scores"] == wanted
    in_csv = [[row[f"score_{name}"] for name in EXITING.names] for row in csv.DictReader(write("csv", tmp_path).open())]
    assert np.array_equal(np.array(in_csv, np.float32), np.array(wanted, np.float32))
    in_sqlite = [json.loads(row[7]) for row in read_rows(write("sqlite", tmp_path))]
    assert np.array_equal(np.array(in_sqlite, np.float32), np.array(wanted, np.float32))


EVENTS = Packet(0, 100, np.array([3, 3, 70]), np.array([0, 127, 10], np.uint32), last=True, episode=4, label=1)


@pytest.mark.parametrize("kind", TABLES)
def test_events_of_a_camera_have_x_y_and_p(kind: str, tmp_path: Path) -> None:
    path = write(kind, tmp_path, (EVENTS,), DVS)
    read = {
        "parquet": lambda: pq.read_table(path).to_pydict(),
        "arrow": lambda: pa.ipc.open_file(str(path)).read_all().to_pydict(),
        "hdf5": lambda: {name.removeprefix("events/"): values for name, values in hdf5_columns(path).items()},
    }
    assert read[kind]() == {"t": [3, 3, 70], "x": [0, 7, 2], "y": [0, 7, 1], "p": [0, 1, 0], "episode": [4] * 3, "label": [1] * 3}


def test_events_with_values_have_unit_and_value(tmp_path: Path) -> None:
    packet = Packet(0, 100, np.array([3, 62]), np.array([11, 0], np.uint32), np.array([0.1, -2.5], np.float32))
    assert write("csv", tmp_path, (packet,), SOUND).read_text() == "t,unit,value,episode,label\n3,11,0.1,0,\n62,0,-2.5,0,\n"


def test_a_stream_without_rows_makes_a_table_without_rows(tmp_path: Path) -> None:
    silence = (Packet(0, 5, value=np.empty(0, np.float32), last=True),)
    assert [len(rows(kind, write(kind, tmp_path, silence))) for kind in ("parquet", "arrow", "csv", "sqlite")] == [0, 0, 0, 0]


def test_names_with_commas_and_quotes_survive_csv(tmp_path: Path) -> None:
    format = Format("decisions", (2,), names=('a,"b"', "c\nd"))
    packet = Packet(0, 5, np.array([1, 1]), np.array([0, 1], np.uint32), np.array([0.25, 0.75], np.float32))
    row = next(csv.DictReader(write("csv", tmp_path, (packet,), format).open(newline="")))
    assert (row["name"], row['score_a,"b"'], row["label"]) == ("c\nd", "0.25", "")


@pytest.mark.parametrize("kind", TABLES)
def test_the_recording_beside_a_table_goes_once_the_table_is_there(kind: str, tmp_path: Path) -> None:
    sink = make(kind, tmp_path)(None)
    assert (tmp_path / f"{NAMES[kind]}.spkl").exists()
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == [NAMES[kind]]


@pytest.mark.parametrize("kind", TABLES)
def test_the_recording_stays_while_a_checkpoint_may_want_it(kind: str, tmp_path: Path) -> None:
    sink = make(kind, tmp_path)(None)
    sink.snapshot()
    sink.close()
    assert {path.name for path in tmp_path.iterdir()} == {NAMES[kind], f"{NAMES[kind]}.spkl"}


@pytest.mark.parametrize("kind", [*TABLES, "csv"])
def test_resuming_without_the_file_says_so(kind: str, tmp_path: Path) -> None:
    sink = make(kind, tmp_path)(None)
    state = sink.snapshot()
    sink.close()
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"is missing, .*run without --resume"):
        make(kind, tmp_path)(state)


def test_sqlite_keeps_the_rows_of_other_streams(tmp_path: Path) -> None:
    for stream in ("left", "right", "left"):
        sink = make("sqlite", tmp_path, stream=stream)(None)
        for packet in decision_packets():
            sink.write(packet)
        sink.close()
    found = read_rows(tmp_path / "d.sqlite")
    assert [(row[0], row[1]) for row in found] == [(stream, seq) for stream in ("left", "right") for seq in range(8)]


def test_sqlite_has_null_for_an_unknown_label(tmp_path: Path) -> None:
    packet = Packet(0, 5, np.array([1] * 3), np.arange(3, dtype=np.uint32), np.array([0.5, 0.25, 0.25], np.float32))
    assert read_rows(write("sqlite", tmp_path, (packet,)))[0][-1] is None


def test_sqlite_shows_rows_while_the_run_goes_on(tmp_path: Path) -> None:
    sink = make("sqlite", tmp_path)(None)
    for packet in decision_packets():
        sink.write(packet)
    assert len(read_rows(tmp_path / "d.sqlite")) == 8
    sink.close()


def test_sqlite_names_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "d.sqlite").write_bytes(b"this is no database, but a text that is long enough to be looked at" * 20)
    with pytest.raises(ValueError, match=r"d\.sqlite: file is not a database"):
        make("sqlite", tmp_path)(None)


def test_sqlite_names_a_table_with_other_columns(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "d.sqlite")
    connection.execute("CREATE TABLE decisions (stream TEXT, other TEXT)")
    connection.close()
    with pytest.raises(ValueError, match="no such column: seq"):
        make("sqlite", tmp_path)(None)


def test_a_folder_in_the_way_is_one_line(tmp_path: Path) -> None:
    for kind in ("csv", "parquet"):
        (tmp_path / NAMES[kind]).mkdir()
        with pytest.raises(OSError, match="choose another path or correct this one"):
            write(kind, tmp_path)


PIPELINE = """\
source: {type: memory, shape: [2, 8, 8], events: [[0, 3], [900, 1], [900, 0], [9000, 127]], end_ms: 40, label: 1}
operators: [{type: refractory, period_ms: 0.01}]
sinks:
  - {type: parquet, path: e.parquet}
  - {type: csv, path: e.csv}
  - {type: record, path: e.spkl}
stages: {processes: false, checkpoint_every_s: 0.001, checkpoints: saved}
"""


def test_destinations_work_in_a_pipeline_with_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(PIPELINE)
    spikeline.run(tmp_path / "p.yaml")
    table = pq.read_table(tmp_path / "e.parquet").to_pydict()
    assert (table["t"], table["label"]) == ([0, 900, 900, 9000], [1] * 4)
    assert len((tmp_path / "e.csv").read_text().splitlines()) == 5
    (tmp_path / "q.yaml").write_text("source: {type: recorded, path: e.spkl}\nsinks: [{type: csv, path: again.csv}]\n")
    spikeline.run(tmp_path / "q.yaml")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "e.csv").read_bytes()


RECORD = {"type": "record", "path": "d.spkl", "rotate_s": 0.01}
ALL_SINKS = [RECORD, *({"type": kind, "path": name} for kind, name in NAMES.items())]


def test_a_run_killed_and_resumed_leaves_the_rows_of_an_undisturbed_one(tmp_path: Path) -> None:
    items: list[Any] = [
        {"begin_us": 1000 * k, "end_us": 1000 * k + 1000, "t_us": [1000 * k] * 2, "unit": [0, 1], "value": [k / 64, 1 - k / 64]}
        for k in range(40)
    ]
    items[-1]["last"] = True
    items.insert(25, {"pause": {"until": "go"}})
    source = {"type": "memory", "format": {"kind": "decisions", "shape": [2]}, "items": items}
    config = {"source": source, "sinks": ALL_SINKS, "stages": {"checkpoint_every_s": 0.001, "checkpoints": "saved"}}
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, killed):
        folder.mkdir()
        (folder / "p.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "spikeline.cli", "run", "p.yaml", "--inline", "--quiet"]
    with subprocess.Popen(command, cwd=killed) as run:
        while not ((killed / "d.csv").exists() and len((killed / "d.csv").read_text().splitlines()) == 26):
            assert run.poll() is None
            time.sleep(0.01)
        run.kill()
    for folder, more in ((killed, ["--resume", "saved"]), (undisturbed, [])):
        (folder / "go").touch()
        subprocess.run([*command, *more], cwd=folder, check=True, capture_output=True, timeout=120)
    assert len(rows("sqlite", killed / "d.sqlite")) == 40
    for kind, name in NAMES.items():
        assert rows(kind, killed / name) == rows(kind, undisturbed / name)
    assert [packet[7:] for packet in recorded(killed / "d.spkl") if packet[7]] == [
        packet[7:] for packet in recorded(undisturbed / "d.spkl") if packet[7]]
