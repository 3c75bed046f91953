"""From a graph to stages with their links: what one process, or one of several, needs to make its stage."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pipeline.checkpoint import BackgroundWriter, load_state
from pipeline.contract import State
from pipeline.graph import Graph, stage_plan
from pipeline.stage import OperatorStage, SinkStage, SourceStage, link_seqs
from pipeline.transport import MemoryLink, Outbox, ZmqInbox, ZmqOutbox

REST_S = 0.001  # a last decision is through by then
Stage: TypeAlias = SourceStage | OperatorStage | SinkStage


@dataclass(frozen=True)
class Job:
    """What every stage of a run needs to know. It travels to the stages' processes.

    checkpoints: the folder, or None. resume: the barrier to go on from, -1 to start anew. every_s: seconds between barriers,
    or None. endpoints: one for each link between neighbours, empty in one process.
    """

    graph: Graph
    checkpoints: Path | None = None
    resume: int = -1
    every_s: float | None = None
    endpoints: tuple[str, ...] = ()
    report_every_s: float | None = None

    def state_of(self, name: str) -> State | None:
        return None if self.resume < 0 or self.checkpoints is None else load_state(self.checkpoints, self.resume, name)


class BarrierClock:
    """Says when the next barrier is due. every_s: seconds between two, None: never. first: the number of the first."""

    def __init__(self, every_s: float | None, first: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._next, self._clock = every_s, first, clock
        self._since_s = clock()

    def due(self) -> int:
        """The number of the barrier to inject now, or -1."""
        if self._every_s is None or self._clock() - self._since_s < self._every_s:
            return -1
        self._since_s = self._clock()
        self._next += 1
        return self._next - 1


class StageMaker:
    """Makes the stages of a job, each with the writer of its snapshots.

    saved(stage name, barrier): called, from another thread, when a snapshot is on disk.
    """

    def __init__(self, job: Job, wait: Callable[[float], bool], saved: Callable[[str, int], None]) -> None:
        self.job, self._wait, self._saved = job, wait, saved
        self.plans = stage_plan(job.graph)
        self.writers: list[BackgroundWriter] = []

    def make(self, index: int, outbox: Outbox | None, state: State | None) -> Stage:
        graph, plan, save = self.job.graph, self.plans[index], self._saver(self.plans[index].name)
        if plan.kind == "source":
            assert outbox is not None
            barriers = BarrierClock(self.job.every_s, self.job.resume + 1)
            return SourceStage(plan.name, graph.source, outbox, wait=self._wait, barrier_due=barriers.due, save=save,
                               rest_s=REST_S if self.job.endpoints else 0.0, state=state)
        if plan.kind == "operators":
            assert outbox is not None
            nodes = [(node.config, node.upstream) for node in plan.operators]
            skip = graph.stages.on_error == "skip_episode"
            return OperatorStage(plan.name, nodes, plan.operators[-1].format, outbox, save=save, skip_episodes=skip, state=state)
        return SinkStage(plan.name, [node.config for node in graph.sinks], graph.format, graph.name, save=save, state=state)

    def all_in_memory(self) -> tuple[list[Stage], list[MemoryLink]]:
        """Every stage, and the links between neighbours."""
        states = [self.job.state_of(plan.name) for plan in self.plans]
        links = [MemoryLink(link_seqs(state)[1]) for state in states[:-1]]
        return [self.make(i, links[i] if i < len(links) else None, state) for i, state in enumerate(states)], links

    def one_with_sockets(self, index: int) -> tuple[Stage, ZmqInbox | None, ZmqOutbox | None]:
        """The stage of one process and its ends of the links. The inbox is bound before anything slow happens."""
        graph, high_water = self.job.graph, self.job.graph.stages.high_water
        state = self.job.state_of(self.plans[index].name)
        received, sent = link_seqs(state)
        inbox = outbox = None
        upstream = self.plans[index].upstream
        if upstream is not None:
            inbox = ZmqInbox(self.job.endpoints[index - 1], graph.name, upstream, received, high_water, trusted=True)
        if index < len(self.plans) - 1:
            stages: list[Stage] = []  # filled below: a wait is booked on the stage that the link belongs to
            outbox = ZmqOutbox(self.job.endpoints[index], graph.name, sent, high_water,
                               waited=lambda seconds: _book_wait(stages, seconds))
            stages.append(stage := self.make(index, outbox, state))
            return stage, inbox, outbox
        return self.make(index, outbox, state), inbox, outbox

    def _saver(self, name: str) -> Callable[[int, State], None]:
        if self.job.checkpoints is None:
            return lambda barrier, state: None
        writer = BackgroundWriter(self.job.checkpoints, name, lambda barrier: self._saved(name, barrier))
        self.writers.append(writer)
        return writer.put

    def close(self) -> None:
        """Wait until every snapshot is on disk."""
        for writer in self.writers:
            writer.close()


@contextlib.contextmanager
def collections_later() -> Iterator[None]:
    """Start-up without the garbage collector, which would look through all that it loads again and again (a tenth of its time).

    At the end everything that lives is frozen: later collections do not look at it, and stay short.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()


def _book_wait(stages: list[Stage], seconds: float) -> None:
    for stage in stages:
        stage.metrics.blocked_s += seconds


def summarise(graph: Graph, reports: dict[str, dict[str, Any]], startup_s: float) -> dict[str, Any]:
    """The run's summary from the last report of every stage.

    wall_s runs from the first packet handed out to the last write; rates count what this run itself handed out, where the
    counts of a resumed run go on from those of the run before.
    """
    ordered = [reports[plan.name] | {"name": plan.name} for plan in stage_plan(graph)]
    source, sinks = ordered[0], ordered[-1]
    wall_s = max(0.0, (sinks["last_ns"] - source["first_ns"]) / 1e9) if source["first_ns"] and sinks["last_ns"] else 0.0
    labelled, correct = sinks["labelled"], sinks["correct"]
    hidden = ("first_ns", "last_ns", "decision", "events_here", "stream_s_here")
    return {
        "pipeline": graph.name,
        "episodes": sinks["episodes"],
        "labelled": labelled,
        "accuracy": correct / labelled if labelled else None,
        "events_in": source["events_in"],
        "decisions": sinks["decisions"],
        "stream_s": round(source["stream_s"], 6),
        "startup_s": round(startup_s, 3),
        "wall_s": round(wall_s, 6),
        "events_per_s": round(source["events_here"] / wall_s, 1) if wall_s else None,
        "realtime_factor": round(source["stream_s_here"] / wall_s, 3) if wall_s else None,
        "drift_ms": source.get("drift_ms"),
        "latency_us": sinks["latency_us"],
        "dropped_packets": source["packets_out"] - sinks["packets_in"],
        "lost": source["lost"],
        "stages": [{key: value for key, value in report.items() if key not in hidden} for report in ordered],
    }
