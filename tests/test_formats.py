"""Decoding recordings: equal to independent writers and to real files, resumable at any chunk, and safe on damaged files."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sources.formats.words as words_module
from sources.cut import joined
from sources.inspect import inspect
from sources.recordings import Recording, open_recording
from tests import writers
from tests.real_data import DATA, needs_data

WRITERS: dict[str, tuple[Callable[..., bytes], int, int]] = {
    "nmnist": (writers.nmnist, 34, 34),
    "evt2": (writers.evt2, 64, 48),
    "evt3": (writers.evt3, 64, 48),
    "dat": (writers.dat, 64, 48),
    "dat_v1": (writers.dat_v1, 304, 240),
}
FEW = [(0, 3, 4, 1), (5, 0, 0, 0), (5, 3, 0, 0), (70, 33, 33, 1), (4095, 2, 2, 1), (4096, 2, 2, 0), (66000, 7, 9, 1)]


def decoded(recording: Recording) -> list[writers.AddressEvent]:
    events, (_, height, width) = recording.events(), recording.header.shape
    assert events.t_us.dtype == np.int64
    assert events.unit.dtype == np.uint32
    unit = events.unit.astype(np.int64)
    return list(zip(*(column.tolist() for column in (events.t_us, unit % width, unit // width % height, unit // width // height)),
                    strict=True))


@pytest.fixture
def saved(tmp_path):
    def save(content: bytes, name: str = "recording") -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return save


def unrecognised(name: str, saved, events: list[writers.AddressEvent]) -> Recording:
    """A recording whose header is another's: N-MNIST's files, known by their structure, must begin in order."""
    write = WRITERS[name][0]
    header = open_recording(saved(write(FEW), "few")).header
    path = saved(write(events), "events")
    return Recording(replace(header, path=path, size=path.stat().st_size))


# --- what is written is read ---


def random_events(width: int, height: int):
    event = st.tuples(st.integers(0, 200_000), st.integers(0, width - 1), st.integers(0, height - 1), st.integers(0, 1))
    return st.lists(event, min_size=1, max_size=60).map(lambda events: sorted(events, key=lambda event: event[0]))


@pytest.mark.parametrize("name", WRITERS)
def test_events_come_back_as_they_were_written(name, tmp_path_factory):
    write, width, height = WRITERS[name]
    path = tmp_path_factory.mktemp("written") / "recording"

    @settings(max_examples=60, deadline=None)
    @given(random_events(width, height).filter(lambda events: any(any(event) for event in events)))
    def check(events):
        path.write_bytes(write(events))
        recording = open_recording(path)
        assert recording.header.format == name.removesuffix("_v1")
        assert recording.header.shape == (2, height, width)
        assert decoded(recording) == events

    check()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 63), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60))
def test_evt3_vectors_give_the_same_events_as_single_words(tmp_path_factory, crowded):
    events = sorted(crowded)
    path = tmp_path_factory.getbasetemp() / "vectors.raw"
    for vectors in (True, False):
        path.write_bytes(writers.evt3(events, vectors=vectors))
        assert decoded(open_recording(path)) == events


@pytest.mark.parametrize(("name", "period_us"), [("evt3", 1 << 24), ("evt2", 1 << 34), ("dat", 1 << 32), ("nmnist", 1 << 23)])
def test_the_time_counter_goes_on_where_it_wraps(name, period_us, saved):
    events = [(at, 1, 2, 1) for at in (period_us - 70, period_us - 1, period_us, period_us + 5, 2 * period_us - 1, 2 * period_us)]
    assert decoded(unrecognised(name, saved, events)) == events


def test_evt3_events_before_the_time_and_the_row_are_known_are_left_out_and_counted(saved):
    unaddressed = writers.evt3_words(0x2005, 0x8001, 0x2005, 0x6002, 0x2005, 0x4003)
    path = saved(writers.EVT3_HEADER + unaddressed + writers.evt3_words(0x0007, 0x2805))
    assert decoded(open_recording(path)) == [(4098, 5, 7, 1)]
    assert inspect(path)["incomplete"] == 5


def test_evt2_events_before_the_time_is_known_are_left_out_and_counted(saved):
    early = np.array([1 << 28 | 5 << 11 | 6], "<u4").tobytes()
    path = saved(writers.EVT2_HEADER + early + writers.evt2([(64, 1, 2, 0)], b""))
    assert decoded(open_recording(path)) == [(64, 1, 2, 0)]
    assert inspect(path)["incomplete"] == 1


def test_triggers_and_unknown_words_are_skipped_and_counted(saved):
    evt3 = saved(writers.evt3(FEW) + writers.evt3_words(0xA101, 0xA100, 0xE001, 0xF002, 0x7003, 0x1000, 0xB000), "evt3")
    evt2 = saved(writers.evt2(FEW) + np.array([0xA0000101, 0xE0000000, 0xF0000000, 0x50000000], "<u4").tobytes(), "evt2")
    for path, triggers, unknown in ((evt3, 2, 2), (evt2, 1, 1)):
        assert decoded(open_recording(path)) == FEW
        assert (inspect(path)["triggers"], inspect(path)["unknown_words"]) == (triggers, unknown)


# --- headers ---


@pytest.mark.parametrize(("header", "shape"), [
    (b"% evt 3.0\n", (2, 720, 1280)),
    (b"% evt 3.0\n% geometry 320x200\n", (2, 200, 320)),
    (b"% format EVT3;height=200;width=320\n", (2, 200, 320)),
    (b"% format EVT3;height=200;width=320\r\n% end\r\n", (2, 200, 320)),
    (b"% Evt 3.0\n% note a percent line\n%\n% geometry 320x200\n", (2, 200, 320)),
])
def test_raw_headers_tell_the_geometry(header, shape, saved):
    recording = open_recording(saved(writers.evt3(FEW, header)))
    assert recording.header.shape == shape
    assert decoded(recording) == FEW


def test_after_the_end_line_a_percent_sign_is_data(saved):
    events = [(0x25, 5, 6, 1)]
    content = writers.EVT3_HEADER + b"% \n" + b"\n" + writers.evt3(events, b"")
    assert decoded(open_recording(saved(content))) == events


@pytest.mark.parametrize(("content", "wanted"), [
    (b"% evt 4.0\n", "encoded as EVT4"),
    (b"% format HISTO3D;height=720;width=1280\n", "encoded as HISTO3D"),
    (b"% evt 3.0\n% geometry 1280\n", "must be WIDTHxHEIGHT"),
    (b"% evt 3.0\n% geometry 0x720\n", "geometry of 0x720 is not possible"),
    (b"% evt 3.0\n% geometry 9999x720\n", "geometry of 9999x720 is not possible"),
    (b"% evt 3.0\n% endianness big\n", "big-endian"),
    (b"% evt 3.0\n% geometry 12", "cut off in its header"),
    (b"% Version 2\n% Width 1O\n% Height 5\n\x0c\x08", "Width must be a whole number"),
    (b"% Version 2\n\x0e\x08", "records are of type 14"),
    (b"% Version two\n\x0c\x08", "Version must be a whole number"),
    (b"% some text\nof something else\n", "not a recording of a known format"),
    (b"\x00" * 50, "not a recording of a known format"),
    (b"hello, world", "not a recording of a known format"),
    (b"", "the file is empty"),
])
def test_a_file_that_cannot_be_read_is_one_clear_line(content, wanted, saved):
    path = saved(content)
    with pytest.raises(ValueError, match=wanted) as error:
        open_recording(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_one_clear_line(tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'none.raw'}: no such file")):
        open_recording(tmp_path / "none.raw")
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}: is a directory")):
        open_recording(tmp_path)


def test_the_options_tell_the_geometry_of_a_file_that_does_not(saved):
    path = saved(writers.nmnist([(0, 39, 1, 1), (1, 2, 49, 0)]))
    with pytest.raises(ValueError, match="not a recording of a known format"):
        open_recording(path)
    recording = open_recording(path, 40, 50)
    assert recording.header.shape == (2, 50, 40)
    assert decoded(recording) == [(0, 39, 1, 1), (1, 2, 49, 0)]


def test_options_that_contradict_the_header_are_refused(saved):
    with pytest.raises(ValueError, match="the header says 64x48, the options 40x50"):
        open_recording(saved(writers.evt3(FEW)), 40, 50)
    with pytest.raises(ValueError, match="set both width and height"):
        open_recording(saved(writers.evt3(FEW)), 40)


# --- chunks ---


@pytest.mark.parametrize("name", WRITERS)
def test_a_decoder_goes_on_from_the_position_of_any_chunk(name, saved, monkeypatch):
    monkeypatch.setattr(words_module, "CHUNK_BYTES", 24)
    events = [(90 * i, i % 30, i * 7 % 30, i % 2) for i in range(100)]
    recording = open_recording(saved(WRITERS[name][0](events)))
    chunks = list(recording.chunks())
    assert len(chunks) > 10
    assert decoded(recording) == events
    times = [chunk.events.t_us.tolist() for chunk in chunks]
    for number, chunk in enumerate(chunks):
        assert [other.events.t_us.tolist() for other in recording.chunks(chunk.position)] == times[number:]


def test_a_chunk_ends_where_its_room_does(saved, monkeypatch):
    monkeypatch.setattr(words_module, "CHUNK_EVENTS", 40)
    events = [(t, x, 3, 1) for t in range(20) for x in range(32)]
    recording = open_recording(saved(writers.evt3(events)))
    assert max(chunk.events.t_us.size for chunk in recording.chunks()) <= 40 + words_module.KERNEL_ROOM
    assert decoded(recording) == events


# --- faults ---


@pytest.mark.parametrize("name", WRITERS)
def test_times_that_run_backwards_are_an_error_or_left_out_and_counted(name, saved, monkeypatch):
    monkeypatch.setattr(words_module, "CHUNK_BYTES", 40)
    times = [10, 20, 70, 65, 70, 80, 90, 100, 110, 120, 85, 119, 130]
    recording = unrecognised(name, saved, [(t, i, 1, 1) for i, t in enumerate(times)])
    with pytest.raises(ValueError, match="event 3 runs backwards in time, from 70 to 65 us; set on_disorder: drop"):
        recording.events()
    lenient = Recording(recording.header, on_disorder="drop").events()
    assert lenient.t_us.tolist() == [10, 20, 70, 70, 80, 90, 100, 110, 120, 130]
    assert lenient.late_us.tolist() == [70, 120, 120]


@pytest.mark.parametrize("name", ["evt2", "evt3", "dat"])
@pytest.mark.parametrize(("x", "y"), [(64, 3), (3, 48), (2000, 2000)])
def test_an_event_outside_of_the_geometry_is_an_error_that_names_the_byte(name, x, y, saved):
    content = WRITERS[name][0]([(1, 2, 3, 1), (2, x, y, 1)])
    path = saved(content)
    with pytest.raises(ValueError, match=rf"the event at byte \d+ lies at x={x}, y={y}, outside of 64x48") as error:
        open_recording(path).events()
    word = {"evt2": 4, "evt3": 2, "dat": 8}[name]
    assert f"byte {len(content) - word} " in str(error.value)


def test_a_vector_may_reach_over_the_edge_but_hold_no_event_there(saved):
    start = writers.EVT3_HEADER + writers.evt3_words(0x8000, 0x6000, 0x0001, 0x3000 | 60)
    assert decoded(open_recording(saved(start + writers.evt3_words(0x400F)))) == [(0, x, 1, 0) for x in (60, 61, 62, 63)]
    with pytest.raises(ValueError, match="x=65, y=1, outside of 64x48"):
        open_recording(saved(start + writers.evt3_words(0x4000 | 0b100001))).events()


def test_half_a_record_at_the_end_is_an_error_or_left_out(saved):
    for name, (write, _, _) in WRITERS.items():
        path = saved(write(FEW)[:-1], name)
        with pytest.raises(ValueError, match=r"cut off: it ends with .* of half a record of .* at byte"):
            open_recording(path).check()
        with pytest.raises(ValueError, match="set truncated: keep"):
            open_recording(path).events()
        assert decoded(open_recording(path, on_truncated="keep")) == FEW[:-1]


def test_a_file_that_shrinks_meanwhile_is_an_error(saved, monkeypatch):
    monkeypatch.setattr(words_module, "CHUNK_BYTES", 40)
    path = saved(writers.dat([(i, 1, 1, 1) for i in range(100)]))
    chunks = open_recording(path).chunks()
    next(chunks)
    os.truncate(path, 60)
    with pytest.raises(ValueError, match=r"byte 77 is gone: the file had 837 bytes"):
        list(chunks)


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


def small(name: str) -> tuple[bytes, list[writers.AddressEvent]]:
    events = sorted((17 * i * i % 5000, i * 5 % 34, i // 4 % 34, i % 2) for i in range(24))
    return WRITERS[name][0](events), events


@pytest.mark.parametrize("name", WRITERS)
def test_every_truncation_gives_a_clear_error_or_fewer_whole_events(name, saved):
    content, events = small(name)
    shape = open_recording(saved(content)).header.shape
    path = saved(content)
    for length in reversed(range(len(content))):
        os.truncate(path, length)
        recording = leniently_opened(path)
        if recording is not None:
            rest = decoded(recording)
            assert rest == events[: len(rest)], length
            assert not rest or recording.header.shape == shape, length


@pytest.mark.parametrize("name", WRITERS)
def test_flipped_bits_give_a_clear_error_or_events_inside_the_geometry(name, saved):
    content, _ = small(name)
    path = saved(content)
    with path.open("r+b", buffering=0) as file:
        for at, bits in product(range(len(content)), (0x01, 0x10, 0x80, 0xFF)):
            os.pwrite(file.fileno(), bytes([content[at] ^ bits]), at)
            recording = leniently_opened(path)
            if recording is not None:
                events = recording.events()
                assert not events.unit.size or events.unit.max() < recording.format.size, (at, bits)
                assert (np.diff(events.t_us) >= 0).all(), (at, bits)
            os.pwrite(file.fileno(), content[at : at + 1], at)


def test_noise_after_a_good_header_is_survived(saved, monkeypatch):
    monkeypatch.setattr(words_module, "CHUNK_BYTES", 200)
    noise = np.random.default_rng(5).integers(0, 256, 40_000, np.uint8).tobytes()
    for header in (b"% evt 3.0\n% geometry 2048x2048\n", b"% evt 2.0\n% geometry 2048x2048\n",
                   b"% Version 2\n% Width 16384\n% Height 16384\n\x0c\x08"):
        recording = open_recording(saved(header + noise), on_disorder="drop", on_truncated="keep")
        seen = []
        with suppress(ValueError):  # a vector may have led beyond the last column
            for chunk in recording.chunks():
                seen.append(chunk.events)
        events = joined(seen)
        assert events.unit.size > 100
        assert events.unit.max() < recording.format.size
        assert (np.diff(events.t_us) >= 0).all()


def test_decoders_give_the_same_without_compilation(tmp_path):
    paths = []
    for name, (write, _, _) in WRITERS.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(write([(300 * i, x, i % 9, i % 2) for i in range(60) for x in (1, 2, 7, 33)]))
    code = ("import sys, zlib\nfrom sources.recordings import open_recording\nfor path in sys.argv[1:]:\n"
            "    e = open_recording(path).events()\n    print(e.t_us.size, zlib.crc32(e.t_us.tobytes() + e.unit.tobytes()))")

    def run(**variables: str) -> str:
        return subprocess.run([sys.executable, "-c", code, *map(str, paths)], env=os.environ | variables, check=True,
                              capture_output=True, text=True).stdout

    compiled = run()
    assert compiled.splitlines()[0].startswith("240 ")
    assert run(NUMBA_DISABLE_JIT="1") == compiled


# --- inspect ---


def test_inspect_tells_geometry_count_duration_and_rate(saved):
    figures = inspect(saved(writers.evt3([(1_000_000, 1, 2, 1), (1_500_000, 3, 4, 0), (3_000_000, 5, 6, 1)])))
    wanted = {"format": "evt3", "width": 64, "height": 48, "events": 3, "on_events": 2, "first_t_us": 1_000_000,
              "last_t_us": 3_000_000, "duration_us": 2_000_000, "duration_s": 2.0, "mean_rate_hz": 1.5, "triggers": 0}
    assert wanted.items() <= figures.items()


def test_inspect_tells_of_a_recording_without_events(saved):
    figures = inspect(saved(writers.EVT3_HEADER))
    assert (figures["events"], figures["first_t_us"], figures["mean_rate_hz"]) == (0, None, None)


def test_inspect_counts_faults_that_a_replay_may_accept(saved):
    figures = inspect(saved(writers.dat([(5, 1, 1, 1), (3, 2, 2, 0)]) + b"x"))
    assert (figures["events"], figures["on_events"], figures["backwards"], figures["tail_bytes"]) == (1, 1, 1, 1)


# --- real files ---


@needs_data("recordings")
def test_a_real_evt3_file_equals_its_reference_decoding_in_every_event():
    recording = open_recording(DATA / "recordings/evt3_sample.raw")
    reference = np.load(DATA / "recordings/evt3_sample.reference.npz")
    events = recording.events()
    unit = (reference["p"].astype(np.int64) * 720 + reference["y"]) * 1280 + reference["x"]
    assert events.t_us.size == 219_596
    assert np.array_equal(events.t_us, reference["t"])
    assert np.array_equal(events.unit, unit)


@needs_data("recordings")
def test_one_real_recording_is_the_same_in_evt3_and_in_dat():
    raw = open_recording(DATA / "recordings/evt3.raw").events()
    dat = open_recording(DATA / "recordings/gen4.dat").events()
    assert raw.t_us.size == 1_218_618
    assert np.array_equal(raw.unit, dat.unit)
    assert set(np.unique(raw.t_us - dat.t_us)) == {11_194_368}
    assert int(raw.t_us[0]) == 11_200_224
    assert int(raw.unit[0]) == (1 * 720 + 315) * 1280 + 484


@needs_data("recordings")
@pytest.mark.parametrize(("name", "figures"), [
    ("evt3.raw", ("evt3", 1280, 720, 1_218_618, 10_767_997)),
    ("gen4.dat", ("dat", 1280, 720, 1_218_618, 10_767_997)),
    ("evt2_sample.raw", ("evt2", 640, 480, 539_481, 50_000)),
    ("ncars.dat", ("dat", 304, 240, 2_009, 99_952)),
])
def test_real_files_are_inspected(name, figures):
    found = inspect(DATA / "recordings" / name)
    assert tuple(found[key] for key in ("format", "width", "height", "events", "duration_us")) == figures
    assert found["backwards"] == 0


@needs_data("nmnist")
def test_all_real_nmnist_samples_are_in_order_and_recognised():
    events = 0
    for path in sorted(DATA.glob("nmnist/Test/*/*.bin")):
        recording = open_recording(path)
        assert recording.header.format == "nmnist"
        events += recording.events().t_us.size
    assert events == 385_596
