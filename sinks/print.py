"""Decisions in, one line each on standard output."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Literal, TextIO

import numpy as np
from pydantic import Field

from pipeline.contract import Sink, SinkConfig, State
from pipeline.packet import Decision, Format, Packet, decisions
from sinks.decisions_only import needs_decisions


class PrintConfig(SinkConfig):
    """Prints one line a decision: episode, stream time, class, confidence, whether it is final, and correct or wrong if labelled.

    In: decisions of any shape. The confidence is that of the class named, 0..1; the time is stream time, ms.
    Each line is flushed before the next packet is taken. What is printed cannot be taken back: a run that resumes from a
    checkpoint prints the decisions made after that checkpoint again (at least once).
    Errors: a reader that closes the pipe ends the run with one line.

    Example: {type: print, final_only: true}
    Example: {type: print, least_confidence: 0.75, changes: true}
    """

    type: Literal["print"] = "print"
    final_only: bool = Field(False, description="print only final decisions: one line an episode")
    least_confidence: float = Field(0.0, ge=0, le=1, description="leave out decisions that are less sure")
    changes: bool = Field(False, description="print a decision only where its class is another than that of the line before")

    def check(self, upstream: Format) -> None:
        needs_decisions("print", upstream)

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        self.check(upstream)
        return lambda state: Print(self, upstream, sys.stdout, state)


class Print:
    """Writes lines to an open text stream, which stays open. State: `last`, the episode and class of the line before."""

    def __init__(self, config: PrintConfig, format: Format, file: TextIO, state: State | None = None) -> None:
        self.config = config
        self.last: list[int] = [-1, -1] if state is None else state["last"].tolist()
        self.format = format
        self.file = file
        self.name_width = max((len(name) for name in format.names), default=len(str(format.size)))

    def write(self, packet: Packet) -> None:
        if packet.n == 0:
            return
        lines = [self._line(decision, packet) for decision in decisions(packet, self.format) if self._wanted(decision, packet)]
        if lines:
            self._print("".join(lines))

    def snapshot(self) -> State:
        return {"last": np.array(self.last)}

    def close(self) -> None:
        pass

    def _wanted(self, decision: Decision, packet: Packet) -> bool:
        config, this = self.config, [packet.episode, decision.index]
        unsure = decision.confidence < config.least_confidence or (config.final_only and not decision.final)
        if unsure or (config.changes and this == self.last):
            return False
        self.last = this
        return True

    def _line(self, decision: Decision, packet: Packet) -> str:
        final = "final" if decision.final else "     "
        mark = "" if packet.label < 0 else ("correct" if decision.index == packet.label else "wrong")
        line = (f"episode {packet.episode:<5} {decision.t_us / 1000:12.3f} ms  {decision.name:<{self.name_width}}  "
                f"{decision.confidence:.3f}  {final}  {mark}")
        return line.rstrip() + "\n"

    def _print(self, text: str) -> None:
        try:
            self.file.write(text)
            self.file.flush()
        except UnicodeEncodeError as error:  # a class name beyond the terminal's character set
            self._print(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        except BrokenPipeError:
            _silence(self.file)
            text = "print: standard output was closed by its reader; leave out the print sink or read to the end"
            raise BrokenPipeError(errno.EPIPE, text) from None


def _silence(file: TextIO) -> None:
    """Point a broken output at nothing, or Python would complain once more when it flushes the rest at exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, file.fileno())
    os.close(nothing)
