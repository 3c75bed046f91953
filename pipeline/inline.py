"""Runs every stage of a graph in this process, on memory links: no sockets, no other process, the same bits."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from typing import Any

from pipeline.assembly import Job, StageMaker, collections_later
from pipeline.cpus import on_cpus
from pipeline.stage import OperatorStage, SinkStage, SourceStage
from pipeline.stop import Stop
from pipeline.transport import MemoryLink

Update = Callable[[dict[str, dict[str, Any]]], None]


def run_inline(job: Job, stop: Stop, on_update: Update | None,
               saved: Callable[[str, int], None]) -> tuple[dict[str, dict[str, Any]], float]:
    """The last report of every stage, and the seconds that start-up took. `stop`: set it to end the stream early."""
    begin_s = time.monotonic()
    maker = StageMaker(job, stop.wait, saved)
    with collections_later():
        stages, links = maker.all_in_memory()
    source, rest = stages[0], stages[1:]
    assert isinstance(source, SourceStage)
    startup_s = time.monotonic() - begin_s
    next_update_s = 0.0
    try:
        with on_cpus(job.graph.stages.cpus):
            while source.step():
                _drain(rest, links)
                if on_update is not None and time.monotonic() >= next_update_s:
                    next_update_s = time.monotonic() + (job.report_every_s or 0.2)
                    on_update(_reports(stages))
            _drain(rest, links)
    finally:
        gc.unfreeze()
        maker.close()
        for stage in stages:
            stage.close()
    reports = _reports(stages)
    if on_update is not None:
        on_update(reports)
    return reports, startup_s


def _drain(stages: list[Any], links: list[MemoryLink]) -> None:
    for stage, link in zip(stages, links, strict=True):
        assert isinstance(stage, OperatorStage | SinkStage)
        while (message := link.receive()) is not None:
            if message != "end":
                stage.handle(message)


def _reports(stages: list[Any]) -> dict[str, dict[str, Any]]:
    return {stage.name: stage.report() | {"name": stage.name, "kind": stage.kind, "pid": os.getpid()} for stage in stages}
