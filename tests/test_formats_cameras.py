"""AEDAT 1 to 4, EVT 2.1 and Event Stream: equal to independent writers and real files, resumable, safe on damaged files."""

import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import lz4.frame
import numpy as np
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sources.formats.packets as packets_module
import sources.formats.words as words_module
from pipeline.packet import Format
from sources.dvs_file import DvsFileConfig
from sources.inspect import inspect
from sources.recordings import open_recording
from tests import writers, writers_event_stream
from tests.real_data import DATA, needs_data
from tests.test_formats import FEW, decoded, leniently_opened, random_events
from tests.writers_aedat import (
    AEDAT2_HEADER,
    AEDAT3_HEADER,
    DAVIS240,
    Aedat4,
    aedat1,
    aedat2_davis240,
    aedat2_davis346,
    aedat2_dvs128,
    aedat2_words,
    aedat3,
    aedat3_packet,
    aedat3_specials,
    aedat4,
)


def zstd(data: bytes) -> bytes:
    return pyarrow.compress(data, codec="zstd", asbytes=True)


def zstd_stream(data: bytes) -> bytes:
    """A frame that does not tell the size of its content."""
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


lz4_high = partial(lz4.frame.compress, compression_level=9, store_size=False)

WRITERS: dict[str, tuple[Callable[..., bytes], str, int, int]] = {  # the format's name, width and height
    "aedat1": (aedat1, "aedat2", 128, 128),
    "aedat2_dvs128": (aedat2_dvs128, "aedat2", 128, 128),
    "aedat2_davis240": (aedat2_davis240, "aedat2", 240, 180),
    "aedat2_davis346": (aedat2_davis346, "aedat2", 346, 260),
    "aedat3": (aedat3, "aedat3", 128, 128),
    "aedat4_none": (aedat4, "aedat4", 64, 48),
    "aedat4_lz4": (partial(aedat4, compress=lz4.frame.compress, compression=1), "aedat4", 64, 48),
    "aedat4_lz4_high": (partial(aedat4, compress=lz4_high, compression=2), "aedat4", 64, 48),
    "aedat4_zstd": (partial(aedat4, compress=zstd, compression=3), "aedat4", 64, 48),
    "aedat4_zstd_high": (partial(aedat4, compress=zstd_stream, compression=4), "aedat4", 64, 48),
    "aedat4_open": (partial(aedat4, closed=False), "aedat4", 64, 48),
    "evt21": (writers.evt21, "evt21", 64, 48),
    "evt21_legacy": (partial(writers.evt21, header=b"% format EVT21;height=48;width=64;endianness=legacy\n", legacy=True),
                     "evt21", 64, 48),
    "es_dvs": (writers_event_stream.dvs, "es", 64, 48),
    "es_atis": (writers_event_stream.atis, "es", 64, 48),
    "es_dvs_v1": (writers_event_stream.dvs_v1, "es", 304, 240),
    "es_atis_v1": (writers_event_stream.atis_v1, "es", 304, 240),
}
TELLING_DIFFERENCES = [name for name in WRITERS if name.startswith("es_")]  # whose times cannot run backwards


@pytest.fixture
def saved(tmp_path):
    def save(content: bytes, name: str = "recording"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return save


def small_chunks(monkeypatch, size: int) -> None:
    monkeypatch.setattr(words_module, "CHUNK_BYTES", size)
    monkeypatch.setattr(packets_module, "CHUNK_BYTES", size)


# --- what is written is read ---


@pytest.mark.parametrize("name", WRITERS)
def test_events_come_back_as_they_were_written(name, tmp_path_factory):
    write, format, width, height = WRITERS[name]
    path = tmp_path_factory.mktemp("written") / "recording"

    @settings(max_examples=40, deadline=None)
    @given(random_events(width, height))
    def check(events):
        path.write_bytes(write(events))
        recording = open_recording(path)
        assert recording.header.format == format
        assert recording.header.shape == (2, height, width)
        assert decoded(recording) == events

    check()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 63), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60))
