"""OpenTick: packets' events go in; what belongs to ticks that are not closed yet is held until they are."""

from __future__ import annotations

import numpy as np

from pipeline.contract import State
from pipeline.packet import NO_TIMES, NO_UNITS, NO_VALUES, Packet

Events = tuple[np.ndarray, np.ndarray, np.ndarray]  # t_us (n,) int64, unit (n,) uint32, value (n,) float32; (0,) for spikes


class OpenTick:
    """The events that a layer holds, in the order of their arrival. Columns are kept by reference: packets never change."""

    def __init__(self, state: State | None) -> None:
        self.held: list[Events] = []
        if state is not None and state["open_t_us"].shape[0]:
            self.held.append((state["open_t_us"].copy(), state["open_unit"].copy(), state["open_value"].copy()))

    def add(self, packet: Packet) -> None:
        value = packet.value
        self.held.append((packet.t_us, packet.unit, NO_VALUES if value is None else value))

    def joined(self) -> Events:
        """All held events in one piece."""
        if len(self.held) != 1:
            if not self.held:
                return NO_TIMES, NO_UNITS, NO_VALUES
            t_us, unit, value = zip(*self.held, strict=True)
            self.held = [(np.concatenate(t_us), np.concatenate(unit), np.concatenate(value))]
        return self.held[0]

    def drop(self, n: int) -> None:
        """Forget the first n events, which `joined` gave; they have been used."""
        if not self.held:
            return
        t_us, unit, value = self.held[0]
        self.held = [(t_us[n:], unit[n:], value[n:])] if n < t_us.shape[0] else []

    def snapshot(self) -> State:
        t_us, unit, value = self.joined()
        return {"open_t_us": t_us.copy(), "open_unit": unit.copy(), "open_value": value.copy()}
