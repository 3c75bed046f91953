"""delay_taps: events go in; the same events come out several times, each time later and in a plane of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from operators.delay import GREATEST_MS, Delay, on_grid
from pipeline.contract import OperatorConfig, State
from pipeline.packet import Format, Packet


class DelayTapsConfig(OperatorConfig):
    """A tapped delay line of every unit: what the layer behind hears at once is what happened now, and at so many times before.

        an event of unit i at t comes out at t + taps[k] as unit k n + i, for each k, n being the number of units; values are
        carried along

    A convolution behind it that takes the taps as channels is one over time as well, with weights of the same kind.

    In: spikes or graded events, of any shape s, times in us. Out: the same kind, sorted by (t, unit), of shape (taps, *s), or
    (taps c, height, width) for units of an image (c, height, width); on the same tick if every tap is a multiple of it, else on
    none. The output clock runs ahead by the least tap; when the episode ends all that is held comes out, and the output ends at
    the input's end plus the greatest tap. State: the events held. Memory and cost: those of `delay`, once for each tap.
    Errors: ValueError for a negative tap, the same tap twice, or decisions.

    Example: {type: delay_taps, taps_ms: [0, 40, 80]}

    Source: A. Waibel et al., Phoneme recognition using time-delay neural networks (1989), section II.
    """

    type: Literal["delay_taps"] = "delay_taps"
    taps_ms: tuple[float, ...] = Field(min_length=1, description="delays at which every event comes out, ms")

    @field_validator("taps_ms")
    @classmethod
    def _different(cls, taps_ms: tuple[float, ...]) -> tuple[float, ...]:
        if not 0 <= min(taps_ms) <= max(taps_ms) <= GREATEST_MS:
            raise ValueError(f"taps_ms must be from 0 to {GREATEST_MS:g}, got {min(taps_ms):g} to {max(taps_ms):g}")
        if len(set(taps_ms)) < len(taps_ms):
            raise ValueError(f"taps_ms must differ, got {taps_ms}")
        return taps_ms

    @property
    def taps_us(self) -> np.ndarray:
        return np.rint(np.array(self.taps_ms) * 1000).astype(np.int64)

    def check(self, upstream: Format) -> Format:
        if upstream.kind == "decisions":
            raise ValueError(f"{self.type} takes spikes or graded events, got {upstream}; place it before the readout")
        taps, shape = len(self.taps_ms), upstream.shape
        shape = (taps * shape[0], *shape[1:]) if len(shape) == 3 else (taps, *shape)
        return dataclasses.replace(on_grid(int(np.gcd.reduce(self.taps_us)), upstream), shape=shape)

    def prepare(self, upstream: Format) -> Callable[[State | None], DelayTaps]:
        self.check(upstream)
        from operators.kernels.delay import delay

        taps_us, n = self.taps_us, upstream.size
        return lambda state: DelayTaps(n, taps_us.shape[0], Delay(delay, taps_us.repeat(n), upstream.kind == "graded", state))


class DelayTaps:
    """Copies of every event, one a tap, into a delay that holds them. State: that of the delay."""

    def __init__(self, n: int, taps: int, held: Delay) -> None:
        self._planes, self._held = np.arange(taps, dtype=np.uint32) * np.uint32(n), held

    def process(self, packet: Packet) -> Packet:
        if not packet.n:
            return self._held.process(packet)
        taps = self._planes.shape[0]
        unit = (packet.unit[:, None] + self._planes).ravel()
        value = None if packet.value is None else packet.value.repeat(taps)
        return self._held.process(dataclasses.replace(packet, t_us=packet.t_us.repeat(taps), unit=unit, value=value))

    def finish(self) -> Packet:
        return self._held.finish()

    def snapshot(self) -> State:
        return self._held.snapshot()