def test_evt21_words_of_many_events_are_taken_apart(tmp_path_factory, crowded):
    events = sorted(set(crowded))
    path = tmp_path_factory.getbasetemp() / "vectors21.raw"
    path.write_bytes(writers.evt21(events))
    assert decoded(open_recording(path)) == events


@pytest.mark.parametrize(("name", "period_us"), [
    ("aedat1", 1 << 32), ("aedat2_dvs128", 1 << 32), ("aedat2_davis240", 1 << 32), ("evt21", 1 << 34), ("aedat3", 1 << 31)])
def test_the_time_goes_on_where_its_counter_wraps(name, period_us, saved):
    events = [(at, 1, 2, 1) for at in (period_us - 70, period_us - 1, period_us, period_us + 5, 2 * period_us - 1, 2 * period_us)]
    path = saved(WRITERS[name][0](events))
    assert decoded(open_recording(path)) == events
    assert name == "aedat3" or inspect(path)["wraps"] == 2


def test_unix_times_of_aedat4_are_kept_to_the_microsecond(saved):
    events = [(1_589_163_147_368_868 + i, 3, 4, 1) for i in (0, 1, 1, 999)]
    assert decoded(open_recording(saved(aedat4(events)))) == events


# --- what else the files hold ---


def test_words_of_a_davis_that_are_no_events_are_counted(saved):
    imu, frame, trigger = [(0x80000C00 | i << 28, 7) for i in range(7)], [(0x80000000, 8), (0x80000400, 9)], [(0x400, 10)]
    content = aedat2_davis240(FEW) + aedat2_words([*imu, *frame, *trigger])
    path = saved(content)
    assert decoded(open_recording(path)) == FEW
    counted = {"imu_words": 7, "frame_words": 2, "triggers": 1, "special_words": 0}
    assert counted.items() <= inspect(path).items()


def test_special_words_of_a_dvs128_are_counted(saved):
    path = saved(aedat2_dvs128(FEW) + aedat2_words([(0x8000, 66_001), (0x80000000, 66_002)]))
    assert decoded(open_recording(path)) == FEW
    assert {"triggers": 1, "special_words": 1}.items() <= inspect(path).items()
    assert decoded_triggers(path) == [(66_001, 1, 0)]


def test_packets_of_aedat3_that_are_no_events_are_counted(saved):
    invalid = aedat3_packet(1, [(5 << 17 | 5 << 2, 66_000)])
    others = aedat3_packet(2, [(1, 1)] * 2, event_bytes=40) + aedat3_packet(3, [(1, 1)] * 3, event_bytes=36) + invalid
    specials = aedat3_specials([(5, 2), (6, 3), (7, 1), (8, 5), (9, 4), (10, 7)])
    path = saved(AEDAT3_HEADER % b"DVS128" + specials + others + aedat3(FEW, header=b""))
    assert decoded(open_recording(path)) == FEW
    counted = {"frames": 2, "imu_samples": 3, "triggers": 4, "clock_resets": 1, "special_events": 1, "invalid": 1}
    assert counted.items() <= inspect(path).items()
    assert decoded_triggers(path) == [(5, 1, 0), (6, 0, 0), (9, 1, 8), (10, 0, 1)]


def test_packets_of_aedat4_that_are_no_events_are_counted(saved):
    file = Aedat4(lz4.frame.compress, 1).imu().events(FEW[:3]).frame().triggers([(4, 1), (5, 0)]).imu().events(FEW[3:])
    path = saved(file.triggers([(9, 2), (9, 3), (10, 4)]).file())
    assert decoded(open_recording(path)) == FEW
    assert {"frames": 1, "imu_packets": 2, "triggers": 4, "clock_resets": 1}.items() <= inspect(path).items()
    assert decoded_triggers(path) == [(4, 1, 0), (9, 0, 0), (9, 1, 8), (10, 1, 3)]


