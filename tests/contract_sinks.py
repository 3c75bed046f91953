"""The checks that every sink passes, whatever it does; `tests/contract.py` says how they are used."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.contract import Sink, SinkConfig, State
from pipeline.packet import Format, Packet
from tests.packets import columns, content, first_of, owned, spread
from tests.states import scribble, state_content, state_schema, through_file


@dataclass(frozen=True)
class SinkCase:
    """A sink's options in a folder of its own, the stream that it takes, and where to see what became of it.

    seen(folder) gives what stands outside of the sink once it is closed.
    """

    config: SinkConfig
    folder: Path
    upstream: Format
    packets: tuple[Packet, ...]
    misfit: Format | None
    seen: Callable[[Path], Any]
    rebuild: Callable[[dict[str, Any]], Any] | None = None

    def make(self, state: State | None = None) -> Sink:
        """A new object, prepared anew; from None it starts anew, so a file that stood there is replaced."""
        return self.config.prepare(self.upstream, "stream")(state)

    def outcome(self, parts: list[tuple[State | None, tuple[Packet, ...]]]) -> tuple[Any, ...]:
        """What is to be seen once sinks, one for each state and its packets, have written and were closed."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            for state, packets in parts:
                sink = self.make(state)
                for packet in packets:
                    sink.write(packet)
                sink.close()
        return printed.getvalue(), self.seen(self.folder), figures(sink)


# --- what sinks do ---


def check_sink_resumes_exactly(case: SinkCase) -> None:
    """Written on after the snapshot, then resumed from it: the outcome is that of an undisturbed run."""
    undisturbed = case.outcome([(None, case.packets)])
    for stop in spread(len(case.packets)):
        with contextlib.redirect_stdout(io.StringIO()):
            sink = case.make()
            for packet in case.packets[:stop]:
                sink.write(packet)
            state = through_file(sink.snapshot())
            for packet in case.packets[stop : stop + 2]:
                sink.write(packet)
            sink.close()
        resumed = case.outcome([(state, case.packets[stop:])])
        assert resumed[1:] == undisturbed[1:], f"another outcome after resuming at packet {stop}"
        assert undisturbed[0].endswith(resumed[0]), f"other lines printed after resuming at packet {stop}"


def check_sink_starts_anew(case: SinkCase) -> None:
    first = case.outcome([(None, case.packets)])
    assert case.outcome([(None, case.packets)]) == first, "what an earlier run left changes the outcome"


def check_sink_takes_empty_packets(case: SinkCase) -> None:
    padded: list[Packet] = []
    for packet in case.packets:
        at_us, nothing = packet.begin_us, first_of(packet, 0).value
        padded += [Packet(at_us, at_us, value=nothing, episode=packet.episode, label=packet.label), packet]
    assert case.outcome([(None, tuple(padded))]) == case.outcome([(None, case.packets)]), "empty packets changed the outcome"


def check_sink_leaves_packets_untouched(case: SinkCase) -> None:
    packets = tuple(owned(packet) for packet in case.packets)
    before_run = [content(packet) for packet in packets]
    case.outcome([(None, packets)])
    assert [content(packet) for packet in packets] == before_run, "a packet was edited"
    assert not any(array.flags.writeable for packet in packets for array in columns(packet)), "a packet was made writable"


def check_sink_snapshot_changes_nothing(case: SinkCase) -> None:
    undisturbed = case.outcome([(None, case.packets)])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        sink = case.make()
        schema = state_schema(sink.snapshot())
        for packet in case.packets:
            sink.write(packet)
            assert state_schema(sink.snapshot()) == schema, "a snapshot's keys or types changed on the way"
        sink.close()
    assert (printed.getvalue(), case.seen(case.folder), figures(sink)) == undisturbed, "taking snapshots changed the outcome"


def check_sink_snapshot_is_detached(case: SinkCase) -> None:
    undisturbed = case.outcome([(None, case.packets)])
    half = len(case.packets) // 2
    with contextlib.redirect_stdout(io.StringIO()):
        sink = case.make()
        for packet in case.packets[:half]:
            sink.write(packet)
        state = sink.snapshot()
        taken = state_content(state)
        sink.write(case.packets[half])
        assert state_content(state) == taken, "writing on changed a snapshot taken before"
        for known in (state, sink.snapshot()):
            scribble(known)
        for packet in case.packets[half + 1 :]:
            sink.write(packet)
        sink.close()
    assert (case.seen(case.folder), figures(sink)) == undisturbed[1:], "editing a snapshot changed the sink that gave it"


def check_sink_closes_twice(case: SinkCase) -> None:
    for written in (0, len(case.packets)):
        with contextlib.redirect_stdout(io.StringIO()):
            sink = case.make()
            for packet in case.packets[:written]:
                sink.write(packet)
            sink.close()
            once = case.seen(case.folder)
            sink.close()
        assert case.seen(case.folder) == once, "closing a second time changed the outcome"


SINK_CHECKS: tuple[Callable[[SinkCase], None], ...] = (
    check_sink_resumes_exactly,
    check_sink_starts_anew,
    check_sink_takes_empty_packets,
    check_sink_leaves_packets_untouched,
    check_sink_snapshot_changes_nothing,
    check_sink_snapshot_is_detached,
    check_sink_closes_twice,
)


def figures(sink: Sink) -> Any:
    """The sink's own figures, if it offers some."""
    report = getattr(sink, "report", None)
    return None if report is None else report()
