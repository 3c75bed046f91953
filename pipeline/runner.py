"""Runner: starts the stages of a graph, watches them, and stops them; gives back the run's summary."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.assembly import Job, summarise
from pipeline.checkpoint import Checkpoints, forget_before
from pipeline.cpus import check_cpus
from pipeline.graph import Graph, stage_plan
from pipeline.inline import run_inline
from pipeline.processes import run_processes
from pipeline.stage import StageError, describe
from pipeline.stop import Stop

Update = Callable[[dict[str, dict[str, Any]]], None]


class RunError(RuntimeError):
    """A run that failed: one line for a person. `detail` holds the traceback of the stage, if there is one."""

    def __init__(self, line: str, detail: str = "") -> None:
        super().__init__(line)
        self.detail = detail


def run(graph: Graph, *, inline: bool = False, resume: Path | None = None, on_update: Update | None = None) -> dict[str, Any]:
    """Run `graph` to the end of its source and return the summary. RunError if a stage fails.

    inline: all stages in this process (also when the graph says `processes: false`). resume: a checkpoint folder to go on from.
    on_update: called several times a second with the latest report of each stage, by name.
    SIGINT and SIGTERM end the stream: what is under way is finished and written.
    """
    inline = inline or not graph.stages.processes
    reporting = on_update is not None or graph.stages.metrics_port is not None
    stop = Stop()
    try:
        with contextlib.ExitStack() as held, _stopping(stop), _metrics_server(graph, on_update) as update:
            job, saved = _prepare(graph, resume, reporting, held)
            reports, startup_s = (run_inline if inline else run_processes)(job, stop, update, saved)
    except StageError as error:
        line = str(error) if error.at_start else _with_hint(str(error), graph, resume)
        raise RunError(line, error.detail) from error
    except (ValueError, OSError, ImportError) as error:
        raise RunError(describe(error)) from error
    summary = summarise(graph, reports, startup_s)
    return summary | {"inline": inline, "stopped_early": stop.is_set(), "resumed_from": job.resume if resume else None}


def checkpoint_folder(graph: Graph) -> Path:
    """Where the graph's checkpoints go: `stages.checkpoints`, by default `<config>.checkpoints` in the current folder."""
    return Path(graph.stages.checkpoints or f"{graph.path.stem if graph.path else graph.name}.checkpoints")


def _prepare(graph: Graph, resume: Path | None, reporting: bool,
             held: contextlib.ExitStack) -> tuple[Job, Callable[[str, int], None]]:
    """The job, with its checkpoint folder made ready and held, and what to call when a stage has saved a barrier."""
    check_cpus(graph.stages.cpus)
    every_s = graph.stages.checkpoint_every_s
    report_every_s = 0.2 if reporting else None
    names = [plan.name for plan in stage_plan(graph)]
    if resume is None and every_s is None:
        return Job(graph, report_every_s=report_every_s), lambda name, barrier: None
    checkpoints = Checkpoints(resume or checkpoint_folder(graph))
    held.callback(checkpoints.close)
    barrier = -1
    if resume is None:
        checkpoints.begin(graph.digest, names)
    else:
        barrier = checkpoints.resume(graph.digest, names)
    job = Job(graph, checkpoints.folder.absolute(), barrier, every_s, report_every_s=report_every_s)
    return job, _Retention(checkpoints.folder.absolute(), len(names)).saved


class _Retention:
    """Counts which stages have saved a barrier; once all have, barriers long past are removed."""

    def __init__(self, folder: Path, stages: int) -> None:
        self._folder, self._stages = folder, stages
        self._saved: dict[int, int] = {}
        self._lock = threading.Lock()

    def saved(self, name: str, barrier: int) -> None:
        with self._lock:
            self._saved[barrier] = self._saved.get(barrier, 0) + 1
            if self._saved[barrier] == self._stages:
                forget_before(self._folder, barrier)
                self._saved = {n: count for n, count in self._saved.items() if n > barrier}


@contextlib.contextmanager
def _stopping(stop: Stop) -> Iterator[None]:
    """SIGINT and SIGTERM set `stop`; a second one takes its usual course. Elsewhere than in the main thread: nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: object) -> None:
        stop.set()
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _metrics_server(graph: Graph, on_update: Update | None) -> Iterator[Update | None]:
    """Serve the latest reports to Prometheus on loopback while the run goes on, if the graph names a port."""
    if graph.stages.metrics_port is None:
        yield on_update
        return
    from prometheus_client import CollectorRegistry, start_http_server

    from pipeline.metrics import PrometheusCollector

    latest: dict[str, dict[str, Any]] = {}
    registry = CollectorRegistry()
    registry.register(PrometheusCollector(graph.name, latest))
    server, thread = start_http_server(graph.stages.metrics_port, addr="127.0.0.1", registry=registry)

    def update(reports: dict[str, dict[str, Any]]) -> None:
        latest.update(reports)
        if on_update is not None:
            on_update(reports)

    try:
        yield update
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _with_hint(line: str, graph: Graph, resume: Path | None) -> str:
    """The line of a failed run, and how to go on if there are checkpoints."""
    folder = resume or (checkpoint_folder(graph) if graph.stages.checkpoint_every_s is not None else None)
    if folder is None or str(folder) in line or not (folder / "graph.json").exists():
        return line
    return f"{line}; go on with: spikeline run {graph.path or graph.name} --resume {folder}"