def test_of_two_event_streams_the_first_is_read(saved):
    info = b'<attr key="typeIdentifier" type="string">%s</attr>'
    file = Aedat4().events(FEW).packet(1, b"an event packet").packet(1, b"another")
    path = saved(file.file(closed=False).replace(info % b"FRME", info % b"EVTS"))
    assert decoded(open_recording(path)) == FEW
    assert inspect(path)["other_packets"] == 2


def test_a_packet_without_events_is_legal(saved):
    assert decoded(open_recording(saved(Aedat4().events([]).events(FEW).events([]).file()))) == FEW


def test_triggers_and_exposures_are_replayed_by_dvs_file(saved):
    path = saved(Aedat4().events(FEW).triggers([(4, 1), (9, 2)]).file())
    config = DvsFileConfig(path=path, stream="triggers")
    assert config.check() == Format("spikes", (2, 32))
    assert [packet.unit.tolist() for packet in config.prepare()(None).packets()] == [[32, 0]]


def test_triggers_of_raw_files_come_out_as_events_of_their_own(saved):
    evt3 = writers.EVT3_HEADER + writers.evt3_words(0xA101, 0x8001, 0x6002, 0xA101, 0x6003, 0xA100, 0x2005, 0xAF01)
    words = 0x8 << 28 | 1, 0xA << 28 | 2 << 22 | 3 << 8 | 1, 0xA << 28 | 4 << 22
    evt2 = writers.EVT2_HEADER + struct.pack("<4I", 0xA << 28 | 1, *words)
    evt21 = writers.EVT21_HEADER + struct.pack("<6I", 0, words[0], 0, words[1], 0, words[2])
    assert decoded_triggers(saved(evt3, "evt3")) == [(4098, 1, 1), (4099, 0, 1), (4099, 1, 15)]
    assert decoded_triggers(saved(evt2, "evt2")) == [(66, 1, 3), (68, 0, 0)]
    assert decoded_triggers(saved(evt21, "evt21")) == [(66, 1, 3), (68, 0, 0)]


