"""Decisions and labels in; accuracy, confusion matrix, latency and early-exit figures out."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, Sink, SinkConfig, State
from pipeline.packet import Decision, Format, Packet, decisions
from sinks.decisions_only import needs_decisions


class ScoreConfig(SinkConfig):
    """Compares the answer of every episode with its label: accuracy, confusion matrix, recall, latency, early exits.

    In: decisions of any shape. An episode's answer is its final decision (the last one, where the readout rearms).
    accuracy = episodes answered rightly / labelled episodes; a labelled episode without an answer counts as wrong.
    latency = t_us of the answer - begin of the episode, us of stream time. An episode exited if its answer came before its end
    because the confidence reached the readout's exit_at; used = (t_us + 1 - begin) / duration, 0..1, is 1 without an answer.
    The figures go into the run's summary; those of an episode that is still running are left out.

    Guarantee: the files are written when the run ends; a run that resumes carries the counts of the checkpoint on.
    Errors: confusion_png without matplotlib; a path that cannot be written.

    Example: {type: score, confusion_png: out/confusion.png, report_json: out/score.json}
    """

    type: Literal["score"] = "score"
    confusion_png: FilePath | None = Field(None, description="picture of the confusion matrix, written at the end")
    report_json: FilePath | None = Field(None, description="file of all figures as JSON, written at the end")

    def check(self, upstream: Format) -> None:
        needs_decisions("score", upstream)

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        self.check(upstream)
        if self.confusion_png is not None:
            from sinks.confusion_picture import needs_matplotlib

            needs_matplotlib("score: confusion_png")
        for path in (self.confusion_png, self.report_json):
            if path is not None:
                _make_folder(path)
        return lambda state: Score(self, upstream, state)


class Episode(NamedTuple):
    """What is kept of an episode that is over: six whole numbers."""

    label: int  # -1: not known
    answer: int  # class index, -1: none
    latency_us: int  # of the answer; meaningless without one
    duration_us: int
    exited: int  # 1: the answer came early because it was confident enough
    decisions: int


class Score:
    """Watches decisions and keeps one row an episode; every figure is computed from the rows when asked for."""

    def __init__(self, config: ScoreConfig, format: Format, state: State | None) -> None:
        self.config = config
        self.format = format
        self.rows = array("q")  # of the episodes that are over, one Episode after another
        self.begin_us: int | None = None  # of the running episode
        self.decisions = 0  # of the running episode
        self.answer: tuple[int, int, bool] | None = None  # of the running episode: class, t_us, confident enough to exit
        if state is not None:
            self._restore(state)

    def write(self, packet: Packet) -> None:
        if self.begin_us is None:
            self.begin_us = packet.begin_us
        if packet.n:
            for decision in decisions(packet, self.format):
                self.decisions += 1
                if decision.final:
                    self.answer = (decision.index, decision.t_us, self._confident(decision))
        if packet.last:
            self.rows.extend(self._over(packet, self.begin_us))
            self.begin_us, self.decisions, self.answer = None, 0, None

    def snapshot(self) -> State:
        begin = () if self.begin_us is None else (self.begin_us,)
        return {"rows": np.array(self.rows, np.int64), "begin_us": np.array(begin, np.int64),
                "decisions": np.array(self.decisions, np.int64), "answer": np.array(self.answer or (), np.int64)}

    def report(self) -> dict[str, Any]:
        """All figures, as JSON values; None where there is nothing to count. Rows of `confusion` are the true classes."""
        return figures(np.array(self.rows, np.int64).reshape(-1, len(Episode._fields)), self.format)

    def close(self) -> None:
        report = self.report()
        if self.config.report_json is not None:
            _write_json(self.config.report_json, report)
        if self.config.confusion_png is not None:
            from sinks.confusion_picture import save_confusion

            try:
                save_confusion(self.config.confusion_png, np.array(report["confusion"]), report["names"], report["accuracy"])
            except OSError as error:
                raise _unwritable(self.config.confusion_png, error) from None

    def _confident(self, decision: Decision) -> bool:
        exit_at = self.format.exit_at
        return exit_at is not None and bool(decision.confidence >= np.float32(exit_at))

    def _over(self, packet: Packet, begin_us: int) -> Episode:
        index, t_us, confident = self.answer or (-1, begin_us, False)
        exited = confident and t_us + 1 < packet.end_us
        return Episode(packet.label, index, t_us - begin_us, packet.end_us - begin_us, int(exited), self.decisions)

    def _restore(self, state: State) -> None:
        self.rows.frombytes(np.ascontiguousarray(state["rows"], np.int64).tobytes())
        self.decisions = int(state["decisions"])
        self.begin_us = int(state["begin_us"][0]) if state["begin_us"].size else None
        if state["answer"].size:
            index, t_us, confident = state["answer"].tolist()
            self.answer = (index, t_us, bool(confident))


def figures(rows: np.ndarray, format: Format) -> dict[str, Any]:
    """The figures of episodes. rows (episodes, 6) int64, the fields of `Episode` in order."""
    label, answer, latency_us, duration_us, exited, made = rows.T
    labelled, answered, right = label >= 0, answer >= 0, (label >= 0) & (label == answer)
    confusion, unanswered = count_confusion(label, answer, format.size)
    truths = confusion.sum(axis=1) + unanswered
    names = list(format.names) or [str(index) for index in range(format.size)]
    return {
        "episodes": len(rows),
        "labelled": int(labelled.sum()),
        "correct": int(right.sum()),
        "accuracy": _share(right, labelled),
        "unanswered": int((~answered).sum()),
        "decisions": int(made.sum()),
        "decisions_per_episode": float(made.mean()) if len(rows) else None,
        "answer_latency_us": _quantiles(latency_us[answered]),
        "early_exit": _early_exit(format, labelled, right, exited == 1, _used(answered, latency_us, duration_us)),
        "names": names,
        "recall": {name: float(confusion[i, i] / truths[i]) if truths[i] else None for i, name in enumerate(names)},
        "confusion": confusion.tolist(),
        "unanswered_by_class": unanswered.tolist(),
        "labels_beyond_the_classes": int((label >= format.size).sum()),
    }


def count_confusion(label: np.ndarray, answer: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(classes, classes) counts of [true class, answer], and (classes,) of labelled episodes without an answer."""
    known = (label >= 0) & (label < classes)
    pairs = known & (answer >= 0)
    confusion = np.bincount(label[pairs] * classes + answer[pairs], minlength=classes * classes).reshape(classes, classes)
    return confusion, np.bincount(label[known & (answer < 0)], minlength=classes)


