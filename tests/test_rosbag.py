"""ROS bags: events of event_camera_msgs and dvs_msgs, in ROS 1 and ROS 2, resumable, and safe when damaged."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sources.formats.header import TableOptions
from sources.inspect import inspect
from sources.recordings import open_recording
from tests import writers
from tests.real_data import DATA, needs_data
from tests.test_tables import decoded, leniently_opened
from tests.writers import AddressEvent

pytest.importorskip("rosbags", reason="install the extra spikeline[ros]")
EVENTS: list[AddressEvent] = [(1_000_000 + 700 * i + i % 3, i * 5 % 64, i * 7 % 48, i % 2) for i in range(60)]
PACKET, ARRAY = "event_camera_msgs/msg/EventPacket", "dvs_msgs/msg/EventArray"


def ros1_head(seq: int) -> bytes:
    return struct.pack("<III", seq, 5, 6) + struct.pack("<I", 3) + b"cam" + struct.pack("<II", 48, 64)


def ros2_head() -> bytes:
    return b"\x00\x01\x00\x00" + struct.pack("<II", 5, 6) + struct.pack("<I", 4) + b"cam\x00" + struct.pack("<II", 48, 64)


def packet(body: bytes, seq: int, ros2: bool, encoding: bytes = b"evt3", time_base_ns: int = 0) -> bytes:
    if not ros2:
        return (ros1_head(seq) + struct.pack("<QQ", seq, time_base_ns) + struct.pack("<I", len(encoding)) + encoding + b"\x00"
                + struct.pack("<I", len(body)) + body)  # fmt: skip
    text = ros2_head() + struct.pack("<QQ", seq, time_base_ns) + struct.pack("<I", len(encoding) + 1) + encoding + b"\x00\x00"
    return text + b"\x00" * (-(len(text) - 4) % 4) + struct.pack("<I", len(body)) + body


def array(events: Sequence[AddressEvent], ros2: bool) -> bytes:
    out = (ros2_head() if ros2 else ros1_head(0)) + struct.pack("<I", len(events))
    for t, x, y, p in events:
        if ros2:
            out += b"\x00" * (-len(out) % 2)
        out += struct.pack("<HH", x, y)
        if ros2:
            out += b"\x00" * (-len(out) % 4)
        out += struct.pack("<IIB", t // 1_000_000, t % 1_000_000 * 1000, p)
    return out


def bag(folder: Path, kind: str, messages: Sequence[tuple[str, str, int, bytes]]) -> Path:
    """A bag of (topic, type, time in ns, message); kind: bag, db3 or mcap."""
    from rosbags.rosbag1 import Writer as Writer1
    from rosbags.rosbag2 import StoragePlugin
    from rosbags.rosbag2 import Writer as Writer2

    path = folder / ("a.bag" if kind == "bag" else "a")
    definition: dict[str, Any] = {"msgdef": "uint32 x\n"}
    definition |= {"md5sum": "0" * 32} if kind == "bag" else {"rihs01": "RIHS01_" + "0" * 64}
    plugin = {"db3": StoragePlugin.SQLITE3, "mcap": StoragePlugin.MCAP}.get(kind)
    with Writer1(path) if plugin is None else Writer2(path, version=9, storage_plugin=plugin) as writer:
        topics = {topic: msgtype for topic, msgtype, _, _ in messages}
        known = {topic: writer.add_connection(topic, msgtype, **definition) for topic, msgtype in topics.items()}
        for topic, _, time_ns, raw in messages:
            writer.write(known[topic], time_ns, raw)
    return path if plugin is None else next(path.glob(f"*.{kind}"))


def evt3_messages(ros2: bool, topic: str = "/cam", times: Sequence[int] = (10, 20, 20, 30)) -> list[tuple[str, str, int, bytes]]:
    """The events as one stream of words, cut into messages anywhere."""
    words = writers.evt3(EVENTS, b"")
    cuts = [0, 2 * (len(words) // 10), 2 * (len(words) // 5), 2 * (len(words) // 3), len(words)]
    pieces = [words[a:b] for a, b in pairwise(cuts)]
    return [(topic, PACKET, t, packet(piece, i, ros2)) for i, (t, piece) in enumerate(zip(times, pieces, strict=True))]


KINDS = ["bag", "db3", "mcap"]


@pytest.mark.parametrize("kind", KINDS)
def test_evt3_packets_are_one_stream_however_they_are_cut(kind, tmp_path):
    recording = open_recording(bag(tmp_path, kind, evt3_messages(kind != "bag")))
    assert (recording.header.format, recording.header.shape) == ("rosbag", (2, 48, 64))
    assert decoded(recording) == EVENTS


@pytest.mark.parametrize("kind", KINDS)
def test_a_bag_goes_on_from_the_position_of_any_chunk(kind, tmp_path):
    recording = open_recording(bag(tmp_path, kind, evt3_messages(kind != "bag")))
    chunks = list(recording.chunks())
    times = [chunk.events.t_us.tolist() for chunk in chunks]
    assert len(chunks) == 4
    for number, chunk in enumerate(chunks):
        assert [other.events.t_us.tolist() for other in recording.chunks(chunk.position)] == times[number:]


@pytest.mark.parametrize("kind", KINDS)
def test_events_of_dvs_msgs_have_their_own_times(kind, tmp_path):
    messages = [("/dvs/events", ARRAY, 10 * i, array(part, kind != "bag")) for i, part in enumerate((EVENTS[:7], [], EVENTS[7:]))]
    assert decoded(open_recording(bag(tmp_path, kind, messages))) == EVENTS


def test_mono_packets_count_from_their_time_base(tmp_path):
    body = np.array([p << 63 | y << 48 | x << 32 | (t - 1_000_000) * 1000 for t, x, y, p in EVENTS], "<u8").tobytes()
    path = bag(tmp_path, "bag", [("/cam", PACKET, 1, packet(body, 0, False, b"mono", 1_000_000_000))])
    assert decoded(open_recording(path)) == EVENTS


def test_packets_that_are_missing_by_their_number_are_counted(tmp_path):
    messages = evt3_messages(False)
    path = bag(tmp_path, "bag", [messages[0], messages[3]])
    assert inspect(path)["missing_packets"] == 2


def test_of_several_topics_one_is_to_be_named(tmp_path):
    path = bag(tmp_path, "bag", [*evt3_messages(False, "/left"), ("/right", ARRAY, 50, array(EVENTS[:3], False))])
    with pytest.raises(ValueError, match="events on /left, /right: set table to one of these topics"):
        open_recording(path)
    assert decoded(open_recording(path, table=TableOptions(table="/right"))) == EVENTS[:3]


def test_a_bag_without_events_and_another_encoding_are_clear_errors(tmp_path):
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match="no topic with events in it"):
        open_recording(bag(tmp_path, "bag", [("/other", "std_msgs/msg/Empty", 1, b"")]))
    with pytest.raises(ValueError, match="encoded as 'libcaer': evt3 and mono can be read"):
        open_recording(bag(tmp_path / "b", "bag", [("/cam", PACKET, 1, packet(b"", 0, False, b"libcaer"))])).events()


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_bags_give_a_clear_error_or_events_inside_the_geometry(kind, tmp_path):
    path = bag(tmp_path, kind, evt3_messages(kind != "bag"))
    content = path.read_bytes()
    rng = np.random.default_rng(3)
    with path.open("r+b", buffering=0) as file:
        for at in rng.choice(len(content), 40, replace=False).tolist():
            os.pwrite(file.fileno(), bytes([content[at] ^ 0xFF]), at)
            recording = leniently_opened(path)
            if recording is not None:
                assert recording.events().unit.max(initial=0) < recording.format.size
            os.pwrite(file.fileno(), content[at : at + 1], at)
    for length in sorted(rng.choice(len(content), 40, replace=False).tolist(), reverse=True):
        os.truncate(path, length)
        recording = leniently_opened(path)
        if recording is not None:
            rest = decoded(recording)
            assert rest == EVENTS[: len(rest)], length


@needs_data("recordings")
def test_the_real_bag_has_its_events():
    figures = inspect(DATA / "recordings/ros1_evt3.bag")
    wanted = {"format": "rosbag", "width": 640, "height": 480, "events": 343_474, "backwards": 0, "missing_packets": 0}
    assert wanted.items() <= figures.items()
    assert round(figures["duration_s"], 3) == 2.078
