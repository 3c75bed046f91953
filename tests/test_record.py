"""record and recorded: a stream written is replayed packet for packet, also when its writer was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.packet import Format, Packet
from pipeline.packet_log import PacketLog, PacketLogWriter, parts_of
from sinks.record import RecordConfig
from sources.recorded import RecordedConfig
from sources.recordings import open_recording
from spikeline.convert import convert
from tests.examples import decision_packets
from tests.packets import content, recording, recut

DVS = Format("spikes", (2, 8, 8), names=("a", "b"))
SOUND = Format("graded", (12,), rate_hz=16_000.0)
ROOT = Path(__file__).parent.parent


def record(path: Path, packets: list[Packet], format: Format = DVS, state: Any = None, **options: Any) -> Any:
    """Record the packets; the sink's snapshot after them."""
    sink = RecordConfig(path=path, **options).prepare(format, "cam")(state)
    for packet in packets:
        sink.write(packet)
    state = sink.snapshot()
    sink.close()
    return state


def replayed(path: Path, **options: Any) -> list[Packet]:
    source = RecordedConfig(path=path, **options).prepare()(None)
    packets = [packet for packet in source.packets() if packet is not None]
    source.close()
    return packets


def two_episodes(format: Format = DVS) -> list[Packet]:
    """Packets with events, without, and of zero length; with labels, losses and a barrier."""
    packets = []
    for episode in range(2):
        whole = recording(format, episode, n=50, label=episode)
        for piece in recut(whole, [whole.begin_us + 10_000, whole.begin_us + 10_000, whole.begin_us + 59_999]):
            packets.append(Packet(piece.begin_us, piece.end_us, piece.t_us, piece.unit, piece.value, episode, piece.last, episode,
                                  lost=7 * (piece.n > 20)))
    return packets


@pytest.mark.parametrize("format", [DVS, SOUND], ids=["spikes", "graded"])
def test_every_packet_comes_back_as_it_was(format: Format, tmp_path: Path) -> None:
    packets = two_episodes(format)
    record(tmp_path / "run.spkl", packets, format)
    assert [content(packet) for packet in replayed(tmp_path / "run.spkl")] == [content(packet) for packet in packets]
    assert RecordedConfig(path=tmp_path / "run.spkl").check() == format


def test_barriers_belong_to_the_run_and_are_not_recorded(tmp_path: Path) -> None:
    record(tmp_path / "run.spkl", [Packet(0, 5, last=True, barrier=3)])
    assert [packet.barrier for packet in replayed(tmp_path / "run.spkl")] == [-1]


def test_parts_rotate_by_size_and_read_as_one(tmp_path: Path) -> None:
    packets = two_episodes()
    record(tmp_path / "run.spkl", packets, rotate_mb=0.0003)
    assert len(parts_of(tmp_path / "run.spkl")) > 2
    assert [content(packet) for packet in replayed(tmp_path / "run.spkl")] == [content(packet) for packet in packets]


def test_parts_rotate_by_time_of_the_stream(tmp_path: Path) -> None:
    packets = [Packet(t, t + 400_000, last=t == 2_000_000) for t in range(0, 2_400_000, 400_000)]
    record(tmp_path / "run.spkl", packets, rotate_s=1)
    assert [path.name for path in parts_of(tmp_path / "run.spkl")] == ["run-00000.spkl", "run-00001.spkl"]
    assert len(list(PacketLog(tmp_path / "run-00000.spkl").entries())) == 3


def test_a_part_may_be_replayed_by_its_own_name(tmp_path: Path) -> None:
    packets = two_episodes()
    record(tmp_path / "run.spkl", packets, rotate_s=0.03)
    assert content(replayed(tmp_path / "run-00000.spkl")[0]) == content(packets[0])


def test_rotation_replaces_an_earlier_recording_of_the_plain_name(tmp_path: Path) -> None:
    record(tmp_path / "run.spkl", two_episodes()[:4])
    record(tmp_path / "run.spkl", [Packet(0, 5, last=True)], rotate_s=1)
    assert len(replayed(tmp_path / "run.spkl")) == 1