def _early_exit(format: Format, labelled: np.ndarray, right: np.ndarray, exited: np.ndarray, used: np.ndarray) -> dict[str, Any]:
    n = len(used)
    return {
        "exit_at": format.exit_at,
        "exited": int(exited.sum()),
        "share": float(exited.mean()) if n else None,
        "mean_used": float(used.mean()) if n else None,
        "accuracy_exited": _share(right & exited, labelled & exited),
        "accuracy_not_exited": _share(right & ~exited, labelled & ~exited),
    }


def _used(answered: np.ndarray, latency_us: np.ndarray, duration_us: np.ndarray) -> np.ndarray:
    """The share of each episode's duration that its answer took; 1 without an answer."""
    return np.where(answered & (duration_us > 0), (latency_us + 1) / np.maximum(duration_us, 1), 1.0)


def _share(part: np.ndarray, whole: np.ndarray) -> float | None:
    return float(part.sum() / whole.sum()) if whole.any() else None


def _quantiles(latency_us: np.ndarray) -> dict[str, float] | None:
    if not latency_us.size:
        return None
    p50, p90 = np.quantile(latency_us, [0.5, 0.9])
    return {"p50": float(p50), "p90": float(p90), "max": float(latency_us.max())}


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from None


def _write_json(path: Path, report: dict[str, Any]) -> None:
    """All at once: a crash leaves the old file or the new one. A pipe or a device is written to, never replaced."""
    special = path.exists() and not path.is_file()
    temporary = path if special else path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if not special:
            os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> OSError:
    return OSError(error.errno, f"score: cannot write {path}: {error.strerror}; choose another path or correct this one")
