"""Layers of neurons with two states: what their operators share. A spec goes in; the law of a TickLayer comes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from operators.silence import Silence
from operators.tick_layer import Events
from pipeline.contract import State
from pipeline.packet import Format


def out_format(n_out: int, tick_us: int | None, upstream: Format) -> Format:
    return dataclasses.replace(upstream, kind="spikes", shape=(n_out,), tick_us=tick_us, rate_hz=None)


class PairLaw:
    """The law of neurons with two states, run by `kernel` (see SIGNATURE in operators/kernels/ticks.py).

    names: of the states in a snapshot. coefficients (any, n_out) float32: the rows that the kernel asks for. mode: what else it
    asks for. State: the two states and `current`, the input of the open tick so far, each (n_out,) float32.
    """

    tail_ticks, graded = 0, False

    def __init__(self, spec: Any, kernel: Callable[..., int], names: tuple[str, str], coefficients: np.ndarray,
                 silence: Silence, mode: int = 0) -> None:
        self.n_out = self.operations = spec.n_out
        self.tick_us = spec.tick_us
        self._kernel, self._names = kernel, names
        self._bias = np.zeros(spec.n_out, np.float32) if spec.bias is None else spec.bias
        coefficients = np.ascontiguousarray(coefficients, np.float32)
        self.bound = silence.bound
        self._law = (spec.weight, self._bias, coefficients, silence.powers, silence.bound, spec.tick_us, mode)
        self.restless = not self._settled(silence)

    def start(self) -> State:
        zero = np.zeros(self.n_out, np.float32)
        return {self._names[0]: zero, self._names[1]: zero.copy(), "current": self._bias.copy()}

    def run(self, held: State, clock: np.ndarray, events: Events, room: Events) -> int:
        x, y, current = held.values()
        return self._kernel(x, y, current, clock, *self._law, events.t_us, events.unit, events.value, room.t_us, room.unit)

    def _settled(self, silence: Silence) -> bool:
        """Whether a new episode may begin with silence."""
        from operators.kernels.ticks import count_unsettled

        zero = np.zeros(self.n_out, np.float32)
        return not count_unsettled(zero, zero.copy(), silence.bound, np.float32(0))