def test_resuming_cuts_back_to_the_checkpoint_and_removes_later_parts(tmp_path: Path) -> None:
    packets, path = two_episodes(), tmp_path / "run.spkl"
    state = record(path, packets[:3], rotate_s=0.03)
    record(path, packets[3:], state=state, rotate_s=0.03)
    record(path, packets[3:], state=state, rotate_s=0.03)
    assert [content(packet) for packet in replayed(path)] == [content(packet) for packet in packets]


def test_resuming_without_the_file_says_so(tmp_path: Path) -> None:
    state = record(tmp_path / "run.spkl", two_episodes())
    (tmp_path / "run.spkl").unlink()
    with pytest.raises(ValueError, match="is missing, but the checkpoint holds its first"):
        record(tmp_path / "run.spkl", [], state=state)


def test_events_are_written_as_parquet_too_when_asked_for(tmp_path: Path) -> None:
    packets = two_episodes()
    record(tmp_path / "run.spkl", packets, parquet=True, rotate_s=0.03)
    table = pq.read_table(tmp_path / "run.parquet")
    t_us = np.concatenate([packet.t_us for packet in packets])
    unit = np.concatenate([packet.unit for packet in packets])
    back = (table["p"].to_numpy() * 64 + table["y"].to_numpy() * 8 + table["x"].to_numpy()).tolist()
    assert (table["t"].to_pylist(), back) == (t_us.tolist(), unit.tolist())


def test_from_s_begins_with_the_packet_that_reaches_beyond_it(tmp_path: Path) -> None:
    packets = two_episodes()
    record(tmp_path / "run.spkl", packets)
    late = replayed(tmp_path / "run.spkl", from_s=0.0599)
    assert [content(packet) for packet in late] == [content(packet) for packet in packets[2:]]
    with pytest.raises(ValueError, match=r"from_s 1 lies after the recording's end at 0\.12 s"):
        replayed(tmp_path / "run.spkl", from_s=1)


def test_to_s_ends_before_the_packet_that_begins_there_and_ends_the_episode(tmp_path: Path) -> None:
    packets = two_episodes()
    record(tmp_path / "run.spkl", packets)
    lengths = [packet.end_us - packet.begin_us for packet in packets]
    early = replayed(tmp_path / "run.spkl", to_s=(lengths[0] + 1) / 1e6)
    assert [content(packet) for packet in early[:2]] == [content(packet) for packet in packets[:2]]
    assert early[-1].last
    assert sum(packet.last for packet in early) == 1
    with pytest.raises(ValueError, match="to_s must lie after from_s, got 1 and 2"):
        replayed(tmp_path / "run.spkl", from_s=2, to_s=1)


def test_each_turn_of_a_loop_gives_the_same_packets_in_further_episodes(tmp_path: Path) -> None:
    packets = two_episodes()
    record(tmp_path / "run.spkl", packets)
    turns = replayed(tmp_path / "run.spkl", loop=3)
    assert len(turns) == 3 * len(packets)
    for turn in range(3):
        for ours, theirs in zip(turns[turn * len(packets) :], packets, strict=False):
            assert content(replace(ours, episode=ours.episode - 2 * turn)) == content(theirs)
    endless = RecordedConfig(path=tmp_path / "run.spkl", loop=True).prepare()(None).packets()
    assert [next(endless).episode for _ in range(20 * len(packets))][-1] == 39
    with pytest.raises(ValueError, match="loop must be at least 1, or true, got 0"):
        RecordedConfig(path=tmp_path / "run.spkl", loop=0).check()


