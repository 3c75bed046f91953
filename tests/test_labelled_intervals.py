"""labelled_intervals: DVS128 Gesture in its own layout, each labelled interval an episode; what is wrong with a table is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.packet import Format, Packet
from sources.labelled_intervals import LabelledIntervalsConfig
from tests.writers_samples import write_gestures

NAMES = ("hand_clapping", "right_hand_wave", "left_hand_wave")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """user01: an event each ms from 100 ms on at x = its number; user02 later, with one gesture; the files beside them."""
    events = [(100_000 + 1000 * i, i, 5, 1) for i in range(60)]
    write_gestures(tmp_path, "user01_natural", events, [(2, 102_000, 105_000), (1, 110_500, 120_000), (3, 158_000, 170_000)])
    write_gestures(tmp_path, "user02_led", [(7_000, 9, 9, 0)], [(1, 6_000, 8_000)])
    (tmp_path / "trials_to_train.txt").write_text("user01_natural.aedat\n")
    (tmp_path / "trials_to_test.txt").write_text("user02_led.aedat\n")
    (tmp_path / "gesture_mapping.csv").write_text("action,label\nhand_clapping,1\n")
    return tmp_path


def episodes(folder: Path, **options: Any) -> list[Packet]:
    return list(LabelledIntervalsConfig(path=folder, packet_ms=1000, **options).prepare()(None).packets())


def test_each_interval_is_an_episode_that_begins_at_zero_and_ends_where_it_is_labelled(folder: Path) -> None:
    found = episodes(folder)
    assert [(p.episode, p.label, p.begin_us, p.end_us, p.last) for p in found] == [
        (0, 1, 0, 3000, True), (1, 0, 0, 9500, True), (2, 2, 0, 12_000, True), (3, 0, 0, 2000, True)]
    assert found[0].t_us.tolist() == [0, 1000, 2000]  # the end is not inside
    assert (found[0].unit % 128).tolist() == [2, 3, 4]
    assert found[1].t_us.tolist() == [500 + 1000 * i for i in range(9)]
    assert found[2].t_us.tolist() == [0, 1000]  # the recording ends before the interval does
    assert found[3].t_us.tolist() == [1000]


def test_classes_are_those_of_the_tables_or_are_named(folder: Path) -> None:
    assert LabelledIntervalsConfig(path=folder).check() == Format("spikes", (2, 128, 128), names=("1", "2", "3"))
    named = LabelledIntervalsConfig(path=folder, classes=NAMES, listed_in=folder / "trials_to_test.txt")
    assert named.check().names == NAMES
    assert [p.label for p in episodes(folder, classes=NAMES)] == [1, 0, 2, 0]


def test_a_list_says_which_recordings_are_read(folder: Path) -> None:
    assert len(episodes(folder, listed_in=folder / "trials_to_train.txt")) == 3
    assert len(episodes(folder, listed_in=folder / "trials_to_test.txt")) == 1
    assert [p.end_us for p in episodes(folder, files="user02*.aedat", end_ms=5)] == [5000]


@pytest.mark.parametrize(("change", "options", "wanted"), [
    ("class,start,end\n1,2,3\n", {}, r"labels\.csv: wanted a header with class, startTime_usec, endTime_usec, got class"),
    ("class,startTime_usec,endTime_usec\n1,8,8\n", {}, r"user02_led_labels\.csv:2: wanted a class and two whole times"),
    ("class,startTime_usec,endTime_usec\n1,5,x\n", {}, r"labels\.csv:2: wanted a class and two whole times.*got 1, 5, x"),
    ("class,startTime_usec,endTime_usec\n1,5\n", {}, r"labels\.csv:2: wanted a class"),
    ("class,startTime_usec,endTime_usec\n9,5,6\n", {"classes": NAMES}, r"labels\.csv:2: class 9 is none of hand_clapping"),
    (None, {}, r"user02_led\.aedat: no table of labels user02_led_labels\.csv beside it"),
    ("class,startTime_usec,endTime_usec\n", {"files": "user02*.aedat"}, "no table of its recordings holds an interval"),
])
def test_what_is_wrong_with_a_table_is_said_with_its_line(
    folder: Path, change: str | None, options: dict[str, Any], wanted: str,
) -> None:  # fmt: skip
    table = folder / "user02_led_labels.csv"
    table.write_text(change) if change is not None else table.unlink()
    options = {"files": "*.aedat"} | options
    with pytest.raises(ValueError, match=wanted):
        LabelledIntervalsConfig(path=folder, **options).check()


def test_what_is_missing_is_said(folder: Path) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        LabelledIntervalsConfig(path=folder / "none").check()
    with pytest.raises(ValueError, match=r"none\.txt: no such list"):
        LabelledIntervalsConfig(path=folder, listed_in=folder / "none.txt").check()
    (folder / "trials_to_test.txt").write_text("user03_led.aedat\n")
    with pytest.raises(ValueError, match=r"user03_led\.aedat: no table"):
        LabelledIntervalsConfig(path=folder, listed_in=folder / "trials_to_test.txt").check()
    with pytest.raises(ValueError, match="names no recording that matches"):
        LabelledIntervalsConfig(path=folder, files="*.raw").check()
