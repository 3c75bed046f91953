"""OpenTick: packets' events go in; what belongs to ticks that are not closed yet is held until they are."""

from __future__ import annotations

import numpy as np

from pipeline.contract import State
from pipeline.packet import NO_TIMES, NO_UNITS, NO_VALUES, Packet


class OpenTick:
    """The events that a layer holds, in the order of their arrival. Columns are kept by reference: packets never change."""

    def __init__(self, graded: bool, state: State | None) -> None:
        self._graded = graded
        self.t_us: list[np.ndarray] = []  # the columns of one packet after the other
        self._unit: list[np.ndarray] = []
        self._value: list[np.ndarray] = []
        if state is not None and state["open_t_us"].shape[0]:
            self._hold(state["open_t_us"].copy(), state["open_unit"].copy(), state["open_value"].copy())

    def add(self, packet: Packet) -> None:
        self.t_us.append(packet.t_us)
        self._unit.append(packet.unit)
        if packet.value is not None:
            self._value.append(packet.value)

    def joined(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All held events in one piece: t_us (n,) int64, unit (n,) uint32, value (n,) float32, or (0,) for spikes."""
        if len(self.t_us) > 1:
            value = np.concatenate(self._value) if self._graded else NO_VALUES
            self._hold(np.concatenate(self.t_us), np.concatenate(self._unit), value)
        if not self.t_us:
            return NO_TIMES, NO_UNITS, NO_VALUES
        return self.t_us[0], self._unit[0], self._value[0] if self._graded else NO_VALUES

    def drop(self, n: int) -> None:
        """Forget the first n events, which `joined` gave; they have been used."""
        t_us, unit, value = self.joined()
        if n < t_us.shape[0]:
            self._hold(t_us[n:], unit[n:], value[n:])
        else:
            self.t_us, self._unit, self._value = [], [], []

    def snapshot(self) -> State:
        t_us, unit, value = self.joined()
        return {"open_t_us": t_us.copy(), "open_unit": unit.copy(), "open_value": value.copy()}

    def _hold(self, t_us: np.ndarray, unit: np.ndarray, value: np.ndarray) -> None:
        self.t_us, self._unit, self._value = [t_us], [unit], [value] if self._graded else []
