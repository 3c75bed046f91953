"""dvs_file: where a replay begins and ends, how it loops, resumes and fails, and that checking it is light."""

import subprocess
import sys
from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np
import pytest

import sources.dvs_file as dvs_file_module
import sources.formats.words as words_module
from pipeline.packet import Format, Packet, same_events
from sources.dvs_file import DvsFileConfig
from sources.recordings import Recording
from tests import writers
from tests.real_data import DATA, needs_data

TIMES = [1_000, 1_500, 2_600, 2_600, 9_999, 14_000, 14_001, 30_000]
EVENTS = [(t, i, 2 * i, i % 2) for i, t in enumerate(TIMES)]


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "recording.raw"
    path.write_bytes(writers.evt3(EVENTS))
    return path


def prepared(path, **options) -> Callable[..., Any]:
    return DvsFileConfig(path=path, **options).prepare()


def replay(path, **options) -> list[Packet]:
    return list(prepared(path, **options)(None).packets())


def times(packets) -> list[int]:
    return [int(t) for packet in packets for t in packet.t_us]


def test_a_replay_begins_at_the_first_event_and_ends_one_microsecond_after_the_last(recording):
    packets = replay(recording, packet_ms=10)
    assert [(p.begin_us, p.end_us, p.n, p.last) for p in packets] == [
        (1_000, 11_000, 5, False), (11_000, 21_000, 2, False), (21_000, 30_001, 1, True)]
    assert times(packets) == TIMES


def test_units_are_polarity_row_and_column(recording):
    units = [int(u) for packet in replay(recording) for u in packet.unit]
    assert units == [(p * 48 + y) * 64 + x for _, x, y, p in EVENTS]


def test_check_tells_the_format(recording):
    assert DvsFileConfig(path=recording).check() == Format("spikes", (2, 48, 64))


def test_from_and_to_count_from_the_first_event(recording):
    packets = replay(recording, from_s=0.001, to_s=0.013, packet_ms=100)
    assert [(p.begin_us, p.end_us, p.last) for p in packets] == [(2_000, 14_000, True)]
    assert times(packets) == [2_600, 2_600, 9_999]


def test_an_end_after_the_last_event_is_reached_in_silence(recording):
    packets = replay(recording, to_s=0.05, packet_ms=20)
    assert [(p.begin_us, p.end_us, p.n, p.last) for p in packets] == [
        (1_000, 21_000, 7, False), (21_000, 41_000, 1, False), (41_000, 51_000, 0, True)]


def test_each_turn_of_a_loop_is_an_episode_of_the_same_events(recording):
    episodes = [list(group) for _, group in groupby(replay(recording, loop=3), key=lambda p: p.episode)]
    assert len(episodes) == 3
    for number, packets in enumerate(episodes):
        assert {p.episode for p in packets} == {number}
        assert [p.last for p in packets] == [False] * (len(packets) - 1) + [True]
        assert all(map(same_events, packets, episodes[0]))


def test_loop_true_has_no_end(recording):
    packets = DvsFileConfig(path=recording, loop=True).prepare()(None).packets()
    assert [next(packets).episode for _ in range(100)][-1] > 20


@pytest.mark.parametrize("loop", [0, -1, False])
def test_a_loop_of_nothing_is_refused(recording, loop):
    with pytest.raises(ValueError, match="loop must be at least 1, or true"):
        DvsFileConfig(path=recording, loop=loop).check()


def test_from_after_the_end_is_an_error(recording):
    with pytest.raises(ValueError, match=r"from_s 2 lies after the recording's end at 0\.029 s"):
        replay(recording, from_s=2)


def test_later_turns_of_a_loop_begin_where_the_index_says(tmp_path, monkeypatch):
    monkeypatch.setattr(words_module, "CHUNK_BYTES", 16)
    monkeypatch.setattr(dvs_file_module, "CHUNKS_A_MARK", 2)
    path = tmp_path / "long.raw"
    path.write_bytes(writers.evt3([(i << 20, i % 64, i % 48, i % 2) for i in range(200)]))  # the time wraps 12 times
    source = prepared(path, loop=2, from_s=150, packet_ms=10_000)(None)
    begun = []
    chunks = source._recording.chunks
    monkeypatch.setattr(Recording, "chunks", lambda self, position=None: (begun.append(position), chunks(position))[1])
    turns = [list(group) for _, group in groupby(source.packets(), key=lambda p: p.episode)]
    assert times(turns[0]) == times(turns[1]) == [i << 20 for i in range(144, 200)]
    assert all(map(same_events, *turns))
    assert begun[0] is None
    assert int(begun[1][0]) > 200, "words that were decoded already are decoded again"


def test_to_before_from_is_an_error(recording):
    with pytest.raises(ValueError, match="to_s must lie after from_s, got 1 and 2"):
        DvsFileConfig(path=recording, from_s=2, to_s=1).check()


def test_a_time_far_ahead_is_an_error_and_no_endless_silence(tmp_path):
    path = tmp_path / "far.csv"
    path.write_text(f"t_us,x,y,p\n5,1,1,1\n9,1,1,1\n{2**40},1,1,1\n")
    wanted = rf"far\.csv: the time jumps ahead from 9 to {2**40} us, more than a day"
    for options in ({}, {"on_disorder": "drop"}, {"on_disorder": {"sort_within_ms": 1}}):
        with pytest.raises(ValueError, match=wanted):
            replay(path, **options)


