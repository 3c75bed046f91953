"""The program of one stage's process. The runner starts it, tells it its job on stdin, and reads its reports from a pipe.

stdin: the job (a JSON line with the import path, then a pickle), then the lines "go", to end the stream early "stop", and
"leave" once the next stage has all that this one sent: the links stay open until then.
While stdin stays open the runner lives; when it closes before the work is done the process ends at once, so that no stage
outlives its runner. Reports, one JSON object a line: ready, report, saved, done, error.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # the import path must be the runner's before anything else is imported
    import json as _json

    sys.path[:] = _json.loads(sys.stdin.buffer.readline())

import gc
import json
import os
import pickle
import shutil
import signal
import threading
import time
import traceback
from typing import Any

from pipeline.assembly import Job, StageMaker, collections_later
from pipeline.cpus import on_cpus
from pipeline.stage import OperatorStage, SinkStage, SourceStage, StageError, describe
from pipeline.stop import Stop
from pipeline.transport import ZmqInbox

ORPHANED = 3  # the exit code of a process whose runner is gone


def main(pipe: int) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner decides what Ctrl-C means
    length = int(sys.stdin.buffer.readline())
    index, job, ipc_folder = pickle.loads(sys.stdin.buffer.read(length))  # from the runner, this program's own parent
    process = StageProcess(index, job, pipe, ipc_folder)
    try:
        with on_cpus(job.graph.stages.cpus):
            process.run()
    except Exception as error:
        line = str(error) if isinstance(error, StageError) else f"stage {process.name}: {describe(error)}"
        process.tell("error", line=line, traceback=traceback.format_exc())
        return 1
    return 0


class StageProcess:
    """One stage, its links, and the talk with the runner."""

    def __init__(self, index: int, job: Job, pipe: int, ipc_folder: str) -> None:
        self._index, self._job, self._pipe, self._ipc_folder = index, job, pipe, ipc_folder
        self._go, self._stop, self._leave = threading.Event(), Stop(), threading.Event()
        self._words = {b"go": self._go.set, b"stop": self._stop.set, b"leave": self._leave.set}
        self._maker = StageMaker(job, self._stop.wait, lambda name, barrier: self.tell("saved", barrier=barrier))
        self.name = self._maker.plans[index].name
        self._next_report_s = float("inf") if job.report_every_s is None else 0.0
        self._begin_s = 0.0
        self._lock = threading.Lock()

    def run(self) -> None:
        threading.Thread(target=self._listen, name="lifeline", daemon=True).start()
        with collections_later():
            self._stage, self._inbox, self._outbox = self._maker.one_with_sockets(self._index)
        gc.set_threshold(20_000)  # collections are rare: the loop makes no cycles
        self.tell("ready")
        self._go.wait()
        self._begin_s = time.monotonic()
        if isinstance(self._stage, SourceStage):
            signal.signal(signal.SIGTERM, lambda *_: self._stop.set())
            while self._stage.step():
                self._report_if_due()
        elif self._inbox is not None:
            self._receive_all(self._stage, self._inbox)
        if self._outbox is not None:
            self._outbox.end()
        self._maker.close()
        self._stage.close()
        self.tell("done", report=self._report())
        self._leave.wait()
        for link in (self._inbox, self._outbox):
            if link is not None:
                link.close()

    def _receive_all(self, stage: OperatorStage | SinkStage, inbox: ZmqInbox) -> None:
        while (message := inbox.receive()) != "end":
            if message is not None:
                stage.handle(message)
            self._report_if_due()

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            self._words[line.strip()]()
        if not self._leave.is_set():
            shutil.rmtree(self._ipc_folder, ignore_errors=True)
            os._exit(ORPHANED)

    def _report_if_due(self) -> None:
        if self._next_report_s <= time.monotonic():
            self._next_report_s = time.monotonic() + (self._job.report_every_s or 0.0)
            self.tell("report", report=self._report())

    def _report(self) -> dict[str, Any]:
        report = self._stage.report() | {"name": self.name, "kind": self._stage.kind, "pid": os.getpid()}
        waited_s = time.monotonic() - self._begin_s - report["busy_s"] - report["backpressured_s"]
        return report | {"idle_s": round(max(0.0, waited_s), 6)}

    def tell(self, about: str, **content: Any) -> None:
        data = json.dumps({"about": about, **content}).encode() + b"\n"
        with self._lock:
            while data:
                data = data[os.write(self._pipe, data):]


if __name__ == "__main__":
    exit_code = main(int(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)  # the lifeline still reads stdin, whose lock the interpreter's own ending would wait for and abort
