"""rate_limit: lets no more than so many events a second pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.event_filter import EventFilter
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format


class RateLimitConfig(OperatorConfig):
    """Drops events beyond a rate: a token bucket in the time of the stream, so a replay drops the same events at any pace.

    The bucket starts full with `burst` tokens and gains max_rate_hz tokens a second, up to `burst`. An event that finds a whole
    token takes it and passes; one that finds none is dropped. So over any span of T seconds at most burst + max_rate_hz * T
    events pass. Events of one microsecond are served in the order in which they come. `dropped` of the report counts the others.

    Takes spikes or graded events (values go along) of any shape, such as (2, height, width). Out come fewer of the same shape,
    over the same interval. Times in us, rates in events/s. ValueError: decisions.

    Example: `{type: rate_limit, max_rate_hz: 2000000, burst: 10000}`

    After J. Turner, New directions in communications (or which way to the information age?), IEEE Communications 24 (1986).
    """

    type: Literal["rate_limit"] = "rate_limit"
    max_rate_hz: float = Field(ge=0.001, le=1e9, description="how many events may pass, in events/s")
    burst: int | None = Field(
        None, ge=1, le=10**9, description="how many may pass at once after a pause; default what the rate gives in 10 ms"
    )

    def check(self, upstream: Format) -> Format:
        if upstream.kind == "decisions":
            raise ValueError(f"rate_limit takes spikes or graded events, got {upstream}")
        return upstream

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.rate_limit import TOKEN, rate_limit

        self.check(upstream)
        burst = self.burst or max(1, round(self.max_rate_hz / 100))
        fixed = (round(self.max_rate_hz * 1000), burst * TOKEN)
        fresh = {"bucket": np.zeros(3, np.int64), "dropped": np.zeros(1, np.int64)}
        graded = upstream.kind == "graded"
        return lambda state: EventFilter(rate_limit, fixed, fresh, state, graded=graded, counts=["dropped"])
