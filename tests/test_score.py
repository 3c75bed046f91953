"""score: every figure from few episodes that stand here."""

import json
import os
import sys

import numpy as np
import pytest

from pipeline.packet import Format, Packet
from sinks.score import ScoreConfig

FORMAT = Format("decisions", (3,), names=("a", "b", "c"), exit_at=0.9)
LEFT_OUT = np.empty(0, np.float32)


def decision(begin_us: int, end_us: int, index: int, confidence: float, **flags) -> Packet:
    """A packet that holds one decision, stamped with its last microsecond."""
    scores = np.full(3, (1 - confidence) / 2, np.float32)
    scores[index] = confidence
    return Packet(begin_us, end_us, np.full(3, end_us - 1), np.arange(3, dtype=np.uint32), scores, **flags)


def silence(begin_us: int, end_us: int, **flags) -> Packet:
    return Packet(begin_us, end_us, value=LEFT_OUT, **flags)


EXITS_RIGHT = [decision(0, 100, 0, 0.5, label=0), decision(100, 250, 0, 0.95, label=0), silence(250, 1000, label=0, last=True)]
CLOSES_WRONG = [decision(0, 100, 1, 0.5, episode=1, label=2), decision(100, 400, 0, 0.6, episode=1, label=2, last=True)]
NEVER_DECIDES = [silence(0, 500, episode=2, label=2, last=True)]
HAS_NO_LABEL = [decision(50, 150, 1, 0.7, episode=3, last=True)]
RUN = EXITS_RIGHT + CLOSES_WRONG + NEVER_DECIDES + HAS_NO_LABEL


def scored(packets, format=FORMAT, state=None, **options):
    sink = ScoreConfig(**options).prepare(format, "cam")(state)
    for packet in packets:
        sink.write(packet)
    return sink


def test_accuracy_counts_labelled_episodes_and_one_without_an_answer_as_wrong():
    report = scored(RUN).report()
    assert [report[key] for key in ("episodes", "labelled", "correct", "unanswered")] == [4, 3, 1, 1]
    assert report["accuracy"] == 1 / 3


def test_the_confusion_matrix_has_a_row_a_true_class():
    report = scored(RUN).report()
    assert report["confusion"] == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert report["unanswered_by_class"] == [0, 0, 1]


def test_recall_is_none_for_a_class_that_never_came():
    assert scored(RUN).report()["recall"] == {"a": 1.0, "b": None, "c": 0.0}


def test_latency_runs_from_the_begin_of_the_episode_to_its_answer():
    report = scored(RUN).report()
    assert report["answer_latency_us"] == {"p50": 249.0, "p90": np.quantile([249, 399, 99], 0.9), "max": 399.0}


def test_early_exits_are_counted_apart():
    exits = scored(EXITS_RIGHT + CLOSES_WRONG).report()["early_exit"]
    assert exits == {"exit_at": 0.9, "exited": 1, "share": 0.5, "mean_used": (0.25 + 1.0) / 2,
                     "accuracy_exited": 1.0, "accuracy_not_exited": 0.0}


def test_a_confident_answer_at_the_very_end_is_no_early_exit():
    exits = scored([decision(0, 100, 0, 0.99, label=0, last=True)]).report()["early_exit"]
    assert (exits["exited"], exits["mean_used"]) == (0, 1.0)


def test_without_exit_at_nothing_exits():
    packets = [decision(0, 100, 0, 0.99, label=0), decision(100, 200, 0, 0.99, label=0, last=True)]
    report = scored(packets, Format("decisions", (3,))).report()
    assert (report["early_exit"]["exited"], report["answer_latency_us"]["p50"]) == (0, 199.0)


def test_the_last_final_decision_is_the_answer_of_a_readout_that_rearms():
    packets = [decision(0, 100, 0, 0.95, label=0), decision(100, 200, 1, 0.95, label=1, last=True)]
    assert scored(packets).report()["accuracy"] == 1.0


def test_decisions_are_counted():
    report = scored(RUN).report()
    assert (report["decisions"], report["decisions_per_episode"]) == (5, 1.25)


def test_a_label_beyond_the_classes_counts_as_wrong_and_is_reported():
    report = scored([decision(0, 100, 0, 0.95, label=7, last=True)]).report()
    assert (report["accuracy"], report["labels_beyond_the_classes"], report["confusion"]) == (0.0, 1, [[0, 0, 0]] * 3)


def test_an_episode_that_still_runs_is_left_out():
    assert scored(EXITS_RIGHT[:2]).report()["episodes"] == 0


@pytest.mark.parametrize("packets", [[], [silence(0, 10, last=True)]], ids=["nothing", "unlabelled silence"])
def test_a_report_of_nothing_has_no_figures(packets):
    report = scored(packets).report()
    assert (report["accuracy"], report["answer_latency_us"], report["early_exit"]["accuracy_exited"]) == (None, None, None)
    json.dumps(report, allow_nan=False)


def test_an_episode_of_no_length_is_used_whole():
    assert scored([Packet(5, 5, value=LEFT_OUT, last=True)]).report()["early_exit"]["mean_used"] == 1.0


@pytest.mark.parametrize("at", range(len(RUN) + 1))
def test_a_resumed_run_has_the_figures_of_an_undisturbed_one(at):
    sink = scored(RUN[:at])
    state = sink.snapshot()
    for packet in RUN[at:]:
        sink.write(packet)
    assert scored(RUN[at:], state=state).report() == scored(RUN).report()


def test_a_snapshot_is_detached():
    sink = scored(RUN[:1])
    taken = sink.snapshot()
    state = {key: array.copy() for key, array in taken.items()}
    for packet in RUN[1:]:
        sink.write(packet)
    assert all(np.array_equal(state[key], taken[key]) for key in state)


def test_the_files_are_written_at_the_end(tmp_path):
    png, report = tmp_path / "new" / "c.png", tmp_path / "other" / "s.json"
    sink = scored(RUN, confusion_png=png, report_json=report)
    assert not png.exists()
    sink.close()
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert json.loads(report.read_text()) == sink.report()


def test_a_picture_of_nothing_is_a_picture(tmp_path):
    scored([], confusion_png=tmp_path / "c.png").close()
    assert (tmp_path / "c.png").stat().st_size > 0


def test_a_picture_without_matplotlib_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("sinks.confusion_picture.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"score: confusion_png needs matplotlib.*pip install 'spikeline\[plot\]'"):
        ScoreConfig(confusion_png=tmp_path / "c.png").prepare(FORMAT, "cam")


def test_without_a_picture_matplotlib_stays_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    scored(RUN).close()


@pytest.mark.parametrize("option", ["confusion_png", "report_json"])
def test_a_path_that_cannot_be_written_is_an_error(tmp_path, option):
    with pytest.raises(OSError, match=r"score: cannot write .*: Is a directory"):
        scored(RUN, **{option: tmp_path}).close()


def test_other_streams_are_refused():
    with pytest.raises(ValueError, match="score takes decisions, got spikes of shape 5: put a readout before it"):
        ScoreConfig().check(Format("spikes", (5,)))


def test_a_report_goes_into_a_pipe_and_does_not_replace_it(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    scored(RUN, report_json=path).close()
    content = os.read(reader, 65536)
    os.close(reader)
    assert path.is_fifo()
    assert json.loads(content)["episodes"] == 4