def test_a_looped_recording_resumes_after_any_packet(tmp_path: Path) -> None:
    record(tmp_path / "run.spkl", two_episodes()[:-1])  # the last episode has no end
    make = RecordedConfig(path=tmp_path / "run.spkl", loop=2, from_s=0.012, to_s=0.09).prepare()
    source = make(None)
    packets, states = zip(*((packet, source.snapshot()) for packet in source.packets()), strict=True)
    assert sum(packet.last for packet in packets) == len({packet.episode for packet in packets}) == 4
    for done, state in enumerate(states, 1):
        assert [content(packet) for packet in make(state).packets()] == [content(packet) for packet in packets[done:]]


def test_options_that_cut_packets_are_refused(tmp_path: Path) -> None:
    record(tmp_path / "run.spkl", two_episodes())
    with pytest.raises(ValueError, match="leave out packet_ms"):
        RecordedConfig(path=tmp_path / "run.spkl", packet_ms=1).check()


# --- as a recording of events, for info, convert and dvs_file ---


def test_a_recording_of_one_episode_opens_as_events(tmp_path: Path) -> None:
    packets = two_episodes()[:4]
    record(tmp_path / "run.spkl", packets)
    opened = open_recording(tmp_path / "run.spkl")
    assert opened.format.shape == DVS.shape
    chunks = list(opened.chunks())
    assert [chunk.events.t_us.tolist() for chunk in chunks] == [packet.t_us.tolist() for packet in packets]
    assert chunks[-1].counts["lost"] == sum(packet.lost for packet in packets) == sum(c.events.late_us.size for c in chunks)
    for number, chunk in enumerate(chunks):
        rest = list(opened.chunks(chunk.position))
        assert [c.events.unit.tolist() for c in rest] == [packet.unit.tolist() for packet in packets[number:]]


def test_a_recording_is_converted(tmp_path: Path) -> None:
    packets = two_episodes()[:4]
    record(tmp_path / "run.spkl", packets)
    figures = convert(tmp_path / "run.spkl", tmp_path / "run.raw")
    assert (figures["lost"], figures["late"], figures["left_out"]) == (sum(packet.lost for packet in packets), 0, {})
    events = open_recording(tmp_path / "run.raw").events()
    assert events.t_us.tolist() == [t for packet in packets for t in packet.t_us.tolist()]
    assert events.unit.tolist() == [unit for packet in packets for unit in packet.unit.tolist()]


def test_a_recording_of_several_episodes_or_of_decisions_is_no_recording_of_events(tmp_path: Path) -> None:
    record(tmp_path / "two.spkl", two_episodes())
    with pytest.raises(ValueError, match=r"its times begin anew at packet 4: replay it with type: recorded"):
        open_recording(tmp_path / "two.spkl").events()
    record(tmp_path / "decisions.spkl", list(decision_packets()), Format("decisions", (3,)))
    with pytest.raises(ValueError, match="a recording of decisions, which are no events"):
        open_recording(tmp_path / "decisions.spkl")


def test_a_packet_that_lost_more_events_than_memory_holds_is_no_recording_of_events(tmp_path: Path) -> None:
    record(tmp_path / "run.spkl", [Packet(0, 10, lost=2**40, last=True)])
    assert replayed(tmp_path / "run.spkl")[0].lost == 2**40
    with pytest.raises(ValueError, match=r"packet 0 tells of 1099511627776 lost events, .*: replay it with type: recorded"):
        open_recording(tmp_path / "run.spkl").events()


def test_half_a_packet_at_the_end_is_refused_or_left_out_like_in_other_recordings(tmp_path: Path) -> None:
    record(tmp_path / "run.spkl", two_episodes()[:3])
    with open(tmp_path / "run.spkl", "ab") as file:
        file.write(b"half")
    with pytest.raises(ValueError, match="it ends with 4 bytes of half a packet"):
        open_recording(tmp_path / "run.spkl").events()
    assert open_recording(tmp_path / "run.spkl", on_truncated="keep").events().t_us.size == sum(p.n for p in two_episodes()[:3])


# --- recordings that end too early, or are damaged ---

