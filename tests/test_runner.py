"""Runs of whole graphs, in one process and in several: equal results, failures that say what failed, nothing left behind."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.assembly import collections_later
from pipeline.config import StagesConfig
from pipeline.graph import Graph, Node, SinkNode
from pipeline.runner import RunError, run
from tests.runtime_parts import CountingConfig, LinesConfig, SummingConfig


def graph(tmp_path: Path, *, source: CountingConfig | None = None, operator: SummingConfig | None = None,
          **stages: object) -> Graph:
    source, operator = source or CountingConfig(), operator or SummingConfig()
    upstream = source.check()
    node = Node("operators[0]", operator, upstream, operator.check(upstream))
    sink = LinesConfig(path=tmp_path / "lines.txt")
    return Graph("test", source, upstream, (node,), (SinkNode("sinks[0]", sink),), node.format, StagesConfig(**stages))


def test_processes_and_inline_write_the_same_bytes(tmp_path: Path) -> None:
    summary = run(graph(tmp_path))
    of_processes = (tmp_path / "lines.txt").read_bytes()
    run(graph(tmp_path), inline=True)
    assert (tmp_path / "lines.txt").read_bytes() == of_processes
    assert len({stage["pid"] for stage in summary["stages"]}) == 3


def test_stage_processes_end_without_a_word(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(graph(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_the_summary_counts_every_packet_and_answer(tmp_path: Path) -> None:
    summary = run(graph(tmp_path), inline=True)
    # units 1..5, 6..10, 11..15 modulo 10: sums 15 odd, 30 even (0 at 10), 15 odd; labels 0, 1, 0
    assert summary["episodes"] == 3
    assert summary["labelled"] == 3
    assert summary["accuracy"] == 0.0
    assert summary["events_in"] == 15
    assert summary["decisions"] == 15
    assert summary["dropped_packets"] == 0
    assert summary["stages"][1]["operators"] == {"operators[0] summing": {"sum": 15 + 30 + 15}}


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_as_it_was_after_a_start_whether_or_not_that_worked(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with collections_later():
            assert not gc.isenabled()
        assert gc.isenabled() == enabled
        assert gc.get_freeze_count() > 0
        with contextlib.suppress(ValueError), collections_later():
            raise ValueError
        assert gc.isenabled() == enabled
    finally:
        gc.unfreeze()
        (gc.enable if before else gc.disable)()


@pytest.mark.parametrize("inline", [True, False])
def test_a_failing_operator_ends_the_run_with_one_line(tmp_path: Path, inline: bool) -> None:
    with pytest.raises(RunError, match=r"stage operators: operators\[0\] summing: packet \[0, 1000\) us of episode 1 "
                                       r"\(6 packets in, 5 out\): ZeroDivisionError: boom"):
        run(graph(tmp_path, operator=SummingConfig(die_in_episode=1)), inline=inline)


def test_a_failing_operator_costs_its_episode_alone_when_asked(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(graph(tmp_path), inline=True)
    healthy = (tmp_path / "lines.txt").read_text().splitlines()
    summary = run(graph(tmp_path, operator=SummingConfig(die_in_episode=1), on_error="skip_episode"), inline=True)
    lines = (tmp_path / "lines.txt").read_text().splitlines()
    assert lines[:5] + lines[10:] == healthy[:5] + healthy[10:]
    assert lines[5:10] == ["1 0 0 [] [] False"] * 4 + ["1 0 5000 [] [] True"]
    assert summary["stages"][1]["skipped_episodes"] == 1
    assert "skipped the rest of episode 1, packet [0, 1000) us: operators[0] summing: ZeroDivisionError" in capfd.readouterr().err


@pytest.mark.parametrize("inline", [True, False])
def test_a_failing_source_says_how_far_it_came(tmp_path: Path, inline: bool) -> None:
    with pytest.raises(RunError, match=r"stage source: after 7 packets .*: the sensor was unplugged; plug it in again"):
        run(graph(tmp_path, source=CountingConfig(crash_at=7)), inline=inline)


def test_a_hole_between_two_packets_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="a packet begins at 3500 us where one at 3000 us was due"):
        run(graph(tmp_path, source=CountingConfig(skip_at=3)), inline=True)


def test_a_killed_stage_ends_the_run_and_names_the_signal(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"stage operators: its process \(pid \d+\) was killed by SIGKILL"):
        run(graph(tmp_path, operator=SummingConfig(die_in_episode=1, die_how="kill")))


@pytest.mark.parametrize("inline", [(True, True), (False, False), (False, True), (True, False)])
@pytest.mark.parametrize("fault", ["source", "operator", "kill"])
def test_a_resumed_run_ends_with_the_bytes_of_an_undisturbed_one(tmp_path: Path, inline: tuple[bool, bool], fault: str) -> None:
    run(graph(tmp_path), inline=True)
    undisturbed = (tmp_path / "lines.txt").read_bytes()
    if fault == "kill" and inline[0]:
        pytest.skip("it would kill this process")
    (tmp_path / "fault").touch()
    source = CountingConfig(crash_at=8 if fault == "source" else None, fault=tmp_path / "fault")
    operator = SummingConfig(die_in_episode=None if fault == "source" else 1, die_how="kill" if fault == "kill" else "raise",
                             fault=tmp_path / "fault")
    broken = graph(tmp_path, source=source, operator=operator, checkpoint_every_s=1e-9, checkpoints=tmp_path / "checkpoints")
    with pytest.raises(RunError, match="go on with: spikeline run test --resume"):
        run(broken, inline=inline[0])
    assert (tmp_path / "lines.txt").read_bytes() != undisturbed
    (tmp_path / "fault").unlink()
    summary = run(broken, inline=inline[1], resume=tmp_path / "checkpoints")
    assert (tmp_path / "lines.txt").read_bytes() == undisturbed
    assert (summary["episodes"], summary["decisions"], summary["events_in"]) == (3, 15, 15)
    assert summary["stages"][1]["operators"] == {"operators[0] summing": {"sum": 60}}


def test_at_most_two_checkpoints_stay(tmp_path: Path) -> None:
    run(graph(tmp_path, checkpoint_every_s=1e-9, checkpoints=tmp_path / "c"), inline=True)
    assert sorted(int(entry.name) for entry in (tmp_path / "c").iterdir() if entry.is_dir()) == [13, 14]


def test_a_new_run_forgets_old_checkpoints(tmp_path: Path) -> None:
    stages = {"checkpoint_every_s": 1e-9, "checkpoints": tmp_path / "c"}
    run(graph(tmp_path, **stages), inline=True)
    run(graph(tmp_path, source=CountingConfig(episodes=1), **stages), inline=True)
    assert sorted(entry.name for entry in (tmp_path / "c").iterdir()) == ["3", "4", "graph.json"]


def test_checkpoints_of_another_pipeline_are_refused(tmp_path: Path) -> None:
    stages = {"checkpoint_every_s": 1e-9, "checkpoints": tmp_path / "c"}
    run(graph(tmp_path, **stages), inline=True)
    with pytest.raises(RunError, match="the checkpoints are of another pipeline"):
        run(graph(tmp_path, source=CountingConfig(episodes=4), **stages), inline=True, resume=tmp_path / "c")


def test_a_folder_with_other_files_is_not_taken_for_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(RunError, match="holds other files than checkpoints"):
        run(graph(tmp_path, checkpoint_every_s=1.0, checkpoints=tmp_path), inline=True)


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "fault").touch()
    source = CountingConfig(crash_at=8, fault=tmp_path / "fault")
    broken = graph(tmp_path, source=source, checkpoint_every_s=1e-9, checkpoints=tmp_path / "c")
    with pytest.raises(RunError):
        run(broken, inline=True)
    newest = tmp_path / "c" / "7" / "operators.npz"
    newest.write_bytes(newest.read_bytes()[:-1])
    (tmp_path / "fault").unlink()
    assert run(broken, inline=True, resume=tmp_path / "c")["resumed_from"] == 6


def test_a_source_that_is_long_done_loses_nothing_on_the_way_to_a_slow_stage(tmp_path: Path) -> None:
    source, operator = CountingConfig(episodes=1, packets=500), SummingConfig(work_ms=1)
    summary = run(graph(tmp_path, source=source, operator=operator, high_water=1))
    assert (summary["decisions"], summary["dropped_packets"]) == (500, 0)


def test_realtime_hands_out_no_packet_before_it_is_due(tmp_path: Path) -> None:
    source = CountingConfig(episodes=2, packets=20, pace="realtime", gap_ms=10)
    begin_s = time.monotonic()
    summary = run(graph(tmp_path, source=source), inline=True)
    assert time.monotonic() - begin_s >= 0.050
    assert summary["drift_ms"]["max"] >= summary["drift_ms"]["p50"] > 0


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[2]]
from pipeline.runner import run
from tests.runtime_parts import *
from tests.test_runner import graph
if __name__ == "__main__":
    summary = run(graph(Path(sys.argv[1]), source=CountingConfig(episodes=1000, pace="realtime")), inline=sys.argv[3] == "inline")
    print(summary["stopped_early"], summary["episodes"], summary["dropped_packets"])
"""


