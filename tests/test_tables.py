"""Tables of events in NumPy, HDF5, Arrow and text files: equal to independent writers, resumable, and safe when damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pytest

import sources.formats.tables as tables
import sources.formats.text as text
from sources.formats.header import Peek, TableOptions, camera_geometry
from sources.inspect import inspect
from sources.recordings import Recording, open_recording
from tests import table_writers as tw
from tests import writers
from tests.real_data import DATA, needs_data
from tests.writers import AddressEvent

TOUCHES: list[AddressEvent] = [(7_000 + 91 * i, i * 3 % 10, i // 2 % 10, i % 2) for i in range(24)]
FEW: list[AddressEvent] = sorted((1_000_007 + 1_777 * i * i % 90_001, i * 5 % 34, i // 4 % 34, i % 2) for i in range(24))

LAYOUTS: dict[str, Callable[[Sequence[AddressEvent]], bytes]] = {
    "npy tonic": lambda events: tw.npy(tw.structured(events, tw.TONIC)),
    "npy faery": lambda events: tw.npy(tw.structured(events, tw.FAERY)),
    "npy openeb": lambda events: tw.npy(tw.structured(events, tw.OPENEB)),
    "npy matrix in s": lambda events: tw.npy(tw.matrix(events, t_scale=1e-6, signs=True)),
    "npy matrix x y p t": lambda events: tw.npy(tw.matrix(events, "xypt").astype(np.int64)),
    "npy matrix by columns": lambda events: tw.npy(np.asfortranarray(tw.matrix(events).astype(np.int32))),
    "npz columns": lambda events: tw.npz(**tw.columns(events)),
    "npz not compressed": lambda events: tw.npz(compressed=False, **tw.columns(events)),
    "npz structured": lambda events: tw.npz(events=tw.structured(events, tw.FAERY)),
    "hdf5 dsec": lambda events: tw.dsec(events, 1_000_000),
    "hdf5 mvsec": tw.mvsec,
    "hdf5 prophesee": tw.prophesee,
    "hdf5 prophesee packed columns": lambda events: tw.prophesee(events, style="packed_columns"),
    "hdf5 prophesee packed": lambda events: tw.prophesee(events, style="packed"),
    "hdf5 compound": lambda events: tw.hdf5(lambda file: file.update({"deep/in/it": tw.structured(events, tw.FAERY)})),
    "hdf5 group": lambda events: tw.hdf5(lambda file: file.create_group("rec").update(
        {"ts": np.array([e[0] for e in events]) / 1e6, **{k + "s": v for k, v in tw.columns(events).items() if k != "t"}})),
    "text rpg": lambda events: tw.text(events, seconds=True),
    "text csv": lambda events: tw.text(events, delimiter=",", head="t,x,y,p\n"),
    "text csv x y p t": lambda events: tw.text(events, "xypt", ","),
    "text csv with names in another order": lambda events: tw.text(events, "pyxt", ";", "pol;y;x;timestamp_us\n"),
    "text with a comment": lambda events: tw.text(events, "xytp", "\t", "# x y t p\n\n"),
    "parquet": lambda events: tw.parquet(pa.table(tw.columns(events))),
    "parquet of units": lambda events: tw.parquet(tw.addressed(events, 34, 34), compression="zstd"),
    "parquet timestamps": lambda events: tw.parquet(pa.table(
        tw.columns(events) | {"t": pa.array([e[0] for e in events], pa.timestamp("us"))})),
    "arrow": lambda events: tw.arrow(pa.table(tw.columns(events))),
    "arrow of units": lambda events: tw.arrow(tw.addressed(events, 34, 34)),
    "arrow nanoseconds, booleans": lambda events: tw.arrow(pa.table(
        {"timestamp": pa.array([e[0] * 1000 for e in events], pa.duration("ns")),
         **{k: v for k, v in tw.columns(events).items() if k in "xy"}, "on": [bool(e[3]) for e in events]})),
    "hdf5 matrix": lambda events: tw.hdf5(lambda file: file.update({"events": tw.matrix(events).astype(np.uint32)})),
}


def decoded(recording: Recording) -> list[AddressEvent]:
    events, (_, height, width) = recording.events(), recording.header.shape
    assert (events.t_us.dtype, events.unit.dtype) == (np.int64, np.uint32)
    unit = events.unit.astype(np.int64)
    found = (events.t_us, unit % width, unit // width % height, unit // width // height)
    return list(zip(*(column.tolist() for column in found), strict=True))


@pytest.fixture
def saved(tmp_path):
    def save(content: bytes, name: str = "recording") -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return save


# --- what is written is read ---


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_table_comes_back_as_it_was_written(name, saved):
    recording = open_recording(saved(LAYOUTS[name](FEW)))
    assert recording.header.format == name.split()[0]
    assert decoded(recording) == FEW


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_table_goes_on_from_the_position_of_any_chunk(name, saved, monkeypatch):
    monkeypatch.setattr(tables, "CHUNK_ROWS", 7)
    monkeypatch.setattr(text, "CHUNK_BYTES", 120)
    recording = open_recording(saved(LAYOUTS[name](FEW)))
    chunks = list(recording.chunks())
    assert decoded(recording) == FEW
    times = [chunk.events.t_us.tolist() for chunk in chunks]
    assert len(times) >= 3
    for number, chunk in enumerate(chunks):
        assert [other.events.t_us.tolist() for other in recording.chunks(chunk.position)] == times[number:]


@pytest.mark.parametrize("style", ["runs", "packed_columns", "packed"])
def test_ecf_blocks_of_all_kinds_hold_long_runs_large_steps_and_crowded_rows(style, saved):
    same = [(50_000_000_000, 10 + i % 30, 3, 1) for i in range(300)]
    crowd = [(50_000_000_001 + i // 40 * 15, i % 40, i // 40, i % 2) for i in range(400)]
    late = [(50_000_000_001 + (1 << 40) + i * 14, 63 - i % 64, 47, 0) for i in range(129)]
    events = same + crowd + late
    assert decoded(open_recording(saved(tw.prophesee(events, chunk=500, style=style)))) == events


def test_times_that_run_backwards_are_an_error_or_left_out_and_counted(saved, monkeypatch):
    monkeypatch.setattr(tables, "CHUNK_ROWS", 4)
    times = [10, 20, 70, 65, 70, 80, 90, 60, 119]
    path = saved(tw.npy(tw.structured([(t, i, 1, 1) for i, t in enumerate(times)], tw.TONIC)))
    with pytest.raises(ValueError, match="event 3 runs backwards in time, from 70 to 65 us"):
        open_recording(path).events()
    assert open_recording(path, on_disorder="drop").events().t_us.tolist() == [10, 20, 70, 70, 80, 90, 119]
    assert inspect(path)["backwards"] == 2


def test_tables_are_the_same_without_compilation(tmp_path):
    paths = []
    for name in ("hdf5 prophesee", "hdf5 prophesee packed columns", "hdf5 prophesee packed", "text rpg", "text csv x y p t"):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(LAYOUTS[name](FEW))
    code = ("import sys, zlib\nfrom sources.recordings import open_recording\nfor path in sys.argv[1:]:\n"
            "    e = open_recording(path).events()\n    print(e.t_us.size, zlib.crc32(e.t_us.tobytes()), e.unit.sum())")

    def run(**variables: str) -> list[str]:
        command = [sys.executable, "-c", code, *map(str, paths)]
        done = subprocess.run(command, env=os.environ | variables, check=True, capture_output=True, text=True)
        return done.stdout.splitlines()

    compiled = run()
    assert [line.split()[0] for line in compiled] == ["24"] * 5
    assert run(NUMBA_DISABLE_JIT="1") == compiled


# --- units of time ---


@pytest.mark.parametrize(("t", "name", "unit", "first_us"), [
    (np.array([1_500, 2_000]), "t", "us", 1_500),
    (np.array([1_500, 2_000]), "t_ms", "ms", 1_500_000),
    (np.array([1_500, 3_500]), "time_ns", "ns", 2),
    (np.array([1_700_000_000_000_001_500, 1_700_000_000_000_002_500]), "timestamp", "ns", 1_700_000_000_000_002),
    (np.array([0.0015, 0.002001]), "t", "s", 1_500),
    (np.array([1.5, 2.001]), "t_ms", "ms", 1_500),
    (np.array([1468939993.067416, 1468939993.067417]), "ts", "s", 1_468_939_993_067_416),
    (np.array([12.0, 13.0]), "t_us", "us", 12),
])
def test_the_unit_of_time_is_told_by_the_name_or_the_numbers(t, name, unit, first_us, saved):
    recording = open_recording(saved(tw.npz(**{name: t}, x=np.array([1, 2]), y=np.array([1, 2]), p=np.array([0, 1]))))
    assert recording.header.details["time_unit"] == unit
    assert recording.events().t_us[0] == first_us


@pytest.mark.parametrize("t", [
    np.array([0.5, 12.25, 13.125]), np.array([10.0, 11.0, 12.0]), np.array([1_700_000_000_000, 1_700_000_000_001]),
])
def test_a_unit_of_time_that_is_not_clear_is_an_error_until_it_is_set(t, saved):
    path = saved(tw.npz(t=t, x=np.zeros(len(t), int), y=np.zeros(len(t), int), p=np.ones(len(t), int)))
    with pytest.raises(ValueError, match="set time_unit"):
        open_recording(path)
    events = open_recording(path, table=TableOptions(time_unit="ms")).events()
    assert events.t_us.tolist() == (t * 1000).astype(np.int64).tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300, -1e300])
def test_a_time_that_is_none_is_an_error_that_names_the_event(bad, saved):
    path = saved(tw.npz(t_s=np.array([0.1, bad]), x=np.zeros(2, int), y=np.zeros(2, int), p=np.ones(2, int)))
    with pytest.raises(ValueError, match="the time of event 1 cannot be"):
        open_recording(path).events()


# --- columns and geometry ---


def test_the_options_say_which_column_is_which(saved):
    table = np.zeros(2, [("a", "i8"), ("b", "u2"), ("c", "u2"), ("d", "u1")])
    table["a"], table["b"], table["c"] = (5, 6), (1, 2), (3, 4)
    path = saved(tw.npy(table))
    with pytest.raises(ValueError, match="fields t, x, y and p are wanted, there are a, b, c, d: set columns"):
        open_recording(path)
    options = TableOptions(columns={"t": "a", "x": 2, "y": "b", "p": "d"})
    assert decoded(open_recording(path, table=options)) == [(5, 3, 1, 0), (6, 4, 2, 0)]
    with pytest.raises(ValueError, match="columns says that t is 'e': there are a, b, c, d"):
        open_recording(path, table=TableOptions(columns={"t": "e"}))
    with pytest.raises(ValueError, match="columns says that t is column 4: there are columns 0 to 3"):
        open_recording(path, table=TableOptions(columns={"t": 4}))


def test_the_geometry_is_that_of_the_smallest_sensor_that_holds_the_first_events(saved):
    for x, y, shape in ((3, 33, (34, 34)), (200, 100, (240, 180)), (1279, 5, (1280, 720)), (1500, 800, (1501, 801))):
        recording = open_recording(saved(tw.npy(tw.structured([(1, x, y, 1)], tw.TONIC))))
        assert (recording.header.shape, recording.header.geometry_from) == ((2, shape[1], shape[0]), "the first events")


def test_a_later_event_outside_of_that_geometry_is_an_error_that_says_what_to_do(saved, monkeypatch):
    monkeypatch.setattr("sources.formats.npy.LOOKED_AT", 1)
    path = saved(tw.npy(tw.structured([(1, 3, 3, 1), (2, 34, 0, 0)], tw.TONIC)))
    with pytest.raises(ValueError, match="event 1 lies at x=34, y=0, outside of 34x34: set width and height"):
        open_recording(path).events()
    assert decoded(open_recording(path, 40, 40)) == [(1, 3, 3, 1), (2, 34, 0, 0)]


@pytest.mark.parametrize(("field", "value", "wanted"), [
    ("p", 2, "the polarity of event 0 must be 0 or 1, or -1 or 1, got 2"), ("x", -1, "event 0 lies at x=-1"),
    ("x", 70_000, "geometry of 65536x34 is not possible|event 0 lies at"),
])
def test_an_impossible_event_is_an_error(field, value, wanted, saved):
    table = tw.structured([(1, 2, 3, 1)], tw.TONIC)
    table[field] = value
    with pytest.raises(ValueError, match=wanted):
        open_recording(saved(tw.npy(table))).events()


def test_a_geometry_of_more_pixels_than_can_be_addressed_is_one_clear_line(saved):
    path = saved(b"")
    with pytest.raises(ValueError, match=f"{path}: a geometry of 65536x65297 has more pixels than can be addressed"):
        camera_geometry(Peek(path, 1, b""), (65536, 65297), (1, 1), 1 << 16)


@pytest.mark.filterwarnings("error")
def test_a_signalling_nan_is_an_error_and_no_warning(saved):
    matrix = tw.matrix(FEW)
    matrix[3, 1] = np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf4\x7f", "<f8")[0]
    content = tw.npy(matrix).replace(np.float64(matrix[3, 1]).tobytes(), b"\x01\x00\x00\x00\x00\x00\xf4\x7f")
    with pytest.raises(ValueError, match="must be a whole number, got nan"):
        open_recording(saved(content), table=TableOptions(time_unit="us")).events()


def test_an_address_with_a_fraction_is_an_error(saved):
    path = saved(tw.npz(t=np.array([1]), x=np.array([0.5]), y=np.array([0.0]), p=np.array([1])))
    with pytest.raises(ValueError, match=r"x of event 0 must be a whole number, got 0\.5"):
        open_recording(path).events()


def test_hdf5_with_several_tables_asks_which_one(saved):
    def fill(file: h5py.File) -> None:
        file["a"], file["b"] = tw.structured(FEW[:3], tw.FAERY), tw.structured(FEW, tw.FAERY)

    path = saved(tw.hdf5(fill))
    with pytest.raises(ValueError, match="several tables, a, b: set table"):
        open_recording(path)
    assert decoded(open_recording(path, table=TableOptions(table="b"))) == FEW


def test_the_right_camera_of_mvsec_is_had_by_its_path(saved):
    path = saved(tw.mvsec(FEW))
    recording = open_recording(path, table=TableOptions(table="davis/right/events"))
    assert (decoded(recording), recording.header.shape) == (FEW[:1], (2, 260, 346))


def test_hdf5_tells_its_geometry_by_attributes_and_scalars(saved):
    def fill(file: h5py.File) -> None:
        file.create_group("events").update({**tw.columns(FEW), "width": 55, "height": 44})

    assert open_recording(saved(tw.hdf5(fill))).header.shape == (2, 44, 55)
    assert open_recording(saved(tw.prophesee(FEW))).header.shape == (2, 48, 64)
    assert open_recording(saved(tw.dsec(FEW))).header.shape == (2, 480, 640)


def test_spikes_of_shd_are_sent_to_their_source(saved):
    content = tw.hdf5(lambda file: file.update({"spikes/times": np.zeros(1), "spikes/units": np.zeros(1)}))
    with pytest.raises(ValueError, match="read them with source shd"):
        open_recording(saved(content))


@pytest.mark.parametrize(("content", "wanted"), [
    (tw.npz(a=np.zeros(3), b=np.zeros(3)), "arrays t, x, y and p are wanted, there are a, b"),
    (tw.npz(t=np.zeros(3), x=np.zeros(2), y=np.zeros(3), p=np.zeros(3)), "must be numbers of one length"),
    (tw.npy(np.zeros(5)), "is no table of events"),
    (tw.npy(np.zeros((5, 7))), "not clear which hold"),
    (tw.hdf5(lambda file: file.update({"a": np.zeros(4)})), "no table with columns"),
])
def test_a_file_without_a_table_of_events_is_one_clear_line(content, wanted, saved):
    with pytest.raises(ValueError, match=wanted) as error:
        open_recording(saved(content))
    assert "\n" not in str(error.value)


def test_a_pickled_object_is_never_loaded(saved):
    with pytest.raises(ValueError, match="holds no events"):
        open_recording(saved(tw.npy(np.array([print], object))))


# --- damage ---


def leniently_opened(path: Path) -> Recording | None:
    """The recording, or None where opening or decoding it is refused by one clear line."""
    try:
        recording = open_recording(path, on_disorder="drop", on_truncated="keep")
        recording.events()
    except ValueError as error:
        if not str(error).startswith(f"{path}: ") or "\n" in str(error):
            raise AssertionError(f"not one clear line: {error}") from error
        return None
    return recording


def spread(n: int, most: int) -> list[int]:
    """All of range(n), or `most` of them drawn with a seed."""
    return list(range(n)) if n <= most else sorted(np.random.default_rng(n).choice(n, most, replace=False).tolist())


@pytest.mark.parametrize("name", LAYOUTS)
def test_truncations_give_a_clear_error_or_fewer_whole_events(name, saved):
    content = LAYOUTS[name](FEW)
    path = saved(content)
    for length in reversed(spread(len(content), 400)):
        os.truncate(path, length)
        recording = leniently_opened(path)
        if recording is not None:
            rest = decoded(recording)
            assert rest == FEW[: len(rest)], length


@pytest.mark.parametrize("name", LAYOUTS)
def test_flipped_bits_give_a_clear_error_or_events_inside_the_geometry(name, saved):
    content = LAYOUTS[name](FEW)
    path = saved(content)
    with path.open("r+b", buffering=0) as file:
        for at, bits in product(spread(len(content), 30 if name.startswith("hdf5") else 100), (0x01, 0x80, 0xFF)):
            os.pwrite(file.fileno(), bytes([content[at] ^ bits]), at)
            recording = leniently_opened(path)
            if recording is not None:
                events = recording.events()
                assert not events.unit.size or events.unit.max() < recording.format.size, (at, bits)
                assert (np.diff(events.t_us) >= 0).all(), (at, bits)
            os.pwrite(file.fileno(), content[at : at + 1], at)


# --- real files ---


@needs_data("recordings")
def test_the_columns_of_a_real_npz_are_the_events_of_their_raw_file():
    table = open_recording(DATA / "recordings/evt3_sample.reference.npz", 1280, 720).events()
    raw = open_recording(DATA / "recordings/evt3_sample.raw").events()
    assert table.t_us.size == 219_596
    assert np.array_equal(table.t_us, raw.t_us)
    assert np.array_equal(table.unit, raw.unit)


# --- records of five bytes ---


def test_records_of_a_larger_sensor_than_nmnists_are_told_by_their_structure(saved):
    events = [(90 * i, i * 5 % 233, i * 7 % 174, i % 2) for i in range(200)]
    recording = open_recording(saved(writers.nmnist(events)))
    assert (recording.header.shape, recording.header.geometry_from) == ((2, 180, 240), "the first events")
    assert decoded(recording) == events
    with pytest.raises(ValueError, match="not a recording of a known format"):
        open_recording(saved(writers.nmnist(events)[:-1]))
    with pytest.raises(ValueError, match="not a recording of a known format"):
        open_recording(saved(writers.nmnist(events[::-1])))


# --- ST-MNIST ---


@pytest.mark.parametrize("packed", [True, False])
def test_touches_of_st_mnist_come_back_and_every_truncation_is_an_error(packed, saved):
    content = tw.st_mnist(TOUCHES, packed)
    recording = open_recording(saved(content))
    assert (recording.header.format, recording.header.shape, decoded(recording)) == ("st_mnist", (2, 10, 10), TOUCHES)
    path = saved(content)
    for length in reversed(spread(len(content), 300)):
        os.truncate(path, length)
        assert leniently_opened(path) is None, length


def test_flipped_bits_of_st_mnist_give_a_clear_error_or_events_inside(saved):
    for packed in (True, False):
        content = tw.st_mnist(TOUCHES, packed)
        for at, bits in product(spread(len(content), 200), (0x01, 0x80, 0xFF)):
            recording = leniently_opened(saved(content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :]))
            assert recording is None or recording.events().unit.max(initial=0) < 200, (at, bits)


@needs_data("recordings")
def test_the_real_st_mnist_sample_is_read_as_scipy_reads_it():
    io = pytest.importorskip("scipy.io")
    path = DATA / "recordings/stmnist.mat"
    matrix = io.loadmat(path)["spiketrain"]
    events = decoded(open_recording(path))
    column, taxel = np.nonzero(matrix[:-1].T)
    assert len(events) == np.count_nonzero(matrix[:-1])
    assert [event[0] for event in events] == np.rint(matrix[-1, column] * 1e6).astype(int).tolist()
    assert [10 * y + x for _, x, y, _ in events] == taxel.tolist()


# --- tables of units ---


def test_a_table_of_units_tells_its_shape_or_takes_it_from_the_options(saved):
    table = pa.table({"t_us": [5, 7], "unit": [3, 600]})
    assert open_recording(saved(tw.parquet(table))).header.shape == (601,)
    assert open_recording(saved(tw.parquet(table)), table=TableOptions(channels=700)).header.shape == (700,)
    assert open_recording(saved(tw.npz(t=np.array([5]), unit=np.array([3]), channels=np.array(700)))).header.shape == (700,)
    told = table.replace_schema_metadata({"spikeline": '{"shape": [5, 200]}'})
    assert open_recording(saved(tw.arrow(told))).events().unit.tolist() == [3, 600]
    with pytest.raises(ValueError, match="unit 600 of event 1 lies outside of 20 units"):
        open_recording(saved(tw.arrow(table.replace_schema_metadata({"spikeline": '{"shape": [20]}'})))).events()


def test_a_table_with_values_is_a_graded_recording(saved):
    table = pa.table({"t_us": [5, 7], "unit": [3, 4], "value": pa.array([0.5, -2.0], pa.float32())})
    recording = open_recording(saved(tw.parquet(table)))
    value = recording.events().value
    assert recording.header.kind == "graded"
    assert value is not None
    assert value.tolist() == [0.5, -2.0]


@pytest.mark.parametrize(("table", "wanted"), [
    (pa.table({"a": [1]}), r"columns t, x, y and p \(or t and unit\) are wanted, there are a"),
    (pa.table({"t_us": [1, None], "unit": [1, 2]}), "column t_us has an empty cell"),
    (pa.table({"t_us": ["one"], "unit": [1]}), "column t_us must hold numbers, not string"),
    (pa.table({"t_us": [1], "unit": [1]}).replace_schema_metadata({"spikeline": "{}"}), "must be JSON with a shape"),
])
def test_an_unfit_parquet_file_is_one_clear_line(table, wanted, saved):
    with pytest.raises(ValueError, match=wanted):
        open_recording(saved(tw.parquet(table)))
