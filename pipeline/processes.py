"""Runs every stage of a graph in a process of its own, joined by ZeroMQ over ipc, and watches them.

Processes are spawned, never forked. Each holds the reading end of a pipe from here and ends when that closes; here, the end of
a process's report pipe tells at once that it is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from typing import IO, Any

import pipeline.stage_process
from pipeline.assembly import Job
from pipeline.graph import stage_plan
from pipeline.stage import StageError
from pipeline.stop import Stop

Update = Callable[[dict[str, dict[str, Any]]], None]


def run_processes(job: Job, stop: Stop, on_update: Update | None,
                  saved: Callable[[str, int], None]) -> tuple[dict[str, dict[str, Any]], float]:
    """The last report of every stage, and the seconds that start-up took. StageError if one fails or dies.

    While a live view is drawn on the terminal (on_update), what stages print there is passed on by this process, line by line:
    two writers would spoil each other's lines.
    """
    begin_s = time.monotonic()
    folder = tempfile.mkdtemp(prefix="spikeline-")  # for this user alone (mode 0700)
    names = [plan.name for plan in stage_plan(job.graph)]
    job = replace(job, endpoints=tuple(f"ipc://{folder}/{i}" for i in range(len(names) - 1)))
    children: list[_Child] = []
    try:
        relay = on_update is not None and sys.stdout.isatty()
        children = [_Child(name, index, job, folder, relay) for index, name in enumerate(names)]
        watch = _Watch(children, stop, on_update, saved)
        try:
            watch.until(lambda: all(child.ready for child in children))
        except StageError as error:
            error.at_start = True
            raise
        startup_s = time.monotonic() - begin_s
        for child in reversed(children):
            child.say("go")
        # What a closed socket still holds is lost if its receiver is at its high-water mark: a stage may close its links only
        # when the one behind it has received the end, so they leave in reverse.
        for child in reversed(children):
            watch.until(lambda child=child: child.done)  # type: ignore[misc]
            child.say("leave")
        watch.until(lambda: all(child.ended for child in children))
        return {child.name: child.report for child in children}, startup_s
    finally:
        for child in children:
            child.close()
        shutil.rmtree(folder, ignore_errors=True)


class _Child:
    """One stage's process, its lifeline and its report pipe."""

    def __init__(self, name: str, index: int, job: Job, folder: str, relay: bool) -> None:
        self.name = name
        self.ready = self.done = self.ended = False
        self.report: dict[str, Any] = {}
        reading, writing = os.pipe()
        program = [sys.executable, "-P", str(pipeline.stage_process.__file__), str(writing)]
        self.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE if relay else None,
                                        pass_fds=(writing,), process_group=0)
        if self.process.stdout is not None:
            os.set_blocking(self.process.stdout.fileno(), False)
        self._printed = b""
        os.close(writing)
        os.set_blocking(reading, False)
        self.pipe: IO[bytes] = os.fdopen(reading, "rb", buffering=0)
        self._pending = b""
        content = pickle.dumps((index, job, folder))
        self._write(json.dumps(sys.path).encode() + b"\n" + str(len(content)).encode() + b"\n" + content)

    def say(self, word: str) -> None:
        self._write(word.encode() + b"\n")

    def _write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is gone: its report pipe tells
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def messages(self) -> list[dict[str, Any]]:
        """What it has said since the last time; sets `ended` when it has closed its pipe."""
        while True:
            try:
                data = self.pipe.read(65536)
            except BlockingIOError:
                break
            if data is None:
                break
            if not data:
                self.ended = True
                break
            self._pending += data
        *lines, self._pending = self._pending.split(b"\n")
        return [json.loads(line) for line in lines]

    def relay(self) -> bool:
        """Print the whole lines that the process has printed since the last time; False once it prints no more."""
        assert self.process.stdout is not None
        try:
            data = os.read(self.process.stdout.fileno(), 65536)
        except BlockingIOError:
            return True
        lines, _, self._printed = (self._printed + data).rpartition(b"\n") if data else (self._printed, b"", b"")
        if lines:
            print(lines.decode(errors="replace"), flush=True)
        return bool(data)

    def close(self) -> None:
        """End the process if it has not ended, and reap it."""
        if self.process.stdout is not None:
            while self.ended and self.relay():
                pass
            self.process.stdout.close()
        if not self.ended:
            self.process.kill()
        self.process.wait()
        self.pipe.close()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


class _Watch:
    """Listens to all processes until a condition holds; the first failure is raised."""

    def __init__(self, children: list[_Child], stop: Stop, on_update: Update | None,
                 saved: Callable[[str, int], None]) -> None:
        self._children, self._stop, self._on_update, self._saved = children, stop, on_update, saved
        self._told_to_stop = False
        self._selector = selectors.DefaultSelector()
        for child in children:
            self._selector.register(child.pipe, selectors.EVENT_READ, child)
            if child.process.stdout is not None:
                self._selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            for key, _ in self._selector.select(0.1):
                if key.fileobj is key.data.pipe:
                    self._hear(key.data)
                elif not key.data.relay():
                    self._selector.unregister(key.fileobj)
            if self._stop.is_set() and not self._told_to_stop:
                self._told_to_stop = True
                self._children[0].say("stop")
            if self._on_update is not None:
                self._on_update({child.name: child.report for child in self._children if child.report})

    def _hear(self, child: _Child) -> None:
        for message in child.messages():
            about = message["about"]
            if about == "error":
                error = StageError(message["line"])
                error.detail = message["traceback"]
                raise error
            if about == "saved":
                self._saved(child.name, message["barrier"])
            else:
                child.ready = True
                child.done |= about == "done"
                child.report = message.get("report", child.report)
        if child.ended:
            self._selector.unregister(child.pipe)
            if not child.done:
                raise StageError(f"stage {child.name}: its process (pid {child.process.pid}) {_how_it_ended(child.process)}")


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return "closed its report pipe"
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code} before its work was done"