def decoded_triggers(path) -> list[tuple[int, int, int]]:
    """Time, edge and channel."""
    recording = open_recording(path, stream="triggers")
    assert recording.format == Format("spikes", (2, 32))
    events = recording.events()
    return list(zip(events.t_us.tolist(), (events.unit // 32).tolist(), (events.unit % 32).tolist(), strict=True))


def test_threshold_crossings_of_an_atis_are_a_stream_of_their_own(saved):
    changes, crossings = writers_event_stream.atis(FEW), writers_event_stream.atis(FEW, crossing=1)
    path = saved(changes + crossings[20:])
    assert decoded(open_recording(path)) == FEW
    assert inspect(path)["exposures"] == len(FEW)
    exposures = open_recording(path, stream="exposures")
    assert [(t - FEW[-1][0], *rest) for t, *rest in decoded(exposures)] == FEW
    version_1 = saved(writers_event_stream.atis_v1(FEW, crossing=1))
    assert decoded(open_recording(version_1, stream="exposures")) == FEW
    assert decoded(open_recording(version_1)) == []


@pytest.mark.parametrize("version", [1, 2])
def test_color_events_are_three_graded_events_each(version, saved):
    write = writers_event_stream.color_v1 if version == 1 else writers_event_stream.color
    path = saved(write([(5, 1, 2, 10, 20, 255), (9_000, 40, 47, 0, 1, 2)]))
    recording = open_recording(path)
    height, width = (240, 304) if version == 1 else (48, 64)
    assert recording.format == Format("graded", (3, height, width))
    events = recording.events()
    assert events.t_us.tolist() == [5, 5, 5, 9_000, 9_000, 9_000]
    assert events.value is not None
    assert events.value.tolist() == [10, 20, 255, 0, 1, 2]
    places = [(color * height + y) * width + x for x, y in ((1, 2), (40, 47)) for color in range(3)]
    assert events.unit.tolist() == places
    for packet in DvsFileConfig(path=path, packet_ms=1).prepare()(None).packets():
        packet.check(recording.format)


def test_generic_events_are_spikes_of_one_unit_and_their_bytes_are_counted(saved):
    path = saved(writers_event_stream.generic([(5, b"one"), (800, b""), (800, bytes(300)), (10_000, b"\xfe\xff")]))
    assert open_recording(path).events().t_us.tolist() == [5, 800, 800, 10_000]
    assert inspect(path)["payload_bytes"] == 305


def test_marks_of_a_reset_are_passed_over_and_counted(saved):
    stream = writers_event_stream
    for name, content in (("dvs", stream.dvs(FEW) + b"\xfe" * 5), ("atis", stream.atis(FEW) + b"\xfc" * 5),
                          ("dvs1", stream.dvs_v1(FEW) + b"\x0f" * 5), ("atis1", stream.atis_v1(FEW) + b"\x1f" * 5)):
        path = saved(content, name)
        assert decoded(open_recording(path)) == FEW
        assert inspect(path)["resets"] == 5


@pytest.mark.parametrize(("name", "stream"), [("evt3", "exposures"), ("dat", "triggers"), ("es", "exposures")])
def test_a_stream_that_a_file_does_not_hold_is_refused(name, stream, saved):
    write = {"evt3": writers.evt3, "dat": writers.dat, "es": writers_event_stream.dvs}[name]
    with pytest.raises(ValueError, match=f"no {stream} can be read from this {name} file, only events"):
        open_recording(saved(write(FEW)), stream=stream)


# --- headers ---


@pytest.mark.parametrize(("content", "wanted"), [
    (AEDAT2_HEADER % b"my.own.Chip" + bytes(8), "recorded by a my.own.Chip, whose addresses are not known"),
    (AEDAT2_HEADER[:40], "cut off in its header"),
    (b"#!AER-DAT3.0\r\n#Format: RAW\r\n", "of versions 3, only 3.1"),
    (b"#!AER-DAT3.1\r\n#Format: Serial-TS\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n", "encoded as Serial-TS"),
    (AEDAT3_HEADER % b"Dynap-SE", "recorded by a Dynap-SE, whose geometry is not known: set width and height"),
    (b"#!AER-DAT4.0\r\n\x10\x00\x00\x00abc", "cut off in its header"),
    (b"#!AER-DAT4.0\r\n\x10\x00\x00\x00" + b"\xff" * 16, "the header holds an offset that leads out of it"),
    (aedat4([], compression=5), "compressed by method 5"),
    (aedat4([]).replace(b">EVTS<", b">IMUS<"), "holds no stream of events, only IMUS, FRME, IMUS, TRIG"),
    (aedat4([]).replace(b">EVTS<", b">E\nT\n<"), r"holds no stream of events, only \?, FRME, IMUS, TRIG"),
    (aedat4([]).replace(b"</dv>", b"</dw>"), "the header's description of the streams cannot be read"),
    (aedat4([]).replace(b"sizeX", b"saizX"), "the header does not tell the geometry: set width and height"),
    (b"Event Stream\x03\x00\x00\x01", "Event Stream of version 3.0"),
    (b"Event Stream\x02\x00\x00\x03", "a stream of display events"),
    (b"Event Stream\x02\x00\x00\x09", "a stream of number 9 events"),
    (b"Event Stream\x01\x00\x04\x09", "a stream of generic events: of version 1, dvs, atis, color can be read"),
    (b"Event Stream\x02\x00\x00\x01\x40\x01", "cut off in its header"),
    (b"Event Stream\x02\x00\x00\x01\x40\x01\x00\x00", "a geometry of 320x0 is not possible"),
])
def test_a_file_that_cannot_be_read_is_one_clear_line(content, wanted, saved):
    path = saved(content)
    with pytest.raises(ValueError, match=wanted) as error:
        open_recording(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_the_options_tell_the_camera_where_the_header_does_not(saved):
    path = saved(AEDAT2_HEADER % b"my.own.Chip" + aedat2_davis240(FEW, header=b""))
    assert decoded(open_recording(path, 240, 180)) == FEW
    assert decoded(open_recording(saved(aedat4(FEW).replace(b"sizeX", b"saizX")), 64, 48)) == FEW


def test_a_header_longer_than_the_first_look_is_read_to_its_end(saved):
    header = AEDAT2_HEADER % DAVIS240
    long_header = header.replace(b"#End", b"# some preference of the camera\r\n" * 5_000 + b"#End")
    assert decoded(open_recording(saved(aedat2_davis240(FEW, long_header)))) == FEW


def test_aedat1_without_a_header_is_known_by_its_name_and_structure(saved):
    events = [(i, i, i, 1) for i in range(40)]
    assert decoded(open_recording(saved(aedat1(events, header=b""), "old.aedat"))) == events
    with pytest.raises(ValueError, match="not a recording of a known format"):
        open_recording(saved(aedat1(events, header=b""), "old.bin"))


# --- chunks ---


@pytest.mark.parametrize("name", WRITERS)
def test_a_decoder_goes_on_from_the_position_of_any_chunk(name, saved, monkeypatch):
    small_chunks(monkeypatch, 24)
    events = [(90 * i, i % 60, i * 7 % 48, i % 2) for i in range(100)]
    recording = open_recording(saved(WRITERS[name][0](events)))
    chunks = list(recording.chunks())
    assert len(chunks) > 5
    assert decoded(recording) == events
    times = [chunk.events.t_us.tolist() for chunk in chunks]
    for number, chunk in enumerate(chunks):
        rest = list(recording.chunks(chunk.position))
        assert [other.events.t_us.tolist() for other in rest] == times[number:]
        assert rest[-1].counts == chunks[-1].counts


def test_color_and_generic_events_go_on_from_any_chunk(saved, monkeypatch):
    small_chunks(monkeypatch, 24)
    color = writers_event_stream.color([(200 * i, i, 40, i, 0, 255) for i in range(30)])
    generic = writers_event_stream.generic([(200 * i, bytes(i % 9)) for i in range(30)])
    for content in (color, generic):
        recording = open_recording(saved(content))
        chunks = list(recording.chunks())
        assert len(chunks) > 5
        for number, chunk in enumerate(chunks):
            rest = [other.events.t_us.tolist() for other in recording.chunks(chunk.position)]
            assert rest == [other.events.t_us.tolist() for other in chunks[number:]]


def test_a_packet_of_many_events_and_many_packets_of_few_are_chunked_alike(saved):
    events = [(i, i % 64, i % 48, 1) for i in range(40_000)]
    for packet_events in (40_000, 100):
        recording = open_recording(saved(aedat4(events, packet_events=packet_events)))
        sizes = [chunk.events.t_us.size for chunk in recording.chunks()]
        assert max(sizes) <= max(packet_events, packets_module.CHUNK_EVENTS + packet_events)
        assert decoded(recording) == events


# --- faults ---


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in TELLING_DIFFERENCES])
def test_times_that_run_backwards_are_an_error_or_left_out_and_counted(name, saved, monkeypatch):
    small_chunks(monkeypatch, 40)
    times = [10, 20, 70, 65, 70, 80, 90, 100, 110, 120, 85, 119, 130]
    path = saved(WRITERS[name][0]([(t, i, 1, 1) for i, t in enumerate(times)]))
    with pytest.raises(ValueError, match="event 3 runs backwards in time, from 70 to 65 us; set on_disorder: drop"):
        open_recording(path).events()
    lenient = open_recording(path, on_disorder="drop").events()
    assert lenient.t_us.tolist() == [10, 20, 70, 70, 80, 90, 100, 110, 120, 130]
    assert lenient.late_us.tolist() == [70, 120, 120]


@pytest.mark.parametrize(("name", "x", "y"), [
    ("aedat2_davis240", -1, 3), ("aedat2_davis240", 3, -1), ("aedat3", 128, 3), ("aedat3", 3, 128), ("aedat4_lz4", 64, 3),
    ("aedat4_none", 3, 48), ("evt21", 3, 48), ("evt21", 64, 3), ("es_dvs", 64, 3), ("es_atis", 3, 48), ("es_dvs_v1", 304, 3)])
def test_an_event_outside_of_the_geometry_is_an_error_that_names_the_byte(name, x, y, saved):
    path = saved(WRITERS[name][0]([(1, 2, 3, 1), (2, x, y, 1)]))
    with pytest.raises(ValueError, match=r"at byte \d+.* at x=\d+, y=\d+, outside of \d+x\d+") as error:
        open_recording(path).events()
    assert "\n" not in str(error.value)


def test_an_evt21_word_may_reach_over_the_edge_but_hold_no_event_there(saved):
    def word(bits: int, x: int, y: int = 1) -> bytes:
        return writers.EVT21_HEADER + struct.pack("<4I", 0, 0x8 << 28, bits, 1 << 28 | x << 11 | y)

    assert decoded(open_recording(saved(word(0xF, 60)))) == [(0, x, 1, 1) for x in (60, 61, 62, 63)]
    for bits, x, y, wanted in ((0b100001, 60, 1, "x=65, y=1"), (0b1000, 2000, 1, "x=2003, y=1"), (0b100, 5, 60, "x=7, y=60")):
        with pytest.raises(ValueError, match=wanted):
            open_recording(saved(word(bits, x, y))).events()


@pytest.mark.parametrize("name", [name for name in WRITERS if not name.startswith(("aedat4_none", "aedat4_lz4", "aedat4_zstd"))])
def test_half_a_record_at_the_end_is_an_error_or_left_out_and_counted(name, saved):
    path = saved(WRITERS[name][0](FEW)[:-1])
    with pytest.raises(ValueError, match=r"cut off: it ends with .* of half a record of .* at byte \d+; set truncated: keep"):
        open_recording(path).events()
    rest = decoded(open_recording(path, on_truncated="keep"))
    assert rest == FEW[: len(rest)]
    assert len(rest) < len(FEW)
    assert inspect(path)["tail_bytes"] > 0


def test_a_packet_that_cannot_be_decompressed_names_its_byte(saved):
    for name in ("aedat4_lz4", "aedat4_zstd", "aedat4_zstd_high"):
        content = WRITERS[name][0](FEW)
        at = content.index(b"\x28\xb5\x2f\xfd" if "zstd" in name else b"\x04\x22\x4d\x18")
        with pytest.raises(ValueError, match=rf"the packet at byte {at - 8} cannot be decompressed \(.*\): the file is damaged"):
            open_recording(saved(content[: at + 2] + b"\x00" + content[at + 3 :])).events()


def test_a_packet_that_swells_beyond_reason_is_refused(saved, monkeypatch):
    import sources.formats.decompress as decompress

    monkeypatch.setattr(decompress, "MOST_BYTES", 1000)
    events = [(i, 1, 1, 1) for i in range(500)]
    for compress, number in ((lz4.frame.compress, 1), (lz4_high, 2), (zstd_stream, 4)):
        with pytest.raises(ValueError, match="cannot be decompressed to 1000 bytes or fewer"):
            open_recording(saved(aedat4(events, compress, number, packet_events=500))).events()


def test_a_time_that_no_clock_could_have_told_is_an_error(saved):
    with pytest.raises(ValueError, match="holds a time that no clock could have told"):
        open_recording(saved(aedat4([(2**62, 1, 1, 1)]))).events()


def test_a_time_far_ahead_is_damage_and_no_endless_silence(saved):
    far = [*FEW, (FEW[-1][0] + 2**40, 1, 1, 1)]
    content = aedat4(far, packet_events=len(FEW))
    wanted = rf"the packet at byte \d+ holds a time that jumps ahead, from {FEW[-1][0]} to {far[-1][0]} us: the file is damaged"
    with pytest.raises(ValueError, match=wanted):
        open_recording(saved(content)).events()
    first = [FEW[0], (FEW[0][0] + 2**40, 1, 1, 1)]
    with pytest.raises(ValueError, match="jumps ahead"):
        open_recording(saved(aedat4(first))).events()


def test_a_generic_event_longer_than_a_chunk_is_damage(saved, monkeypatch):
    monkeypatch.setattr(words_module, "CHUNK_BYTES", 100)
    content = writers_event_stream.generic([(5, bytes(200)), (9, b"")])
    with pytest.raises(ValueError, match="the event at byte 16 has more than 100 bytes"):
        open_recording(saved(content)).events()


def small(name: str) -> tuple[bytes, list[writers.AddressEvent]]:
    events = sorted((17 * i * i % 5000, i * 5 % 34, i // 4 % 34, i % 2) for i in range(14))
    return WRITERS[name][0](events), events


@pytest.mark.parametrize("name", WRITERS)
def test_every_truncation_gives_a_clear_error_or_fewer_whole_events(name, saved):
    content, events = small(name)
    path = saved(content)
    shape = open_recording(path).header.shape
    for length in reversed(range(len(content))):
        os.truncate(path, length)
        recording = leniently_opened(path)
        if recording is not None and recording.header.format == WRITERS[name][1]:
            rest = decoded(recording)
            assert rest == events[: len(rest)], length
            assert not rest or recording.header.shape == shape, length


@pytest.mark.parametrize("name", WRITERS)
def test_flipped_bits_give_a_clear_error_or_events_inside_the_geometry(name, saved):
    content, _ = small(name)
    path = saved(content)
    description = range(content.find(b"<dv"), content.find(b"</dv>") + 5)  # of the streams; long, and read by a library
    places = [at for at in range(len(content)) if at not in description or at % 9 == 0]
    with path.open("r+b", buffering=0) as file:
        for at, bits in product(places, (0x01, 0x80, 0xFF)):
            os.pwrite(file.fileno(), bytes([content[at] ^ bits]), at)
            recording = leniently_opened(path)
            if recording is not None:
                events = recording.events()
                assert not events.unit.size or events.unit.max() < recording.format.size, (at, bits)
                assert (np.diff(events.t_us) >= 0).all(), (at, bits)
            os.pwrite(file.fileno(), content[at : at + 1], at)


def test_noise_after_a_good_header_is_survived(saved, monkeypatch):
    small_chunks(monkeypatch, 200)
    rng = np.random.default_rng(5)
    davis640 = AEDAT2_HEADER % b"eu.seebetter.ini.chips.davis.Davis640"
    stream = writers_event_stream
    heads = (davis640, AEDAT3_HEADER % b"DAVIS640", aedat4([], closed=False), b"% evt 2.1\n% geometry 2048x2048\n",
             stream.header_v2("dvs", 32768, 32768), stream.header_v2("atis", 32768, 32768), stream.header_v2("generic"),
             stream.header_v1("dvs"), stream.header_v1("color"))
    for head in heads:
        for _ in range(8):
            path = saved(head + rng.integers(0, 256, 3_000, np.uint8).tobytes())
            recording = leniently_opened(path)
            if recording is not None:
                events = recording.events()
                assert not events.unit.size or events.unit.max() < recording.format.size


def test_decoders_give_the_same_without_compilation(tmp_path):
    events = [(300 * i, x, i % 9, i % 2) for i in range(40) for x in (1, 2, 7, 33)]
    contents = {name: row[0](events) for name, row in WRITERS.items()}
    contents["color"] = writers_event_stream.color([(9 * i, i, 2, i, 1, 2) for i in range(40)])
    contents["generic"] = writers_event_stream.generic([(300 * i, bytes(i)) for i in range(40)])
    contents["triggers"] = Aedat4().events(events).triggers([(1, 1), (2, 2)]).file()
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    code = ("import sys, zlib\nfrom sources.recordings import open_recording\nfor path in sys.argv[1:]:\n"
            "    for stream in ('events', *open_recording(path).header.streams):\n"
            "        e = open_recording(path, stream=stream).events()\n"
            "        print(e.t_us.size, zlib.crc32(e.t_us.tobytes() + e.unit.tobytes()))")

    def run(**variables: str) -> str:
        return subprocess.run([sys.executable, "-c", code, *(str(tmp_path / name) for name in contents)],
                              env=os.environ | variables, check=True, capture_output=True, text=True).stdout

    compiled = run()
    assert compiled.splitlines()[0].startswith("160 ")
    assert run(NUMBA_DISABLE_JIT="1") == compiled


# --- real files ---

FIGURES: list[tuple[str, dict[str, Any], tuple[int, int, int, int], int]] = [
    ("davis346.aedat4", {"format": "aedat4", "width": 346, "height": 260, "events": 78_830, "duration_us": 2_359_945,
                         "frames": 59, "imu_packets": 236, "triggers": 236}, (1_589_163_147_368_868, 215, 164, 1), 0x05ec2d9a),
    ("dvxplorer.aedat4", {"format": "aedat4", "width": 320, "height": 240, "events": 111_954, "duration_us": 589_917,
                          "imu_packets": 59}, (1_605_537_493_718_345, 154, 204, 0), 0x56dc2888),
    ("dvs.es", {"format": "es", "width": 320, "height": 240, "events": 473_225, "duration_us": 999_000},
     (0, 0, 239, 1), 0xd7f57191),
    ("atis.es", {"format": "es", "events": 473_225, "exposures": 852_792, "duration_us": 999_000}, (0, 0, 239, 1), 0xd7f57191),
    ("generic.es", {"format": "es", "events": 70, "payload_bytes": 822, "duration_us": 1_207_922}, (0, 0, 0, 0), 0x6017bc09),
    ("dvs128_standing_up.aedat", {"format": "aedat2", "width": 128, "height": 128, "events": 290_292,
                                  "duration_us": 25_085_667}, (136_635_479, 55, 57, 1), 0x43562db0),
    ("dvs128_walking.aedat", {"format": "aedat2", "events": 19_182, "duration_us": 6_886_550},
     (41_306_606, 62, 9, 0), 0xf0518af6),
    ("davis240c_rotdisk.aedat", {"format": "aedat2", "width": 240, "height": 180, "events": 374_296, "duration_us": 3_166_759,
                                 "imu_words": 51_688, "frame_words": 0}, (341_678, 228, 164, 1), 0x03f0ec4c),
]


@needs_data("recordings")
@pytest.mark.parametrize(("name", "figures", "first", "digest"), FIGURES, ids=[row[0] for row in FIGURES])
def test_real_files_are_read_whole(name, figures, first, digest):
    found = inspect(DATA / "recordings" / name)
    assert figures.items() <= found.items()
    assert (found["backwards"], found["tail_bytes"]) == (0, 0)
    recording = open_recording(DATA / "recordings" / name)
    events, (_, height, width) = recording.events(), recording.header.shape
    unit = int(events.unit[0])
    assert (int(events.t_us[0]), unit % width, unit // width % height, unit // width // height) == first
    assert zlib.crc32(events.t_us.tobytes() + events.unit.tobytes()) == digest


@needs_data("recordings")
def test_changes_of_the_real_atis_file_are_those_of_its_dvs_twin():
    atis, dvs = (open_recording(DATA / "recordings" / name).events() for name in ("atis.es", "dvs.es"))
    assert np.array_equal(atis.t_us, dvs.t_us)
    assert np.array_equal(atis.unit, dvs.unit)


@needs_data("recordings")
def test_the_real_davis_file_gives_its_triggers():
    events = open_recording(DATA / "recordings/davis346.aedat4", stream="triggers").events()
    assert events.t_us.size == 236
    assert sorted(set(events.unit.tolist())) == [4, 5, 36, 37]  # frames and exposures, end and begin