def _start(tmp_path: Path, how: str) -> subprocess.Popen[str]:
    """A run of 5 s in a process of its own, which has begun to write."""
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path), str(Path(__file__).parents[1]), how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    deadline_s = time.monotonic() + 60
    lines = tmp_path / "lines.txt"
    while not (lines.exists() and lines.stat().st_size) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("how", ["inline", "processes"])
def test_a_signal_ends_the_stream_and_what_is_under_way_is_written(tmp_path: Path, how: str, number: signal.Signals) -> None:
    process = _start(tmp_path, how)
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    stopped, episodes, dropped = out.split()
    lines = (tmp_path / "lines.txt").read_text().splitlines()
    assert (stopped, dropped) == ("True", "0")
    assert lines[-1].endswith("True")
    assert sum(line.endswith("True") for line in lines) == int(episodes) < 1000


def _children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see processes")
def test_killing_the_runner_leaves_no_process(tmp_path: Path) -> None:
    process = _start(tmp_path, "processes")
    children = _children(process.pid)
    assert len(children) == 3
    process.kill()
    process.communicate()
    deadline_s = time.monotonic() + 2
    while any(_alive(child) for child in children) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert not any(_alive(child) for child in children)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see processes")
@pytest.mark.parametrize("victim", [0, 1, 2])
def test_killing_any_stage_ends_the_run_and_the_others(tmp_path: Path, victim: int) -> None:
    process = _start(tmp_path, "processes")
    children = _children(process.pid)
    os.kill(children[victim], signal.SIGKILL)
    process.communicate(timeout=10)
    assert process.returncode != 0
    assert not any(_alive(child) for child in children)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
