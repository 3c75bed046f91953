"""Sources and sinks that each break one promise: what tests/test_contract_catches.py catches the checks with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.contract import State
from pipeline.packet import Format, Packet
from tests import contract_sinks, contract_sources
from tests.broken_kernel import KERNELS
from tests.contract_sinks import SinkCase
from tests.contract_sources import SourceCase
from tests.toys import CLASSES, DVS, ToySink, ToySinkConfig, ToySource, ToySourceConfig

SHARED: list[Any] = []  # what broken instances share


# --- sources: each changes the stream that a sound one hands out ---


def source_case(toy: type[ToySource]) -> SourceCase:
    class Config(ToySourceConfig):
        def prepare(self) -> Any:
            SHARED.clear()
            return lambda state: toy(self, state)

    return SourceCase(Config(), recut=({"packet_ms": 3.7}, {"max_events": 7}))


class LosesAPacket(ToySource):
    def packets(self) -> Iterator[Packet]:
        yield from (packet for number, packet in enumerate(super().packets()) if number != 2)


class LeavesItsInterval(ToySource):
    def packets(self) -> Iterator[Packet]:
        yield from (replace(packet, t_us=packet.t_us - 50_000) for packet in super().packets())


class NeverEnds(ToySource):
    def packets(self) -> Iterator[Packet]:
        yield from (replace(packet, last=False) for packet in super().packets())


class LabelsTheEndAlone(ToySource):
    def packets(self) -> Iterator[Packet]:
        yield from (packet if packet.last else replace(packet, label=-1) for packet in super().packets())


class RewindsToTheEpisode(ToySource):
    def snapshot(self) -> State:
        return {"position": np.array([self.position[0], -1])}


class DropsOneOfAPacket(ToySource):
    def packets(self) -> Iterator[Packet]:
        yield from (replace(packet, t_us=packet.t_us[1:], unit=packet.unit[1:]) for packet in super().packets())


class IgnoresTheCap(ToySource):
    def __init__(self, config: ToySourceConfig, state: State | None) -> None:
        super().__init__(config.model_copy(update={"max_events": 65536}), state)


class IgnoresTheLength(ToySource):
    def __init__(self, config: ToySourceConfig, state: State | None) -> None:
        super().__init__(config.model_copy(update={"packet_ms": 20.0}), state)


class ReusesItsColumn(ToySource):
    def packets(self) -> Iterator[Packet]:
        column = np.zeros(10_000, np.int64)
        for packet in super().packets():
            column[: packet.n] = packet.t_us
            yield replace(packet, t_us=column[: packet.n])


class SharesItsPlace(ToySource):
    def packets(self) -> Iterator[Packet]:
        SHARED[:] = SHARED or [super().packets()]
        yield from SHARED[0]


class IsUnseededToo(ToySource):
    def packets(self) -> Iterator[Packet]:
        yield from (replace(packet, lost=int(np.random.default_rng().integers(1000))) for packet in super().packets())


class HandsOutItsPosition(ToySource):
    def snapshot(self) -> State:
        return {"position": self.position}


class MovesOnWhenLookedAt(ToySource):
    def snapshot(self) -> State:
        self.position[0] += 1
        return super().snapshot()

    def packets(self) -> Iterator[Packet]:
        yield from (packet for packet in super().packets() if self.position[0] < 3)


class ClosesOnce(ToySource):
    def close(self) -> None:
        del self.config


class CompilesWhileReading(ToySource):
    def packets(self) -> Iterator[Packet]:
        yield from (packet for packet in super().packets() if KERNELS.total(packet.t_us) >= 0)


BROKEN_SOURCES: dict[Callable[[SourceCase], None], type[ToySource]] = {
    contract_sources.check_packets_meet: LosesAPacket,
    contract_sources.check_packets_fit_their_format: LeavesItsInterval,
    contract_sources.check_last_marks_the_ends_of_episodes: NeverEnds,
    contract_sources.check_a_label_holds_for_its_episode: LabelsTheEndAlone,
    contract_sources.check_source_resumes_after_every_packet: RewindsToTheEpisode,
    contract_sources.check_source_recut_gives_the_same_events: DropsOneOfAPacket,
    contract_sources.check_packets_respect_the_cap: IgnoresTheCap,
    contract_sources.check_packets_respect_their_length: IgnoresTheLength,
    contract_sources.check_packets_stay: ReusesItsColumn,
    contract_sources.check_sources_are_independent: SharesItsPlace,
    contract_sources.check_source_runs_are_equal: IsUnseededToo,
    contract_sources.check_source_snapshot_is_detached: HandsOutItsPosition,
    contract_sources.check_source_snapshot_changes_nothing: MovesOnWhenLookedAt,
    contract_sources.check_source_closes_twice: ClosesOnce,
    contract_sources.check_source_compiles_at_prepare: CompilesWhileReading,
}


# --- sinks ---


def decision(t_us: int, last: bool) -> Packet:
    value = np.array([0.7, 0.2, 0.1], np.float32)
    return Packet(t_us, t_us + 10, np.full(3, t_us), np.arange(3, dtype=np.uint32), value, last=last)


DECISIONS = tuple(decision(t_us, t_us == 50) for t_us in range(0, 60, 10))


def sink_case(toy: type[ToySink], folder: Path) -> SinkCase:
    class Config(ToySinkConfig):
        def prepare(self, upstream: Format, stream: str) -> Any:
            return lambda state: toy(self, upstream, state)

    path = folder / "times.txt"
    path.unlink(missing_ok=True)
    return SinkCase(Config(path=path), folder, CLASSES, DECISIONS, misfit=DVS, seen=lambda _: path.read_bytes())


class AppendsAfterResuming(ToySink):
    def __init__(self, config: ToySinkConfig, format: Format, state: State | None) -> None:
        all_of_it = None if state is None else {"offset": np.array(10**9)}
        super().__init__(config, format, all_of_it)


class AppendsToOldRuns(ToySink):
    def __init__(self, config: ToySinkConfig, format: Format, state: State | None) -> None:
        config.path.touch()
        super().__init__(config, format, state or {"offset": np.array(10**9)})


class WritesALineAPacket(ToySink):
    def write(self, packet: Packet) -> None:
        super().write(packet)
        self.put("packet\n")


class EditsWhatItWrites(ToySink):
    def write(self, packet: Packet) -> None:
        super().write(packet)
        packet.t_us.flags.writeable = True
        packet.t_us[:] = 0


class WritesAtSnapshots(ToySink):
    def snapshot(self) -> State:
        self.put("snapshot\n")
        return super().snapshot()


class HandsOutItsOffset(ToySink):
    def snapshot(self) -> State:
        return {"offset": self.offset}


class WritesWhenClosed(ToySink):
    def close(self) -> None:
        self.put("the end\n")


BROKEN_SINKS: dict[Callable[[SinkCase], None], type[ToySink]] = {
    contract_sinks.check_sink_resumes_exactly: AppendsAfterResuming,
    contract_sinks.check_sink_starts_anew: AppendsToOldRuns,
    contract_sinks.check_sink_takes_empty_packets: WritesALineAPacket,
    contract_sinks.check_sink_leaves_packets_untouched: EditsWhatItWrites,
    contract_sinks.check_sink_snapshot_changes_nothing: WritesAtSnapshots,
    contract_sinks.check_sink_snapshot_is_detached: HandsOutItsOffset,
    contract_sinks.check_sink_closes_twice: WritesWhenClosed,
}