RECORDER = """
import sys, numpy as np
from pathlib import Path
from pipeline.packet import Format, Packet
from sinks.record import RecordConfig
sink = RecordConfig(path=Path(sys.argv[1])).prepare(Format("spikes", (2, 8, 8)), "cam")(None)
for k in range(10**9):
    sink.write(Packet(1000 * k, 1000 * k + 1000, np.arange(1000 * k, 1000 * k + 300), np.full(300, k % 128, np.uint32), label=3))
    print(k, flush=True)
"""


def test_a_recorder_killed_at_work_leaves_all_that_it_had_taken(tmp_path: Path) -> None:
    path = tmp_path / "run.spkl"
    command = [sys.executable, "-c", RECORDER, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as recorder:
        assert recorder.stdout is not None
        said = [recorder.stdout.readline() for _ in range(200)]
        os.kill(recorder.pid, signal.SIGKILL)
        said += recorder.stdout.readlines()
    packets = replayed(path)
    assert len(packets) - 1 >= len([line for line in said if line.endswith("\n")])
    for k, packet in enumerate(packets[:-1]):
        assert (packet.begin_us, packet.n, packet.unit[0], packet.label, packet.last) == (1000 * k, 300, k % 128, 3, False)
    closing = packets[-1]
    assert (closing.begin_us, closing.end_us, closing.n, closing.last, closing.label) == (packets[-2].end_us,) * 2 + (0, True, 3)


def test_a_recording_cut_anywhere_gives_its_whole_packets(tmp_path: Path) -> None:
    packets, path = two_episodes()[:3], tmp_path / "whole.spkl"
    record(path, packets)
    whole = path.read_bytes()
    log = PacketLog(path)
    ends = [entry.next_offset for entry in log.entries()]
    log.close()
    for size in range(log.data_offset, len(whole)):
        (tmp_path / "cut.spkl").write_bytes(whole[:size])
        cut = PacketLog(tmp_path / "cut.spkl")
        assert len(list(cut.entries())) == sum(end <= size for end in ends)
        assert cut.tail_bytes == size - max([log.data_offset, *(end for end in ends if end <= size)])
        cut.close()
    for size in range(log.data_offset):
        (tmp_path / "cut.spkl").write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"cut off in its head|not a recording of packets|a recording of version"):
            PacketLog(tmp_path / "cut.spkl")


@given(at=st.integers(0, 10_000), flip=st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_flipped_byte_is_an_error_never_another_packet(at: int, flip: int, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.getbasetemp()
    packets, path = two_episodes()[:4], folder / "flipped.spkl"
    record(path, packets)
    content_now = bytearray(path.read_bytes())
    content_now[at % len(content_now)] ^= flip
    path.write_bytes(content_now)
    given_out = []
    with pytest.raises(ValueError):
        log = PacketLog(path)
        for entry in log.entries():
            given_out.append(content(entry.packet))
    assert given_out == [content(packet) for packet in packets][: len(given_out)]


def test_a_file_of_another_kind_or_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.spkl").write_bytes(b"% evt 3.0\n")
    with pytest.raises(ValueError, match="not a recording of packets"):
        PacketLog(tmp_path / "a.spkl")
    (tmp_path / "a.spkl").write_bytes(b"SPKLREC\x02" + bytes(50))
    with pytest.raises(ValueError, match="a recording of version 02: this spikeline reads version 01"):
        PacketLog(tmp_path / "a.spkl")


def test_a_missing_recording_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"run\.spkl: no such file, nor run-00000\.spkl"):
        RecordedConfig(path=tmp_path / "run.spkl").check()


def test_a_log_goes_on_only_from_bytes_that_it_has(tmp_path: Path) -> None:
    PacketLogWriter(tmp_path / "a.spkl", DVS, "cam").close()
    with pytest.raises(ValueError, match="but the checkpoint holds its first 9999 as written"):
        PacketLogWriter(tmp_path / "a.spkl", DVS, "cam", 9999)
