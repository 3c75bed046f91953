"""time_surface: spikes go in; every so often each unit that fired of late gives a value, the greater the less time has passed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.addressing import NEVER
from operators.tick_encoder import TickEncoder
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format


class TimeSurfaceConfig(OperatorConfig):
    """The exponential time surface of the whole sensor, sampled: how recently each unit fired.

        S(u, k) = exp(-(E - T(u)) / tau),   E = (k+1) * every,   T(u) the newest event of unit u before E

    Sample k looks at the end of tick [k * every, (k+1) * every) of stream time; its values are stamped k * every, as the spikes
    of a layer's tick are. Values below `least` are not given out: after a time of tau * ln(1 / least) a unit is dark.
    Polarities have surfaces of their own. A layer behind it takes the values as graded input, on the same tick.

    Takes spikes of any shape, such as (2, height, width). Out come graded events of the same shape on the tick, with values in
    [least, 1); the output clock lags to the last tick that is over. Times in us, options in ms. ValueError: graded streams and
    decisions.

    Example: `{type: time_surface, every_ms: 10, tau_ms: 20}`

    Source: X. Lagorce et al., HOTS: a hierarchy of event-based time-surfaces for pattern recognition, IEEE TPAMI 39 (2017),
    eq. 3, there around each event, here of the sensor at set times, as in A. Sironi et al., HATS (2018).
    """

    type: Literal["time_surface"] = "time_surface"
    every_ms: float = Field(10.0, ge=0.001, description="time between two samples, in ms")
    tau_ms: float = Field(20.0, gt=0, description="the time in which a value falls to 37 %, in ms")
    least: float = Field(0.01, gt=0, lt=1, description="values below it are not given out")

    @property
    def tick_us(self) -> int:
        return round(self.every_ms * 1000)

    def check(self, upstream: Format) -> Format:
        if upstream.kind != "spikes":
            raise ValueError(f"time_surface takes spikes, got {upstream}")
        return dataclasses.replace(upstream, kind="graded", tick_us=self.tick_us)

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.time_surface import time_surface

        self.check(upstream)
        tau_us = self.tau_ms * 1000
        fixed, dark = (tau_us, math.floor(tau_us * math.log(1 / self.least))), np.full(upstream.size, NEVER)
        return lambda state: TickEncoder(time_surface, self.tick_us, fixed, dark, state, graded=True)
