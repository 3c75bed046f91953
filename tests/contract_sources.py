"""The checks that every source passes, whatever it does; `tests/contract.py` says how they are used."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby, islice, pairwise
from typing import Any

from pipeline.contract import Source, SourceConfig, State
from pipeline.packet import Packet
from tests.contract import check_events, kernel_signatures, rebuilt
from tests.packets import content, glue, spread
from tests.states import scribble, state_content, state_schema, through_file


@dataclass(frozen=True)
class SourceCase:
    """A source's options. `recut`: other options under which the same events must come, in other packets."""

    config: SourceConfig
    recut: tuple[dict[str, Any], ...] = ()
    rebuild: Callable[[dict[str, Any]], Any] | None = None

    def make(self, state: State | None = None) -> Source:
        """A new object, prepared anew."""
        return self.config.prepare()(state)

    def read(self, state: State | None = None) -> list[Packet]:
        return list(self.make(state).packets())

    def changed(self, options: dict[str, Any]) -> SourceCase:
        config = rebuilt(self, json.loads(self.config.model_dump_json()) | options)
        return SourceCase(config, rebuild=self.rebuild)


# --- what sources do ---


def check_packets_meet(case: SourceCase) -> None:
    packets = case.read()
    for one, following in pairwise(packets):
        assert one.last or following.begin_us == one.end_us, f"from {one.end_us} us to {following.begin_us} us"


def check_packets_fit_their_format(case: SourceCase) -> None:
    format = case.config.check()
    assert case.make().format == format, "the source's format is not the one that check promised"
    for packet in case.read():
        check_events(packet, format)
        assert not format.names or -1 <= packet.label < len(format.names), f"label {packet.label} has no name"


def check_last_marks_the_ends_of_episodes(case: SourceCase) -> None:
    packets = case.read()
    assert packets, "the example's source hands out no packet: it proves nothing"
    assert packets[-1].last, "the stream ends without `last`"
    for one, following in pairwise(packets):
        assert one.last == (following.episode != one.episode), f"`last` is misplaced at episode {following.episode}"


def check_a_label_holds_for_its_episode(case: SourceCase) -> None:
    for number, packets in groupby(case.read(), key=lambda packet: packet.episode):
        assert len({packet.label for packet in packets}) == 1, f"episode {number} changes its label"


def check_source_resumes_after_every_packet(case: SourceCase) -> None:
    packets = case.read()
    for stop in spread(len(packets)):
        source = case.make()
        assert len(list(islice(source.packets(), stop))) == stop
        rest = case.read(through_file(source.snapshot()))
        assert [content(p) for p in rest] == [content(p) for p in packets[stop:]], f"another rest after resuming at packet {stop}"


def check_source_recut_gives_the_same_events(case: SourceCase) -> None:
    episodes = glued_episodes(case.read())
    for options in case.recut:
        others = glued_episodes(case.changed(options).read())
        assert len(others) == len(episodes), f"another number of episodes with {options}"
        assert all(content(a) == content(b) for a, b in zip(episodes, others, strict=True)), f"other events with {options}"


def check_packets_respect_the_cap(case: SourceCase) -> None:
    for options in ({}, *case.recut):
        other = case.changed(options)
        most = getattr(other.config, "max_events", None)
        for packet in other.read():
            one_microsecond = packet.n and packet.t_us[0] == packet.t_us[-1]
            assert most is None or packet.n <= most or one_microsecond, f"{packet.n} events in a packet of at most {most}"


def check_packets_respect_their_length(case: SourceCase) -> None:
    for options in ({}, *case.recut):
        other = case.changed(options)
        most_us = getattr(other.config, "packet_us", None)
        lengths = {packet.end_us - packet.begin_us for packet in other.read()}
        assert most_us is None or max(lengths) <= most_us, f"a packet of {max(lengths)} us where {most_us} us were asked for"


def check_packets_stay(case: SourceCase) -> None:
    kept, as_given = [], []
    for packet in case.make().packets():
        kept.append(packet)
        as_given.append(content(packet))
    assert [content(packet) for packet in kept] == as_given, "a packet changed after it was handed out"


def check_sources_are_independent(case: SourceCase) -> None:
    alone, make = [content(packet) for packet in case.read()], case.config.prepare()
    one, other = make(None).packets(), make(None).packets()
    mixed = []
    for packet in one:
        mixed.append(content(packet))
        next(other, None)
    assert mixed == alone, "a second source changed what the first hands out"


def check_source_runs_are_equal(case: SourceCase) -> None:
    assert [content(p) for p in case.read()] == [content(p) for p in case.read()], "two runs of one configuration differ"


def check_source_snapshot_is_detached(case: SourceCase) -> None:
    packets, make = [content(packet) for packet in case.read()], case.config.prepare()
    half = len(packets) // 2
    source = make(None)
    stream = source.packets()
    given = [content(packet) for packet in islice(stream, half)]
    state = source.snapshot()
    taken = state_content(state)
    resumed = [content(packet) for packet in make(state).packets()]
    assert state_content(state) == taken, "going on from a snapshot changed it"
    given += [content(packet) for packet in islice(stream, 1)]
    assert state_content(state) == taken, "going on changed a snapshot taken before"
    for known in (state, source.snapshot()):
        scribble(known)
    assert given + [content(packet) for packet in stream] == packets, "editing a snapshot changed the source that gave it"
    assert resumed == packets[half:], "a source made from a snapshot hands out another rest"


def check_source_snapshot_changes_nothing(case: SourceCase) -> None:
    source, watched = case.make(), []
    schema = state_schema(source.snapshot())
    for packet in source.packets():
        watched.append(content(packet))
        assert state_schema(source.snapshot()) == schema, "a snapshot's keys or types changed on the way"
    assert watched == [content(packet) for packet in case.read()], "taking snapshots changed what the source hands out"


def check_source_closes_twice(case: SourceCase) -> None:
    for taken in (0, 1, None):
        source = case.make()
        stream = source.packets()
        list(islice(stream, taken))
        source.close()
        source.close()


def check_source_compiles_at_prepare(case: SourceCase) -> None:
    make = case.config.prepare()
    prepared = kernel_signatures()
    list(make(None).packets())
    assert kernel_signatures() == prepared, "a kernel was compiled for another signature while packets flowed"


SOURCE_CHECKS: tuple[Callable[[SourceCase], None], ...] = (
    check_packets_meet,
    check_packets_fit_their_format,
    check_last_marks_the_ends_of_episodes,
    check_a_label_holds_for_its_episode,
    check_source_resumes_after_every_packet,
    check_source_recut_gives_the_same_events,
    check_packets_respect_the_cap,
    check_packets_respect_their_length,
    check_packets_stay,
    check_sources_are_independent,
    check_source_runs_are_equal,
    check_source_snapshot_is_detached,
    check_source_snapshot_changes_nothing,
    check_source_closes_twice,
    check_source_compiles_at_prepare,
)


def glued_episodes(packets: list[Packet]) -> list[Packet]:
    """One packet an episode: its flags are those of its last packet."""
    return [glue(list(group)) for _, group in groupby(packets, key=lambda packet: packet.episode)]
