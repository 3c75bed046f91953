"""Stages on cores of the user's choice, and a source that leaves its core to them after an episode."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.runner import RunError, run
from pipeline.stage import SourceStage
from pipeline.transport import MemoryLink
from tests.runtime_parts import CountingConfig
from tests.test_runner import graph

linux = pytest.mark.skipif(sys.platform != "linux", reason="cores are chosen on Linux alone")


@linux
@pytest.mark.parametrize("inline", [True, False])
def test_stages_run_on_the_cores_they_are_given_and_nothing_else_does_afterwards(tmp_path: Path, inline: bool) -> None:
    before = os.sched_getaffinity(0)
    core = max(before)
    seen: list[set[int]] = []

    def look(reports: dict[str, dict[str, Any]]) -> None:
        if len(seen) < 4:  # later their processes may be gone
            seen.extend(os.sched_getaffinity(0 if inline else report["pid"]) for report in reports.values())

    slow = CountingConfig(pace=0.02)  # three quarters of a second
    run(graph(tmp_path, source=slow, cpus=[core]), inline=inline, on_update=look)
    assert seen
    assert set(map(frozenset, seen)) == {frozenset({core})}
    assert os.sched_getaffinity(0) == before


@linux
def test_the_results_do_not_depend_on_the_cores(tmp_path: Path) -> None:
    run(graph(tmp_path))
    anywhere = (tmp_path / "lines.txt").read_bytes()
    run(graph(tmp_path, cpus=[min(os.sched_getaffinity(0))]))
    assert (tmp_path / "lines.txt").read_bytes() == anywhere


@linux
def test_a_core_that_is_not_there_is_one_line_that_names_those_that_are(tmp_path: Path) -> None:
    usable = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
    with pytest.raises(RunError, match=f"stages.cpus: core 4095 is not one that this program may run on: choose among {usable},"):
        run(graph(tmp_path, cpus=[4095]))


def test_where_cores_cannot_be_chosen_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with pytest.raises(RunError, match=r"stages.cpus: this operating system does not let a program choose its cores"):
        run(graph(tmp_path, cpus=[0]))


@pytest.mark.parametrize(("pace", "rests"), [(1e6, 2), ("fast", 0)])
def test_a_paced_source_rests_after_each_episode_before_it_opens_the_next(pace: float | str, rests: int) -> None:
    config = CountingConfig(pace=pace, episodes=2, packets=3)
    waits: list[tuple[float, int]] = []
    link = MemoryLink()

    def wait(seconds: float) -> bool:
        waits.append((seconds, link.seq))
        return False

    stage = SourceStage("source", config, link, wait=wait, barrier_due=lambda: -1, save=lambda n, state: None, rest_s=0.25)
    while stage.step():
        pass
    assert [seq for seconds, seq in waits if seconds == 0.25] == [2, 5][:rests]