def test_a_recording_without_events_is_an_error(tmp_path):
    path = tmp_path / "silent.raw"
    path.write_bytes(writers.EVT3_HEADER)
    with pytest.raises(ValueError, match=r"silent\.raw: the recording holds no events"):
        replay(path)


def test_a_truncated_recording_is_refused_by_check_already(recording):
    recording.write_bytes(recording.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"recording\.raw: cut off: it ends with 1 byte of half a record of evt3 at byte \d+"):
        DvsFileConfig(path=recording).check()
    assert times(replay(recording, truncated="keep")) == TIMES[:-1]


def test_dropped_events_are_counted_in_the_packet_and_in_the_report(tmp_path):
    path = tmp_path / "disordered.dat"
    path.write_bytes(writers.dat([(t, 1, 1, 1) for t in (0, 50, 40, 60, 12_000, 11_000, 11_500, 20_000)]))
    with pytest.raises(ValueError, match="event 2 runs backwards in time, from 50 to 40 us"):
        replay(path)
    source = prepared(path, on_disorder="drop")(None)
    assert [(p.n, p.lost) for p in source.packets()] == [(3, 1), (1, 2), (1, 0)]
    assert source.report().items() >= {"format": "dat", "events": 5, "late": 3, "triggers": 0}.items()


@pytest.mark.parametrize("options", [{}, {"loop": 2}, {"from_s": 0.001, "to_s": 0.02}, {"packet_ms": 0.3, "max_events": 1}])
def test_a_replay_resumes_after_every_packet(tmp_path, monkeypatch, options):
    monkeypatch.setattr(words_module, "CHUNK_BYTES", 16)
    path = tmp_path / "long.raw"
    disordered = [(t - 150 * (i % 11 == 3), i % 64, i % 48, i % 2) for i, t in enumerate(range(500, 30_000, 137))]
    path.write_bytes(writers.evt3(disordered))
    make = prepared(path, **{"packet_ms": 2, "on_disorder": "drop"} | options)
    source = make(None)
    packets, states = zip(*((packet, source.snapshot()) for packet in source.packets()), strict=True)
    assert sum(p.lost for p in packets) > 0
    for done, state in enumerate(states, 1):
        resumed = make(state)
        rest = list(resumed.packets())
        assert len(rest) == len(packets) - done
        for ours, theirs in zip(rest, packets[done:], strict=True):
            assert same_events(ours, theirs)
            assert (ours.episode, ours.last, ours.lost) == (theirs.episode, theirs.last, theirs.lost)
        assert [resumed.report()[name] for name in ("events", "late")] == [source.report()[name] for name in ("events", "late")]


def test_a_snapshot_holds_little_however_long_the_recording(tmp_path, monkeypatch):
    monkeypatch.setattr(words_module, "CHUNK_BYTES", 800)
    path = tmp_path / "long.dat"
    path.write_bytes(writers.dat([(100 * i, 1, 1, 1) for i in range(5_000)]))
    source = prepared(path)(None)
    for _ in source.packets():
        assert sum(array.nbytes for array in source.snapshot().values()) < 500
        assert len(source._chunks) <= 4


def test_a_snapshot_of_another_recording_is_refused(recording):
    source = DvsFileConfig(path=recording).prepare()(None)
    next(source.packets())
    recording.write_bytes(writers.evt3(EVENTS[:-1]))
    with pytest.raises(ValueError, match="changed since the snapshot"):
        DvsFileConfig(path=recording).prepare()(source.snapshot())


def test_checking_imports_no_compiler(recording):
    code = ("import sys\nfrom sources.dvs_file import DvsFileConfig\nDvsFileConfig(path=sys.argv[1]).check()\n"
            "assert not {'numba', 'h5py', 'pyarrow'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code, str(recording)], check=True)


@needs_data("recordings")
@pytest.mark.parametrize(("name", "packet_ms"), [("evt3_sample.raw", 0.1), ("evt2_sample.raw", 1.0), ("ncars.dat", 7.0)])
def test_real_recordings_are_the_same_in_packets_of_any_length(name, packet_ms):
    path = DATA / "recordings" / name
    whole = DvsFileConfig(path=path).open().events()
    for options in ({"packet_ms": packet_ms}, {"packet_ms": packet_ms, "max_events": 777}, {"packet_ms": 3_333.0}):
        packets = replay(path, **options)
        assert np.array_equal(np.concatenate([p.t_us for p in packets]), whole.t_us)
        assert np.array_equal(np.concatenate([p.unit for p in packets]), whole.unit)


@needs_data("recordings")
def test_a_real_recording_resumes_in_its_midst():
    make = DvsFileConfig(path=DATA / "recordings/evt3.raw", packet_ms=50).prepare()
    source = make(None)
    stream = source.packets()
    for _ in range(100):
        last = next(stream)
    rest = make(source.snapshot()).packets()
    following = next(rest)
    assert following.begin_us == last.end_us
    assert same_events(following, next(stream))
    assert sum(p.n for p in rest) == sum(p.n for p in stream)
