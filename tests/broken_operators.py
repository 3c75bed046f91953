"""Operators and configs that each break one promise: what tests/test_contract_catches.py catches the checks with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import ConfigDict, Field, field_serializer

from pipeline.contract import State
from pipeline.packet import Format, Packet
from tests import contract
from tests.broken_kernel import KERNELS
from tests.contract import OperatorCase
from tests.packets import empty, recording
from tests.toys import CLASSES, DVS, Toy, ToyConfig

EPISODES = recording(DVS, 1), recording(DVS, 2)
SHARED: list[Any] = []  # what broken instances share


def operator_case(toy: type[Toy]) -> OperatorCase:
    class Config(ToyConfig):
        def prepare(self, upstream: Format) -> Any:
            SHARED.clear()
            return lambda state: toy(3000, state)

    return OperatorCase(Config(), DVS, *EPISODES, misfit=CLASSES)


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
