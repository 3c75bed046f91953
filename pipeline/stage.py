"""Stages: the source, the operators and the sinks of a graph at work. Receive, process, send, count, snapshot at a barrier.

A stage is the same whether it has a process of its own or shares one: only its links differ.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipeline.chain import Chain, part_of
from pipeline.contract import OperatorConfig, Reporting, SinkConfig, SourceConfig, State, Waiting
from pipeline.metrics import StageMetrics, Tally
from pipeline.pace import Pacer
from pipeline.packet import NO_VALUES, Format, Kind, Packet, with_flags
from pipeline.transport import Message, Outbox

Saver = Callable[[int, State], None]


class StageError(RuntimeError):
    """A stage that failed: its name, the packet it was at, the counts in and out, and what went wrong.

    detail: the traceback, if it failed in another process. at_start: it failed before the first packet was handed out.
    """

    detail = ""
    at_start = False


class Continuity:
    """The order of the packets of one stream: within an episode each begins where the one before ended."""

    def __init__(self, state: State | None = None) -> None:
        self._open = False  # an episode is under way
        self._episode = self._end_us = 0
        if state is not None:
            self._open, self._episode, self._end_us = bool(state["open"]), int(state["episode"]), int(state["end_us"])

    def admit(self, packet: Packet) -> None:
        """Raise ValueError unless `packet` may follow the ones before."""
        if self._open:
            if packet.episode != self._episode:
                raise ValueError(f"episode {packet.episode} begins before episode {self._episode} has ended")
            if packet.begin_us != self._end_us:
                raise ValueError(f"a packet begins at {packet.begin_us} us where one at {self._end_us} us was due")
        self._open, self._episode, self._end_us = not packet.last, packet.episode, packet.end_us

    def closing(self, label: int, kind: Kind) -> Packet | None:
        """An empty packet that ends the episode under way; None when there is none."""
        if not self._open:
            return None
        value = None if kind == "spikes" else NO_VALUES
        return Packet(self._end_us, self._end_us + 1, value=value, episode=self._episode, last=True, label=label)

    def given_length(self, packet: Packet) -> Packet:
        """The packet; one of no length that ends the episode under way is made to last a microsecond.

        A decision on all data so far went out with the packet before, when nobody knew that it would be the last: it is not
        final. The microsecond makes the readout give the episode's final one.
        """
        if not (self._open and packet.last and packet.begin_us == packet.end_us):
            return packet
        longer = Packet(packet.begin_us, packet.end_us + 1, packet.t_us, packet.unit, packet.value)
        return with_flags(longer, packet)

    def snapshot(self) -> State:
        return {"open": np.array(self._open), "episode": np.array(self._episode), "end_us": np.array(self._end_us)}


class SourceStage:
    """Draws packets from a source, waits until each is due, injects barriers and hands the packets out.

    wait(seconds) -> True when the run is to stop. barrier_due() -> the number of a barrier to inject now, or -1.
    rest_s: a paced source waits so long after an episode before it opens the next recording, which takes milliseconds of a core
    that the stages behind may need for the episode's last decision.
    """

    kind = "source"
    _END = object()  # no further packet

    def __init__(self, name: str, config: SourceConfig, outbox: Outbox, *, wait: Callable[[float], bool],
                 barrier_due: Callable[[], int], save: Saver, rest_s: float = 0.0, state: State | None = None) -> None:
        self.name, self.outbox, self._rest_s = name, outbox, rest_s
        self._source = config.prepare()(part_of(state, "0"))
        self._packets = iter(self._source.packets())
        self._pacer, self._wait = Pacer(config, wait), wait
        self._barrier_due, self._save = barrier_due, save
        self.metrics = StageMetrics(part_of(state, "metrics"))
        self._continuity = Continuity(part_of(state, "continuity"))
        self._label, self._ended = -1, False  # of the packet handed out last
        self.first_ns = 0  # when the first packet was handed out

    def step(self) -> bool:
        """Hand out one packet; False once the stream has ended or was told to stop."""
        if self._rest_s and self._ended and self._pacer.factor is not None:
            self._wait(self._rest_s)
        begin_s, waited_s = time.perf_counter(), self._waited_s()
        try:
            packet = next(self._packets, self._END)
            if isinstance(packet, Packet):
                packet.check(self._source.format)
        except Exception as error:
            raise self._failure(error) from error
        self.metrics.busy_s += time.perf_counter() - begin_s - (self._waited_s() - waited_s)
        if packet is self._END:
            return False
        if not isinstance(packet, Packet):  # a live source that has nothing yet, between two episodes
            return not self._wait(0.0)
        if self._pacer.await_due(packet):
            closing = self._continuity.closing(self._label, self._source.format.kind)
            if closing is not None:
                self._hand_out(closing)
            return False
        begin_s = time.perf_counter()
        self._hand_out(packet)
        self.metrics.busy_s += time.perf_counter() - begin_s  # `blocked_s`, which reports take off, is a part of it
        if self._pacer.factor is not None:
            os.sched_yield()  # the link's own thread goes first: to make the next packet may take longer than to wait for it
        return True

    def _hand_out(self, packet: Packet) -> None:
        packet = self._continuity.given_length(packet)
        try:
            self._continuity.admit(packet)
        except ValueError as error:
            raise self._failure(error) from error
        barrier = self._barrier_due()
        if barrier >= 0:
            packet = Packet(packet.begin_us, packet.end_us, packet.t_us, packet.unit, packet.value,
                            packet.episode, packet.last, packet.label, packet.lost, barrier)
        self._label, self._ended = packet.label, packet.last
        self.metrics.received(packet)
        origin_ns = time.monotonic_ns()
        self.first_ns = self.first_ns or origin_ns
        self.outbox.send(packet, origin_ns)
        self.metrics.sent(packet)
        if barrier >= 0:
            self._save(barrier, self.snapshot())

    def _waited_s(self) -> float:
        return self._source.waited_s if isinstance(self._source, Waiting) else 0.0

    def _failure(self, error: Exception) -> StageError:
        metrics = self.metrics
        return StageError(f"stage {self.name}: after {metrics.packets_out} packets ({metrics.events_out} events, "
                          f"up to {metrics.watermark_us} us): {describe(error)}")

    def snapshot(self) -> State:
        return _keyed({"0": self._source.snapshot(), "metrics": self.metrics.snapshot(),
                       "continuity": self._continuity.snapshot(), "link": {"out": np.array(self.outbox.seq)}})

    def close(self) -> None:
        self._source.close()

    def report(self) -> dict[str, Any]:
        own = {"source": self._source.report()} if isinstance(self._source, Reporting) else {}
        return self.metrics.report() | self._pacer.report() | own | {"first_ns": self.first_ns}


class OperatorStage:
    """Runs operators on the packets that arrive and sends on what comes out.

    skip_episodes: an episode in which an operator fails is given up, said and counted, instead of ending the run: what came out
    of it so far stands, and the rest of it is silence. format: what comes out.
    """

    kind = "operators"

    def __init__(self, name: str, nodes: Sequence[tuple[OperatorConfig, Format]], format: Format, outbox: Outbox, *, save: Saver,
                 skip_episodes: bool = False, state: State | None = None) -> None:
        self.name, self.outbox = name, outbox
        self.chain = Chain(nodes, part_of(state, "0"))
        self._save = save
        self._skip = Skipping(format, part_of(state, "skip")) if skip_episodes else None
        self.metrics = StageMetrics(part_of(state, "metrics"))
        self._continuity = Continuity(part_of(state, "continuity"))

    def handle(self, message: Message) -> None:
        begin_s = time.perf_counter()
        packet = message.packet
        try:
            self._continuity.admit(packet)
            self.metrics.received(packet)
            out = self.chain.push(packet) if self._skip is None else self._skip.push(self.chain, packet)
        except Exception as error:
            raise _failure(self.name, self.metrics, packet, self.chain.names[self.chain.active], error) from error
        self.outbox.send(out, message.origin_ns)
        self.metrics.sent(out)
        if packet.barrier >= 0:
            self._save(packet.barrier, self.snapshot())
        self.metrics.busy_s += time.perf_counter() - begin_s

    def snapshot(self) -> State:
        return _keyed({"0": self.chain.snapshot(), "metrics": self.metrics.snapshot(),
                       "skip": {} if self._skip is None else self._skip.snapshot(),
                       "continuity": self._continuity.snapshot(), "link": {"out": np.array(self.outbox.seq)}})

    def close(self) -> None:
        pass

    def report(self) -> dict[str, Any]:
        skipped = {} if self._skip is None else {"skipped_episodes": self._skip.episodes}
        return self.metrics.report() | {"operators": self.chain.report()} | skipped


class Skipping:
    """Pushes packets through a chain and gives up the episode in which an operator fails."""

    def __init__(self, format: Format, state: State | None) -> None:
        self._value = None if format.kind == "spikes" else NO_VALUES
        self.episodes, self._given_up, self._end_us, self._open = 0, False, 0, False
        if state:
            self.episodes, self._end_us = int(state["episodes"]), int(state["end_us"])
            self._given_up, self._open = bool(state["given_up"]), bool(state["open"])

    def push(self, chain: Chain, packet: Packet) -> Packet:
        if not self._open:
            self._end_us = packet.begin_us
        out = None if self._given_up else self._try(chain, packet)
        if out is None:
            end_us = max(self._end_us, packet.end_us) if packet.last else self._end_us
            out = with_flags(Packet(self._end_us, end_us, value=self._value), packet)
        self._end_us, self._open = out.end_us, not packet.last
        if packet.last and self._given_up:
            self._given_up = False
            chain.begin_episode()
        return out

    def _try(self, chain: Chain, packet: Packet) -> Packet | None:
        try:
            return chain.push(packet)
        except Exception as error:
            self._given_up = True
            self.episodes += 1
            where = f"episode {packet.episode}, packet [{packet.begin_us}, {packet.end_us}) us: {chain.names[chain.active]}"
            print(f"skipped the rest of {where}: {describe(error)}", file=sys.stderr, flush=True)
            return None

    def snapshot(self) -> State:
        return {"episodes": np.array(self.episodes), "end_us": np.array(self._end_us),
                "given_up": np.array(self._given_up), "open": np.array(self._open)}


class SinkStage:
    """Writes the packets that arrive to every sink, and counts decisions, answers and latencies."""

    kind = "sinks"

    def __init__(self, name: str, configs: Sequence[SinkConfig], format: Format, stream: str, *, save: Saver,
                 state: State | None = None) -> None:
        self.name = name
        self._names = [f"sinks[{index}] {config.type}" for index, config in enumerate(configs)]
        made = [config.prepare(format, stream) for config in configs]
        self._sinks = [make(part_of(state, str(i))) for i, make in enumerate(made)]
        self._save = save
        self.metrics = StageMetrics(part_of(state, "metrics"))
        self.tally = Tally(format, part_of(state, "tally"))
        self._continuity = Continuity(part_of(state, "continuity"))
        self._last_ns = 0  # when the last packet had been written

    def handle(self, message: Message) -> None:
        begin_s = time.perf_counter()
        packet, active = message.packet, 0
        try:
            self._continuity.admit(packet)
            self.metrics.received(packet)
            for active, sink in enumerate(self._sinks):  # noqa: B007 - `active` names the sink that failed
                sink.write(packet)
        except Exception as error:
            raise _failure(self.name, self.metrics, packet, self._names[active], error) from error
        self._last_ns = time.monotonic_ns()
        self.metrics.sent(packet)
        self.tally.add(packet, (self._last_ns - message.origin_ns) / 1e3)
        if packet.barrier >= 0:
            self._save(packet.barrier, self.snapshot())
        self.metrics.busy_s += time.perf_counter() - begin_s

    def snapshot(self) -> State:
        sinks = {str(i): sink.snapshot() for i, sink in enumerate(self._sinks)}
        return _keyed(sinks | {"metrics": self.metrics.snapshot(), "tally": self.tally.snapshot(),
                               "continuity": self._continuity.snapshot()})

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()

    def report(self) -> dict[str, Any]:
        pairs = zip(self._names, self._sinks, strict=True)
        sinks = {name: sink.report() for name, sink in pairs if isinstance(sink, Reporting)}
        return self.metrics.report() | self.tally.report() | {"sinks": sinks, "last_ns": self._last_ns}


def describe(error: Exception) -> str:
    """One line for a person: our own errors speak for themselves, others need their type."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return text if isinstance(error, ValueError | StageError) and text else f"{type(error).__name__}: {text}"


def _failure(stage: str, metrics: StageMetrics, packet: Packet, component: str, error: Exception) -> StageError:
    return StageError(f"stage {stage}: {component}: packet [{packet.begin_us}, {packet.end_us}) us of episode {packet.episode} "
                      f"({metrics.packets_in} packets in, {metrics.packets_out} out): {describe(error)}")


def link_seqs(state: State | None) -> tuple[int, int]:
    """The numbers of the last packet received and of the last one sent, by a stage's snapshot; -1 before the first."""
    if state is None:
        return -1, -1
    return int(state["metrics.packets_in"]) - 1, int(state.get("link.out", np.array(-1)))


def _keyed(parts: dict[str, State]) -> State:
    return {f"{prefix}.{key}": array for prefix, state in parts.items() for key, array in state.items()}
