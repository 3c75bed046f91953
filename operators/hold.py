"""hold: graded values go in; on every tick each unit's latest value comes out again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.tick_encoder import TickEncoder
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format


class HoldConfig(OperatorConfig):
    """Direct coding: on every tick each unit gives out its latest value, so that the first layer of a network receives a picture
    as a current that flows for as long as the picture is shown, and makes the spikes itself.

    The value of a unit holds until another comes; a value of 0 ends it, and what is not a number is not given out. Tick k holds
    [k * tick, (k+1) * tick) of stream time; the values that came before its end count, and are stamped k * tick.

    Takes graded events of any shape, such as pictures (height, width). Out come graded events of the same shape on the tick,
    sorted by (t, unit); the output clock lags to the last tick that is over. Times in us, the tick in ms. ValueError: spikes and
    decisions.

    Example: `{type: hold, tick_ms: 1}`

    Source: N. Rathi, K. Roy, DIET-SNN: direct input encoding with leakage and threshold optimization (2020), section III.
    """

    type: Literal["hold"] = "hold"
    tick_ms: float = Field(1.0, ge=0.001, description="length of a tick, in ms")

    @property
    def tick_us(self) -> int:
        return round(self.tick_ms * 1000)

    def check(self, upstream: Format) -> Format:
        if upstream.kind != "graded":
            raise ValueError(f"hold takes graded events, got {upstream}")
        return dataclasses.replace(upstream, tick_us=self.tick_us, rate_hz=None)

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        self.check(upstream)
        from operators.kernels.hold import hold

        silence, tick_us = np.zeros(upstream.size, np.float32), self.tick_us
        return lambda state: TickEncoder(hold, tick_us, (), silence, state, graded=True)
