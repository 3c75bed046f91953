"""square_root: of the spikes that a unit gives in a tick, about the square root of their number comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.event_filter import EventFilter
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format

NO_TICK = np.iinfo(np.int64).min


class SquareRootConfig(OperatorConfig):
    """Compresses counts: of a unit's spikes within a tick the 1st, 4th, 9th, 16th ... pass: of n spikes floor(sqrt(n)).

    The square root makes the noise of counts the same at every rate (of a Poisson count n it has a variance of 1/4), so that
    a layer behind does not hear loud units alone. It also leaves far fewer events. Ticks are those of layers: [k tick, (k + 1)
    tick), k = 0, 1 ...; what passes keeps its time, nothing waits.

    In: spikes of any shape, times in us. Out: fewer spikes of the same shape, over the same interval. State: of each unit the
    tick, its spikes in it and those that passed. Errors: ValueError for graded streams and decisions.

    Example: `{type: square_root, tick_ms: 20}`

    Source: M. Bartlett, The square root transformation in analysis of variance (1936); F. Anscombe, The transformation of
    Poisson, binomial and negative-binomial data (1948).
    """

    type: Literal["square_root"] = "square_root"
    tick_ms: float = Field(20.0, gt=0, description="time within which a unit's spikes are counted, in ms")

    def check(self, upstream: Format) -> Format:
        if upstream.kind != "spikes":
            raise ValueError(f"{self.type} takes spikes, got {upstream}")
        return upstream

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        self.check(upstream)
        from operators.kernels.square_root import square_root

        n, tick_us = upstream.size, max(1, round(self.tick_ms * 1000))
        fresh = {"tick": np.full(n, NO_TICK), "count": np.zeros(n, np.int64), "passed": np.zeros(n, np.int64)}
        return lambda state: EventFilter(square_root, (tick_us,), fresh, state)
