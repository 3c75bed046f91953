"""Checkpoint files: whole or not there, the greatest whole barrier wins, what is damaged is passed over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.checkpoint import BackgroundWriter, CheckpointError, Checkpoints, forget_before, load_state, save_state, write_whole

STAGES = ["source", "operators"]


def begun(tmp_path: Path) -> Checkpoints:
    """A folder that a run has begun, and left."""
    checkpoints = Checkpoints(tmp_path / "c")
    checkpoints.begin("digest", STAGES)
    checkpoints.close()
    return checkpoints


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    first = Checkpoints(tmp_path / "c")
    first.begin("digest", STAGES)
    save_state(first.folder, 0, "source", {})
    for second in (lambda c: c.begin("digest", STAGES), lambda c: c.resume("digest", STAGES)):
        with pytest.raises(CheckpointError, match="another run is using these checkpoints"):
            second(Checkpoints(tmp_path / "c"))
    assert (first.folder / "0").exists()
    first.close()
    Checkpoints(tmp_path / "c").begin("digest", STAGES)


def test_a_folder_that_cannot_be_made_is_said_to_be_that_of_the_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"stages\.checkpoints: cannot use the folder .*: Not a directory; name another"):
        Checkpoints(tmp_path / "file" / "c").begin("digest", STAGES)


def save_all(checkpoints: Checkpoints, barrier: int) -> None:
    for stage in STAGES:
        save_state(checkpoints.folder, barrier, stage, {"v": np.arange(3) + barrier})


def test_a_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    folder = begun(tmp_path).folder
    state = {"v": np.array([0.1, -0.0], np.float32), "n": np.array(7), "empty": np.empty((0, 2), np.uint32)}
    save_state(folder, 0, "source", state)
    loaded = load_state(folder, 0, "source")
    assert {key: (a.tobytes(), a.dtype, a.shape) for key, a in loaded.items()} == {
        key: (a.tobytes(), a.dtype, a.shape) for key, a in state.items()}


def test_the_greatest_barrier_that_all_stages_have_is_resumed(tmp_path: Path) -> None:
    checkpoints = begun(tmp_path)
    save_all(checkpoints, 3)
    save_all(checkpoints, 4)
    save_state(checkpoints.folder, 5, "source", {})
    assert checkpoints.resume("digest", STAGES) == 4
    assert not (checkpoints.folder / "5").exists()


def test_before_the_first_whole_barrier_there_is_none(tmp_path: Path) -> None:
    assert begun(tmp_path).resume("digest", STAGES) == -1


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:50] + bytes([b[50] ^ 1]) + b[51:], lambda b: b""])
@pytest.mark.parametrize("ending", ["npz", "json"])
def test_a_damaged_file_makes_its_barrier_not_whole(tmp_path: Path, damage: object, ending: str) -> None:
    checkpoints = begun(tmp_path)
    save_all(checkpoints, 0)
    save_all(checkpoints, 1)
    path = checkpoints.folder / "1" / f"operators.{ending}"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert checkpoints.resume("digest", STAGES) == 0


@pytest.mark.parametrize(("digest", "stages"), [("other", STAGES), ("digest", ["source", "operators", "sinks"])])
def test_another_graph_is_refused(tmp_path: Path, digest: str, stages: list[str]) -> None:
    with pytest.raises(CheckpointError, match="of another pipeline"):
        begun(tmp_path).resume(digest, stages)


def test_a_folder_without_checkpoints_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoints here"):
        Checkpoints(tmp_path / "nowhere").resume("digest", STAGES)


def test_only_the_last_two_are_kept(tmp_path: Path) -> None:
    checkpoints = begun(tmp_path)
    for barrier in range(4):
        save_all(checkpoints, barrier)
    forget_before(checkpoints.folder, 3)
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["2", "3", "graph.json"]


def test_a_whole_file_replaces_and_leaves_nothing_aside(tmp_path: Path) -> None:
    write_whole(tmp_path / "x", b"old")
    write_whole(tmp_path / "x", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"new")]


def test_a_writer_that_cannot_write_says_so_at_the_latest_when_closed(tmp_path: Path) -> None:
    writer = BackgroundWriter(tmp_path / "gone", "source")
    writer.put(0, {})
    with pytest.raises(CheckpointError, match="cannot write the checkpoint: No such file"):
        writer.close()
