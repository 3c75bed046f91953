"""json_lines: equal runs give equal bytes, also across a crash."""

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.packet import Format, Packet
from sinks.json_lines import JsonLinesConfig

FORMAT = Format("decisions", (2,), names=("left", 'right "R"'), exit_at=0.9)


def decision(t_us: int, *scores: float, episode: int = 0, label: int = -1, last: bool = False) -> Packet:
    n = len(scores)
    return Packet(t_us, t_us + 1, np.full(n, t_us), np.arange(n, dtype=np.uint32), np.array(scores, np.float32),
                  episode=episode, label=label, last=last)


RUN = [decision(0, 0.25, 0.75), Packet(1, 5, value=np.empty(0, np.float32)), decision(5, 0.1, 0.9, episode=1, label=1),
       decision(6, 0.5, 0.5, episode=2, label=0, last=True), decision(9, 0.3, 0.7, episode=3)]


def written(path, packets, state=None):
    """Write the packets; the sink's snapshot after them."""
    sink = JsonLinesConfig(path=path).prepare(FORMAT, "cam")(state)
    for packet in packets:
        sink.write(packet)
    state = sink.snapshot()
    sink.close()
    return state


def test_a_decision_is_one_line_of_json(tmp_path):
    path = tmp_path / "new folder" / "d.jsonl"
    written(path, [decision(7, 0.1, 0.9, episode=4, label=0)])
    assert path.read_text() == (
        '{"stream":"cam","episode":4,"t_us":7,"class":1,"name":"right \\"R\\"","confidence":0.9,'
        '"scores":[0.1,0.9],"final":true,"label":0}\n')
    assert json.loads(path.read_text())["name"] == 'right "R"'


def test_a_class_named_by_a_folder_whose_name_is_no_text_is_spelt_out(tmp_path):
    format = Format("decisions", (2,), names=("a", os.fsdecode(b"caf\xe9")))
    sink = JsonLinesConfig(path=tmp_path / "d").prepare(format, "cam")(None)
    sink.write(decision(7, 0.1, 0.9))
    sink.close()
    assert json.loads((tmp_path / "d").read_bytes())["name"] == r"caf\udce9"


def test_without_a_label_label_is_null(tmp_path):
    written(tmp_path / "d", [decision(7, 0.1, 0.9)])
    assert json.loads((tmp_path / "d").read_text())["label"] is None


def test_several_decisions_of_a_packet_are_several_lines_and_only_the_closing_one_is_final(tmp_path):
    packet = Packet(0, 20, np.array([4, 4, 9, 9]), np.array([0, 1, 0, 1], np.uint32), np.array([0.5, 0.5, 0.2, 0.8], np.float32),
                    last=True)
    written(tmp_path / "d", [packet])
    rows = [json.loads(line) for line in (tmp_path / "d").read_text().splitlines()]
    assert [(row["t_us"], row["class"], row["final"]) for row in rows] == [(4, 0, False), (9, 1, True)]


@given(scores=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2))
@settings(max_examples=200, deadline=None)
def test_scores_read_back_as_the_same_float32(tmp_path_factory, scores):
    path = tmp_path_factory.getbasetemp() / "scores.jsonl"
    written(path, [decision(0, *scores)])
    assert np.array(json.loads(path.read_text())["scores"], np.float32).tobytes() == np.array(scores, np.float32).tobytes()


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_null(tmp_path, odd):
    written(tmp_path / "d", [decision(0, odd, 0.5)])
    assert json.loads((tmp_path / "d").read_text(), parse_constant=pytest.fail)["scores"] == [None, 0.5]


def test_a_line_is_in_the_file_once_write_returns(tmp_path):
    sink = JsonLinesConfig(path=tmp_path / "d").prepare(FORMAT, "cam")(None)
    sink.write(RUN[0])
    assert (tmp_path / "d").read_text().endswith("}\n")
    sink.close()


def test_a_fresh_start_replaces_the_file(tmp_path):
    (tmp_path / "d").write_text("old\n" * 1000)
    written(tmp_path / "d", RUN[:1])
    assert len((tmp_path / "d").read_text().splitlines()) == 1


@pytest.mark.parametrize("at", range(len(RUN) + 1))
def test_a_resumed_run_gives_the_bytes_of_an_undisturbed_one(tmp_path, at):
    written(tmp_path / "whole", RUN)
    sink = JsonLinesConfig(path=tmp_path / "d").prepare(FORMAT, "cam")(None)
    for packet in RUN[:at]:
        sink.write(packet)
    state = sink.snapshot()
    for packet in RUN[at:]:
        sink.write(packet)
    os.write(sink.file, b'{"stream": "cam", "epi')  # the crash comes in the middle of a line
    written(tmp_path / "d", RUN[at:], state)
    assert (tmp_path / "d").read_bytes() == (tmp_path / "whole").read_bytes()
    sink.close()


def test_a_snapshot_is_on_disk_before_it_is_given(tmp_path, monkeypatch):
    synced = []
    sink = JsonLinesConfig(path=tmp_path / "d").prepare(FORMAT, "cam")(None)
    monkeypatch.setattr("sinks.json_lines.os.fsync", synced.append)
    sink.write(RUN[0])
    assert not synced
    sink.snapshot()
    assert synced == [sink.file]
    sink.close()


def test_resuming_a_shorter_file_is_an_error(tmp_path):
    state = written(tmp_path / "d", RUN)
    (tmp_path / "d").write_bytes(b"12345")
    with pytest.raises(ValueError, match=rf"d has 5 bytes, but the checkpoint holds its first {int(state['offset'])} as written"):
        written(tmp_path / "d", [], state)


def test_resuming_a_missing_file_is_an_error(tmp_path):
    state = written(tmp_path / "d", RUN)
    (tmp_path / "d").unlink()
    with pytest.raises(ValueError, match="d is missing, but the checkpoint"):
        written(tmp_path / "d", [], state)
    assert not (tmp_path / "d").exists()


def test_a_path_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OSError, match=r"json_lines: cannot write .*: Is a directory"):
        written(tmp_path, [])
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"json_lines: cannot write .*file/d: (File exists|Not a directory)"):
        written(tmp_path / "file" / "d", [])


def test_a_full_disk_is_an_error():
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OSError, match="json_lines: cannot write /dev/full: No space left"):
        written("/dev/full", RUN)


@pytest.mark.parametrize("kind", ["spikes", "graded"])
def test_other_streams_are_refused(tmp_path, kind):
    with pytest.raises(ValueError, match=f"json_lines takes decisions, got {kind} of shape 3: put a readout before it"):
        JsonLinesConfig(path=tmp_path / "d").check(Format(kind, (3,)))


def test_decisions_without_class_names_are_named_by_index(tmp_path):
    sink = JsonLinesConfig(path=tmp_path / "d").prepare(Format("decisions", (2,)), "cam")(None)
    sink.write(decision(0, 0.1, 0.9))
    sink.close()
    assert json.loads((tmp_path / "d").read_text())["name"] == "1"
