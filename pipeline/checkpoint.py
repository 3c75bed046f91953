"""Checkpoints: the State of every stage at one barrier, in files that are whole or not there.

DIR/graph.json           names the graph (its digest) and its stages
DIR/<n>/<stage>.npz      the stage's State after barrier n: written aside, synced, renamed
DIR/<n>/<stage>.json     its size and sha256, written after it: the proof that it is whole

Barrier n is whole when every stage named in graph.json has both files and they agree. The last two barriers are kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import queue
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.contract import State

VERSION = 1
KEPT = 2


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: where, why, what to do."""


class Checkpoints:
    """The checkpoint folder as the runner sees it. From `begin` or `resume` until `close` it is this run's alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = -1

    def begin(self, digest: str, stages: list[str]) -> None:
        """Make the folder ready for a new run: what an earlier run left in it is removed, what is not ours is refused."""
        try:
            if self.folder.exists() and any(self.folder.iterdir()) and not (self.folder / "graph.json").exists():
                raise CheckpointError(f"{self.folder}: holds other files than checkpoints; "
                                      "give stages.checkpoints another folder")
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"stages.checkpoints: cannot use the folder {self.folder}: {error.strerror}; "
                                  "name another, or take none (checkpoint_every_s: null)") from None
        self._take()
        for barrier in self._barriers():
            shutil.rmtree(self.folder / str(barrier))
        text = json.dumps({"version": VERSION, "digest": digest, "stages": stages}, indent=1)
        write_whole(self.folder / "graph.json", text.encode())

    def resume(self, digest: str, stages: list[str]) -> int:
        """The greatest whole barrier of an equal graph, -1 if there is none yet. Later, incomplete ones are removed."""
        try:
            graph = json.loads((self.folder / "graph.json").read_text())
        except FileNotFoundError:
            raise CheckpointError(f"{self.folder}: no checkpoints here; give the folder named by stages.checkpoints") from None
        except ValueError:
            raise CheckpointError(f"{self.folder}/graph.json: damaged; start anew without --resume") from None
        if graph.get("version") != VERSION:
            raise CheckpointError(f"{self.folder}: checkpoints of version {graph.get('version')}, this spikeline reads {VERSION}")
        self._take()
        if graph["digest"] != digest or graph["stages"] != stages:
            raise CheckpointError(f"{self.folder}: the checkpoints are of another pipeline (source, operators, sinks, a model "
                                  "or the division into stages has changed); undo the change, or start anew without --resume")
        whole = max((n for n in self._barriers() if self._is_whole(n, stages)), default=-1)
        for barrier in self._barriers():
            if barrier > whole:
                shutil.rmtree(self.folder / str(barrier))
        return whole

    def close(self) -> None:
        """Let other runs have the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _take(self) -> None:
        """Keep other runs out: barriers of two runs in one folder would be mixed. The lock goes with this process."""
        self._lock = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise CheckpointError(f"{self.folder}: another run is using these checkpoints; wait for it, or give "
                                  "stages.checkpoints another folder") from None

    def _barriers(self) -> list[int]:
        return sorted(int(entry.name) for entry in self.folder.iterdir() if entry.is_dir() and entry.name.isdecimal())

    def _is_whole(self, barrier: int, stages: list[str]) -> bool:
        try:
            return all(_read_proven(self.folder / str(barrier), stage) is not None for stage in stages)
        except CheckpointError:
            return False


def load_state(folder: Path, barrier: int, stage: str) -> State:
    """The State of a stage at a barrier."""
    content = _read_proven(folder / str(barrier), stage)
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def save_state(folder: Path, barrier: int, stage: str, state: State) -> None:
    """Write a stage's State at a barrier, and remove this stage's files of barriers that are no longer needed."""
    buffer = io.BytesIO()
    np.savez(buffer, **state)  # type: ignore[arg-type]
    content = buffer.getvalue()
    place = folder / str(barrier)
    place.mkdir(exist_ok=True)
    write_whole(place / f"{stage}.npz", content)
    proof = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    write_whole(place / f"{stage}.json", json.dumps(proof).encode())


def forget_before(folder: Path, barrier: int) -> None:
    """Remove all but the last two whole barriers; `barrier` is known to be whole."""
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name.isdecimal() and int(entry.name) <= barrier - KEPT:
            shutil.rmtree(entry, ignore_errors=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that after a crash it is whole or not there: write aside, sync, rename, sync the folder."""
    aside = path.with_name(path.name + ".tmp")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class BackgroundWriter:
    """Writes a stage's snapshots in a thread of its own, so that a slow disk delays no packet.

    saved(barrier) is called from that thread after each. A failure to write is raised by the next `put`, or by `close`.
    """

    def __init__(self, folder: Path, stage: str, saved: Any = lambda barrier: None) -> None:
        self._folder, self._stage, self._saved = folder, stage, saved
        self._queue: queue.SimpleQueue[tuple[int, State] | None] = queue.SimpleQueue()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._work, name="checkpoint", daemon=True)
        self._thread.start()

    def put(self, barrier: int, state: State) -> None:
        self._raise()
        self._queue.put((barrier, state))

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise CheckpointError(f"{self._folder}: cannot write the checkpoint: {self._error.strerror or self._error}")

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                save_state(self._folder, item[0], self._stage, item[1])
                self._saved(item[0])
            except OSError as error:
                self._error = error
                return


def _read_proven(place: Path, stage: str) -> bytes:
    try:
        proof = json.loads((place / f"{stage}.json").read_text())
        content = (place / f"{stage}.npz").read_bytes()
    except (OSError, ValueError):
        raise CheckpointError(f"{place}: the snapshot of stage {stage} is missing or damaged") from None
    if proof != {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}:
        raise CheckpointError(f"{place}: the snapshot of stage {stage} is damaged")
    return content
