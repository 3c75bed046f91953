"""convert: every pair of formats that can carry the events carries them exactly, and what cannot be carried is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.packet import Format
from sources.cut import Events
from sources.encoders import ENCODERS
from sources.encoders.writer import Encoder, Target
from sources.formats.header import TableOptions
from sources.recordings import open_recording
from spikeline.commands.convert import warnings
from spikeline.convert import convert
from tests import writers
from tests.real_data import DATA, needs_data
from tests.writers import AddressEvent

WIDTH, HEIGHT = 64, 48
EVENTS: list[AddressEvent] = [
    (5, 3, 2, 1), (5, 3, 2, 0), (5, 63, 47, 1), (4_095, 0, 0, 1), (4_096, 7, 40, 0),
    *[(9_000, x, 11, 1) for x in range(20, 60, 2)], (9_000, 1, 11, 1), (9_001, 62, 5, 0), (2_000_000, 0, 47, 1),
]  # fmt: skip
RAW: dict[str, Any] = {"evt3": writers.evt3, "evt2": writers.evt2, "dat": writers.dat}


def recording(folder: Path, events: list[AddressEvent] = EVENTS, kind: str = "evt2") -> Path:
    path = folder / f"{kind}.in"
    path.write_bytes(RAW[kind](events))
    return path


def rows_of(path: Path, **options: Any) -> list[AddressEvent]:
    """The events of a file, as the decoders of this project read them."""
    opened = open_recording(path, **options)
    _, height, width = opened.header.shape
    events = opened.events()
    p, y, x = np.unravel_index(events.unit, (2, height, width))
    return list(zip(events.t_us.tolist(), x.tolist(), y.tolist(), p.tolist(), strict=True))


def rows(*columns: Any) -> list[AddressEvent]:
    return list(zip(*(np.asarray(column).tolist() for column in columns), strict=True))


@pytest.mark.parametrize("source", RAW)
@pytest.mark.parametrize("target", RAW)
def test_raw_and_dat_carry_each_others_events_exactly(source: str, target: str, tmp_path: Path) -> None:
    convert(recording(tmp_path, kind=source), tmp_path / "out", format=target)
    assert rows_of(tmp_path / "out") == EVENTS
    assert open_recording(tmp_path / "out").header.shape == (2, HEIGHT, WIDTH)


@pytest.mark.parametrize("encoder", [row for row in ENCODERS if row.camera is not False], ids=lambda row: row.name)
def test_what_is_written_is_read_back_by_dvs_file(encoder, tmp_path: Path) -> None:
    convert(recording(tmp_path), tmp_path / f"out{encoder.suffix}", format=encoder.name)
    header = open_recording(tmp_path / f"out{encoder.suffix}", WIDTH, HEIGHT).header
    assert header.shape == (2, HEIGHT, WIDTH)
    assert rows_of(tmp_path / f"out{encoder.suffix}", width=WIDTH, height=HEIGHT) == EVENTS


def test_a_suffix_means_a_format(tmp_path: Path) -> None:
    source = recording(tmp_path)
    suffixes = dict.fromkeys(row.suffix for row in ENCODERS)
    named = {suffix: convert(source, tmp_path / f"a{suffix}")["format"] for suffix in suffixes}
    assert named == {".raw": "evt3", ".dat": "dat", ".aedat4": "aedat4", ".es": "es", ".csv": "csv", ".txt": "txt", ".npz": "npz",
                     ".h5": "dsec", ".arrow": "arrow", ".parquet": "parquet"}  # fmt: skip


# --- each format, as plain readers see it ---


def test_csv_has_a_header_and_whole_microseconds(tmp_path: Path) -> None:
    convert(recording(tmp_path), tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "t,x,y,p"
    assert [tuple(map(int, line.split(","))) for line in lines[1:]] == EVENTS


def test_text_has_seconds_with_six_decimals(tmp_path: Path) -> None:
    convert(recording(tmp_path), tmp_path / "a.txt")
    lines = (tmp_path / "a.txt").read_text().splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("0.000005 3 2 1", "2.000000 0 47 1", len(EVENTS))


def test_text_tells_zero_and_unix_times_plainly(tmp_path: Path) -> None:
    convert(npz_recording(tmp_path, [(0, 1, 1, 1), (1, 1, 1, 1), (UNIX, 1, 1, 1)]), tmp_path / "a.txt")
    times = [line.split()[0] for line in (tmp_path / "a.txt").read_text().splitlines()]
    assert times == ["0.000000", "0.000001", "1589163005.536052"]


def test_npz_has_the_columns_and_the_geometry(tmp_path: Path) -> None:
    convert(recording(tmp_path), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        assert rows(file["t"], file["x"], file["y"], file["p"]) == EVENTS
        assert (int(file["width"]), int(file["height"]), file["t"].dtype) == (WIDTH, HEIGHT, np.int64)


def test_h5_has_the_layout_of_dsec(tmp_path: Path) -> None:
    convert(recording(tmp_path), tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        group, t0_us, index = file["events"], int(file["t_offset"][()]), file["ms_to_idx"][:]
        t_us = group["t"][:].astype(np.int64)
        assert rows(t_us + t0_us, group["x"], group["y"], group["p"]) == EVENTS
        assert index.tolist() == [int((t_us < 1000 * ms).sum()) for ms in range(t_us[-1] // 1000 + 1)]


@pytest.mark.parametrize(
    ("name", "read"), [("a.parquet", pq.read_table), ("a.arrow", lambda path: pa.ipc.open_file(path).read_all())]
)
def test_tables_have_the_columns_and_the_shape(name: str, read, tmp_path: Path) -> None:
    convert(recording(tmp_path), tmp_path / name)
    table = read(str(tmp_path / name))
    assert rows(*(table[column].to_numpy() for column in "txyp")) == EVENTS
    assert json.loads(table.schema.metadata[b"spikeline"])["shape"] == [2, HEIGHT, WIDTH]


def test_parquet_is_delta_packed_and_byte_stream_split(tmp_path: Path) -> None:
    convert(recording(tmp_path), tmp_path / "a.parquet")
    group = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0)
    packed = {group.column(i).path_in_schema: group.column(i).encodings for i in range(4)}
    assert "DELTA_BINARY_PACKED" in packed["t"]
    assert "BYTE_STREAM_SPLIT" in packed["x"]


def test_es_tells_each_event_in_five_bytes_and_silence_in_one_for_127_us(tmp_path: Path) -> None:
    convert(recording(tmp_path, [(300, 7, 0x101 % HEIGHT, 1)]), tmp_path / "a.es")
    content = (tmp_path / "a.es").read_bytes()
    assert content[:20] == b"Event Stream" + bytes([2, 0, 0, 1, WIDTH, 0, HEIGHT, 0])
    assert content[20:] == bytes([0xFF, 0xFF, (300 - 254) << 1 | 1, 7, 0, 0x101 % HEIGHT, 0])


def test_shd_layout_tells_every_microsecond(tmp_path: Path) -> None:
    encoder = next(row for row in ENCODERS if row.name == "shd")
    encoder.check(Format("spikes", (700,)))
    writer = encoder.make(Target(tmp_path / "a.h5", (700,)))
    t_us = np.array([0, 1, 999_999, 123_456_789], np.int64)
    writer.write(Events(t_us[:2], np.array([5, 699], np.uint32)))
    writer.write(Events(t_us[2:], np.array([0, 3], np.uint32)))
    writer.close()
    with h5py.File(tmp_path / "a.h5") as file:
        assert np.rint(file["spikes/times"][0] * 1e6).astype(np.int64).tolist() == t_us.tolist()
        assert (file["spikes/units"][0].tolist(), file["labels"][:].tolist()) == ([5, 699, 0, 3], [-1])


@pytest.mark.parametrize("target", ["csv", "npz", "arrow", "parquet"])
def test_channels_survive_in_tables(target: str, tmp_path: Path) -> None:
    t_us, unit = np.array([0, 1, 999_999]), np.array([5, 699, 0])
    np.savez(tmp_path / "in.npz", t=t_us, unit=unit, channels=700)
    convert(tmp_path / "in.npz", tmp_path / f"out.{target}")
    opened = open_recording(tmp_path / f"out.{target}", table=TableOptions(channels=700 if target == "csv" else None))
    assert opened.header.shape == (700,)
    assert (opened.events().t_us.tolist(), opened.events().unit.tolist()) == (t_us.tolist(), unit.tolist())


# --- EVT3's vectors ---


def test_vectors_come_as_base_12_12_and_8_within_the_sensor(tmp_path: Path) -> None:
    row = [(100, x, 9, 1) for x in range(WIDTH)]
    convert(recording(tmp_path, row), tmp_path / "a.raw")
    content = (tmp_path / "a.raw").read_bytes()
    words = np.frombuffer(content, "<u2", offset=content.index(b"% end\n") + 6)
    assert (words >> 12).tolist() == [8, 6, 0, *[3, 4, 4, 5] * 2]
    bases = words[words >> 12 == 3] & 0x7FF
    assert bases.max() + 32 <= WIDTH
    assert rows_of(tmp_path / "a.raw") == row


def test_a_long_silence_is_no_wrap_of_the_counter(tmp_path: Path) -> None:
    events = [(5, 1, 1, 1), (3_000_000_000, 2, 2, 0), (3_000_000_001, 2, 2, 0)]
    convert(recording(tmp_path, events), tmp_path / "a.raw")
    assert rows_of(tmp_path / "a.raw") == events


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 0, 0, 1, 40, 5_000, 9_000_000]), st.integers(0, WIDTH - 1), st.sampled_from([0, 0, 7]),
                  st.integers(0, 1)), min_size=1, max_size=80),
    st.integers(1, 40),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_encoders_give_back_any_events_in_any_pieces(tmp_path_factory, steps, piece) -> None:
    delta_us, x, y, p = (np.array(column, np.int64) for column in zip(*steps, strict=True))
    events = Events(np.cumsum(delta_us), ((p * HEIGHT + y) * WIDTH + x).astype(np.uint32))
    folder = tmp_path_factory.mktemp("pieces")
    for encoder in [row for row in ENCODERS if row.name in RAW]:
        writer = encoder.make(Target(folder / encoder.name, (2, HEIGHT, WIDTH)))
        for first in range(0, len(steps), piece):
            writer.write(Events(events.t_us[first : first + piece], events.unit[first : first + piece]))
        writer.close()
        back = open_recording(folder / encoder.name).events()
        assert back.t_us.tolist() == events.t_us.tolist()
        assert back.unit.tolist() == events.unit.tolist()


# --- times that do not fit ---

UNIX = 1_589_163_005_536_052


def at_unix_time() -> list[AddressEvent]:
    return [(UNIX + t - EVENTS[0][0], x, y, p) for t, x, y, p in EVENTS]


def npz_recording(folder: Path, events: list[AddressEvent]) -> Path:
    t, x, y, p = (np.array(column, np.int64) for column in zip(*events, strict=True))
    np.savez(folder / "in.npz", t=t, x=x, y=y, p=p, width=WIDTH, height=HEIGHT)
    return folder / "in.npz"


@pytest.mark.parametrize("target", ["evt3", "evt2", "dat"])
def test_unix_times_are_counted_from_the_first_event_and_kept_in_the_header(target: str, tmp_path: Path) -> None:
    figures = convert(npz_recording(tmp_path, at_unix_time()), tmp_path / "out", format=target)
    assert figures["t0_us"] == UNIX
    assert rows_of(tmp_path / "out") == [(t - EVENTS[0][0], x, y, p) for t, x, y, p in EVENTS]
    assert open_recording(tmp_path / "out").header.details["t0_us"] == str(UNIX)
    assert "times are counted from the first event; the header keeps t0" in warnings(Path("a"), figures)[0]


def test_dat_counts_from_the_first_event_when_only_the_last_is_too_late(tmp_path: Path) -> None:
    events = [((1 << 32) - 10, 1, 1, 1), ((1 << 32) + 10, 2, 2, 0)]
    figures = convert(npz_recording(tmp_path, events), tmp_path / "a.dat")
    assert (figures["t0_us"], rows_of(tmp_path / "a.dat")) == ((1 << 32) - 10, [(0, 1, 1, 1), (20, 2, 2, 0)])


def test_dat_refuses_a_recording_that_lasts_too_long_and_leaves_nothing(tmp_path: Path) -> None:
    source = npz_recording(tmp_path, [(0, 1, 1, 1), (1 << 32, 2, 2, 0)])
    with pytest.raises(ValueError, match="holds times below"):
        convert(source, tmp_path / "a.dat")
    assert [path.name for path in tmp_path.iterdir()] == ["in.npz"]


def test_parquet_keeps_unix_times(tmp_path: Path) -> None:
    figures = convert(npz_recording(tmp_path, at_unix_time()), tmp_path / "a.parquet")
    assert (figures["t0_us"], pq.read_table(tmp_path / "a.parquet")["t"][0].as_py()) == (0, UNIX)


# --- files, intervals, words ---


def test_an_interval_is_counted_from_the_first_event(tmp_path: Path) -> None:
    convert(recording(tmp_path), tmp_path / "a.dat", from_s=0.004, to_s=0.0091)
    assert rows_of(tmp_path / "a.dat") == [event for event in EVENTS if 4_005 <= event[0] < 9_105]


def test_events_out_of_order_may_be_sorted_or_dropped(tmp_path: Path) -> None:
    from spikeline.cli import main

    source = recording(tmp_path, [(1_000, 1, 1, 1), (500, 2, 2, 0), (5_000, 3, 3, 1)])
    for options, wanted in ((["--sort-within-ms", "1"], [500, 1_000, 5_000]), (["--on-disorder", "drop"], [1_000, 5_000])):
        with pytest.raises(SystemExit) as stop:
            main(["convert", str(source), str(tmp_path / "a.dat"), "--force", *options])
        assert (stop.value.code, [row[0] for row in rows_of(tmp_path / "a.dat")]) == (0, wanted)


def test_an_existing_file_is_replaced_only_when_asked_to(tmp_path: Path) -> None:
    source = recording(tmp_path)
    (tmp_path / "a.dat").write_bytes(b"precious")
    with pytest.raises(ValueError, match="exists already: choose another file, or replace it with --force"):
        convert(source, tmp_path / "a.dat")
    assert (tmp_path / "a.dat").read_bytes() == b"precious"
    convert(source, tmp_path / "a.dat", force=True)
    assert rows_of(tmp_path / "a.dat") == EVENTS


def test_a_recording_is_never_written_over_itself(tmp_path: Path) -> None:
    source = recording(tmp_path)
    with pytest.raises(ValueError, match="is the recording itself"):
        convert(source, source, format="dat", force=True)
    assert rows_of(source) == EVENTS


def test_a_recording_that_fails_midway_leaves_the_old_file(tmp_path: Path) -> None:
    source = recording(tmp_path, [*EVENTS, (1, 1, 1, 1)])
    (tmp_path / "a.dat").write_bytes(b"old")
    with pytest.raises(ValueError, match="runs backwards"):
        convert(source, tmp_path / "a.dat", force=True)
    assert (tmp_path / "a.dat").read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"a.dat", "evt2.in"}


def test_an_unknown_suffix_or_format_names_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"its suffix names no format that can be written \(\.raw, \.dat"):
        convert(recording(tmp_path), tmp_path / "a.xyz")
    with pytest.raises(ValueError, match="--format x: not a format that can be written: evt3, evt2"):
        convert(recording(tmp_path), tmp_path / "a.raw", format="x")


def test_channels_are_no_camera(tmp_path: Path) -> None:
    for encoder in ENCODERS:
        shape = (2, 8, 8) if encoder.camera is False else (700,)
        if encoder.camera is None:
            encoder.check(Format("spikes", shape))
        else:
            with pytest.raises(ValueError, match="holds events of"):
                encoder.check(Format("spikes", shape))


def test_a_sensor_too_large_for_the_addresses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="evt3 reaches 2048x2048 pixels, got 3000x4"):
        next(row for row in ENCODERS if row.name == "evt3").check(Format("spikes", (2, 4, 3000)))


def test_triggers_left_out_are_counted_in_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(writers.evt3(EVENTS) + writers.evt3_words(0xA001, 0xA000))
    figures = convert(path, tmp_path / "a.dat")
    assert warnings(path, figures) == [f"{path}: left out, since only events are converted: 2 triggers"]


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys) -> None:
    from spikeline.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["convert", str(recording(tmp_path)), str(tmp_path / "a.csv")])
    assert (stop.value.code, capsys.readouterr().out) == (
        0, f"{tmp_path / 'a.csv'}: {len(EVENTS)} events as csv, {(tmp_path / 'a.csv').stat().st_size} bytes\n")


REAL = ["evt3_sample.raw", "davis346.aedat4", "davis240c_rotdisk.aedat", "dvs.es", "slider_depth.txt", "ncars.dat"]


@needs_data(*(f"recordings/{name}" for name in REAL))
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("encoder", [row for row in ENCODERS if row.camera is not False], ids=lambda row: row.name)
def test_a_real_recording_survives_conversion(name: str, encoder: Encoder, tmp_path: Path) -> None:
    source, target = DATA / "recordings" / name, tmp_path / f"out{encoder.suffix}"
    figures = convert(source, target, format=encoder.name)
    opened = open_recording(source)
    _, height, width = opened.header.shape
    before, after = opened.events(), open_recording(target, width, height).events()
    assert np.array_equal(before.t_us, after.t_us + figures["t0_us"])
    assert np.array_equal(before.unit, after.unit)


@needs_data("recordings/davis346.aedat4")
def test_frames_imu_and_triggers_of_a_real_recording_are_counted(tmp_path: Path) -> None:
    figures = convert(DATA / "recordings" / "davis346.aedat4", tmp_path / "a.raw")
    assert (figures["events"], figures["left_out"]["frames"], figures["left_out"]["imu_packets"]) == (78_830, 59, 236)
    assert figures["t0_us"] == figures["first_t_us"] == 1_589_163_147_368_868
