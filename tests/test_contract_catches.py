"""A check that cannot fail is worthless: for each there stands one component here that breaks it, and is caught."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pydantic import ConfigDict, Field, field_serializer

from pipeline.contract import State
from pipeline.packet import Format, Packet
from tests import contract, contract_ends
from tests.contract import OperatorCase
from tests.contract_ends import SinkCase, SourceCase
from tests.packets import empty, recording
from tests.toys import CLASSES, DVS, Toy, ToyConfig, ToySink, ToySinkConfig, ToySource, ToySourceConfig

EPISODES = recording(DVS, 1), recording(DVS, 2)
SHARED: list[Any] = []  # what broken instances share
KERNELS = ModuleType("tests.kernels.broken")  # holds a kernel without a signature, compiled at its first packet


def operator_case(toy: type[Toy]) -> OperatorCase:
    class Config(ToyConfig):
        def prepare(self, upstream: Format) -> Any:
            SHARED.clear()
            return lambda state: toy(3000, state)

    return OperatorCase(Config(), DVS, *EPISODES, misfit=CLASSES)


def source_case(toy: type[ToySource]) -> SourceCase:
    class Config(ToySourceConfig):
        def prepare(self) -> Any:
            SHARED.clear()
            return lambda state: toy(self, state)

    return SourceCase(Config(), recut=({"packet_ms": 3.7}, {"max_events": 7}))


def sink_case(toy: type[ToySink], folder: Any) -> SinkCase:
    class Config(ToySinkConfig):
        def prepare(self, upstream: Format, stream: str) -> Any:
            return lambda state: toy(self, upstream, state)

    path = folder / "times.txt"
    path.unlink(missing_ok=True)
    return SinkCase(Config(path=path), folder, CLASSES, DECISIONS, misfit=DVS, seen=lambda _: path.read_bytes())


def decision(t_us: int, last: bool) -> Packet:
    value = np.array([0.7, 0.2, 0.1], np.float32)
    return Packet(t_us, t_us + 10, np.full(3, t_us), np.arange(3, dtype=np.uint32), value, last=last)


DECISIONS = tuple(decision(t_us, t_us == 50) for t_us in range(0, 60, 10))


# --- operators ---


class AddsOneInEvenPackets(Toy):
    def process(self, packet: Packet) -> Packet:
        shift = 1 - packet.n % 2
        return super().process(replace(packet, t_us=np.minimum(packet.t_us + shift, packet.end_us - 1)))


class FiresWhenNothingComes(Toy):
    def process(self, packet: Packet) -> Packet:
        out = super().process(packet)
        quiet = packet.n == 0 and out.n == 0 and packet.end_us > packet.begin_us
        return Packet(out.begin_us, out.end_us, np.array([out.begin_us]), np.zeros(1, np.uint32)) if quiet else out


class SkipsTime(Toy):
    def process(self, packet: Packet) -> Packet:
        return super().process(replace(packet, end_us=packet.end_us + 1))


class GivesUnitsOutsideOfItsShape(Toy):
    def process(self, packet: Packet) -> Packet:
        out = super().process(packet)
        return replace(out, unit=out.unit + np.uint32(DVS.size))


class SortsByTimeAlone(Toy):
    def process(self, packet: Packet) -> Packet:
        out = super().process(packet)
        order = np.lexsort((-out.unit.astype(np.int64), out.t_us))
        return replace(out, t_us=out.t_us[order], unit=out.unit[order])


class KeepsTheRest(Toy):
    def finish(self) -> Packet:
        return empty(super().finish())


class EditsItsInput(Toy):
    def process(self, packet: Packet) -> Packet:
        out = super().process(packet)
        packet.t_us.flags.writeable = True
        packet.t_us[:] += 1
        packet.t_us.flags.writeable = False
        return out


class ReusesItsBuffer(Toy):
    def process(self, packet: Packet) -> Packet:
        out = super().process(packet)
        SHARED[:] = SHARED or [np.zeros(10_000, np.int64)]
        SHARED[0][: out.n] = out.t_us
        return replace(out, t_us=SHARED[0][: out.n])


class RemembersEpisodes(Toy):
    def process(self, packet: Packet) -> Packet:
        out = super().process(packet)
        return empty(out) if len(SHARED) else out

    def finish(self) -> Packet:
        SHARED.append("an episode ended")
        return super().finish()


class ObeysTheNewestAlone(Toy):
    def __init__(self, delay_us: int, state: State | None) -> None:
        super().__init__(delay_us, state)
        SHARED[:] = [self]

    def process(self, packet: Packet) -> Packet:
        out = super().process(packet)
        return out if SHARED[0] is self else empty(out)


class IsUnseeded(Toy):
    def process(self, packet: Packet) -> Packet:
        kept = np.random.default_rng().random(packet.n) < 0.9
        return super().process(replace(packet, t_us=packet.t_us[kept], unit=packet.unit[kept]))


class CompilesOnTheWay(Toy):
    def process(self, packet: Packet) -> Packet:
        KERNELS.total(packet.t_us)
        return super().process(packet)


class SavesNothingHeld(Toy):
    def snapshot(self) -> State:
        return super().snapshot() | {"t_us": np.empty(0, np.int64), "unit": np.empty(0, np.uint32)}


class ForgetsWhenLookedAt(Toy):
    def snapshot(self) -> State:
        state = super().snapshot()
        self.t_us, self.unit = self.t_us[:0], self.unit[:0]
        return state


class HandsOutItsState(Toy):
    def snapshot(self) -> State:
        return {"t_us": self.t_us, "unit": self.unit, "end_us": np.array(self.end_us)}


class SavesWhatThereIs(Toy):
    def snapshot(self) -> State:
        return {key: array for key, array in super().snapshot().items() if array.size}


BROKEN_OPERATORS: dict[Callable[[OperatorCase], None], type[Toy]] = {
    contract.check_recutting_changes_nothing: AddsOneInEvenPackets,
    contract.check_an_empty_episode_is_legal: FiresWhenNothingComes,
    contract.check_outputs_meet: SkipsTime,
    contract.check_outputs_fit_their_format: GivesUnitsOutsideOfItsShape,
    contract.check_outputs_are_sorted: SortsByTimeAlone,
    contract.check_finish_gives_all: KeepsTheRest,
    contract.check_input_is_untouched: EditsItsInput,
    contract.check_outputs_stay: ReusesItsBuffer,
    contract.check_new_episode_forgets: RemembersEpisodes,
    contract.check_instances_are_independent: ObeysTheNewestAlone,
    contract.check_runs_are_equal: IsUnseeded,
    contract.check_plain_and_writable_arrays_give_the_same: CompilesOnTheWay,
    contract.check_resume_anywhere: SavesNothingHeld,
    contract.check_snapshot_changes_nothing: ForgetsWhenLookedAt,
    contract.check_snapshot_is_detached: HandsOutItsState,
    contract.check_snapshot_keys_are_stable: SavesWhatThereIs,
}


# --- configs ---


class ChangesOnItsWay(ToyConfig):
    @field_serializer("delay_ms")
    def serialize(self, delay_ms: float) -> float:
        return delay_ms + 1


class TakesAnyOption(ToyConfig):
    model_config = ConfigDict(extra="ignore")


class CanBeChanged(ToyConfig):
    model_config = ConfigDict(frozen=False)
    type: Any = "toy"


class DescribesNothing(ToyConfig):
    delay_ms: float = Field(3.0)


class IsUndocumented(ToyConfig):
    """A toy. Example: {type: toy, dealy_ms: 3}"""


class TakesAnything(ToyConfig):
    def check(self, upstream: Format) -> Format:
        return upstream


BROKEN_CONFIGS: dict[Callable[[Any], None], type[ToyConfig]] = {
    contract.check_config_round_trip: ChangesOnItsWay,
    contract.check_unknown_option_is_refused: TakesAnyOption,
    contract.check_config_is_frozen: CanBeChanged,
    contract.check_options_are_described: DescribesNothing,
    contract.check_docstring_shows_units_and_an_example: IsUndocumented,
    contract.check_misfit_is_refused: TakesAnything,
}


# --- sources: each changes the stream that a sound one hands out ---


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
    contract_ends.check_packets_meet: LosesAPacket,
    contract_ends.check_packets_fit_their_format: LeavesItsInterval,
    contract_ends.check_last_marks_the_ends_of_episodes: NeverEnds,
    contract_ends.check_a_label_holds_for_its_episode: LabelsTheEndAlone,
    contract_ends.check_source_resumes_after_every_packet: RewindsToTheEpisode,
    contract_ends.check_source_recut_gives_the_same_events: DropsOneOfAPacket,
    contract_ends.check_packets_respect_the_cap: IgnoresTheCap,
    contract_ends.check_packets_respect_their_length: IgnoresTheLength,
    contract_ends.check_packets_stay: ReusesItsColumn,
    contract_ends.check_sources_are_independent: SharesItsPlace,
    contract_ends.check_source_runs_are_equal: IsUnseededToo,
    contract_ends.check_source_snapshot_is_detached: HandsOutItsPosition,
    contract_ends.check_source_snapshot_changes_nothing: MovesOnWhenLookedAt,
    contract_ends.check_source_closes_twice: ClosesOnce,
    contract_ends.check_source_compiles_at_prepare: CompilesWhileReading,
}


# --- sinks ---


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
    contract_ends.check_sink_resumes_exactly: AppendsAfterResuming,
    contract_ends.check_sink_starts_anew: AppendsToOldRuns,
    contract_ends.check_sink_takes_empty_packets: WritesALineAPacket,
    contract_ends.check_sink_leaves_packets_untouched: EditsWhatItWrites,
    contract_ends.check_sink_snapshot_changes_nothing: WritesAtSnapshots,
    contract_ends.check_sink_snapshot_is_detached: HandsOutItsOffset,
    contract_ends.check_sink_closes_twice: WritesWhenClosed,
}


# --- the tests ---


@pytest.fixture(autouse=True)
def lazy_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    KERNELS.total = numba.njit(lambda t_us: t_us.size)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, KERNELS.__name__, KERNELS)


def needs_jit(check: Callable[..., None]) -> None:
    import numba

    if numba.config.DISABLE_JIT and "compile" in check.__name__ + (check.__doc__ or ""):  # type: ignore[attr-defined]
        pytest.skip("NUMBA_DISABLE_JIT is set: nothing is compiled")


@pytest.mark.parametrize("check", BROKEN_OPERATORS, ids=lambda check: check.__name__)
def test_broken_operator_is_caught(check: Callable[[OperatorCase], None]) -> None:
    needs_jit(check)
    with pytest.raises(AssertionError):
        check(operator_case(BROKEN_OPERATORS[check]))


@pytest.mark.parametrize("check", BROKEN_CONFIGS, ids=lambda check: check.__name__)
def test_broken_config_is_caught(check: Callable[[Any], None]) -> None:
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
        check(OperatorCase(BROKEN_CONFIGS[check](), DVS, *EPISODES, misfit=CLASSES))


@pytest.mark.parametrize("check", BROKEN_SOURCES, ids=lambda check: check.__name__)
def test_broken_source_is_caught(check: Callable[[SourceCase], None]) -> None:
    needs_jit(check)
    with pytest.raises((AssertionError, AttributeError)):
        check(source_case(BROKEN_SOURCES[check]))


@pytest.mark.parametrize("check", BROKEN_SINKS, ids=lambda check: check.__name__)
def test_broken_sink_is_caught(check: Callable[[SinkCase], None], tmp_path: Any) -> None:
    with pytest.raises(AssertionError):
        check(sink_case(BROKEN_SINKS[check], tmp_path))


@pytest.mark.parametrize("check", [*contract.OPERATOR_CHECKS, *contract.CONFIG_CHECKS], ids=lambda check: check.__name__)
def test_sound_operator_passes(check: Callable[[Any], None]) -> None:
    check(OperatorCase(ToyConfig(), DVS, *EPISODES, misfit=CLASSES))


@pytest.mark.parametrize("check", contract_ends.SOURCE_CHECKS, ids=lambda check: check.__name__)
def test_sound_source_passes(check: Callable[[SourceCase], None]) -> None:
    check(SourceCase(ToySourceConfig(), recut=({"packet_ms": 3.7}, {"max_events": 7})))


@pytest.mark.parametrize("check", contract_ends.SINK_CHECKS, ids=lambda check: check.__name__)
def test_sound_sink_passes(check: Callable[[SinkCase], None], tmp_path: Any) -> None:
    check(sink_case(ToySink, tmp_path))


def test_every_check_has_a_component_that_breaks_it() -> None:
    assert set(BROKEN_OPERATORS) == set(contract.OPERATOR_CHECKS)
    assert set(BROKEN_CONFIGS) == {*contract.CONFIG_CHECKS, contract.check_misfit_is_refused}
    assert set(BROKEN_SOURCES) == set(contract_ends.SOURCE_CHECKS)
    assert set(BROKEN_SINKS) == set(contract_ends.SINK_CHECKS)
