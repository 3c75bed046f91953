"""send_on_delta: a signal's values go in; a spike comes out when a channel has moved by so much, up or down."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.addressing import NEVER
from operators.event_filter import EventFilter
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format


class SendOnDeltaConfig(OperatorConfig):
    """Fires when the value of a channel differs by `delta` or more from the value that it last sent.

    With v the new value of a channel and s the value sent last (at the start the first one, which makes no spike):

        v - s >= delta (+ hysteresis, if the last spike went down):  an up spike, and s <- v
        s - v >= delta (+ hysteresis, if the last spike went up):    a down spike, and s <- v

    Values within the refractory period of a channel's last spike are passed over, and so is what is not a number. One value
    makes one spike at most. Arithmetic is float32.

    Takes graded events of any shape, such as sound (n,) or pictures (height, width). Out come spikes of shape (2, *shape), down
    at index 0 and up at index 1, as OFF and ON of event cameras; of (1, height, width) they have shape (2, height, width).
    Times in us, the period in ms, delta in the unit of the values. ValueError: spikes and decisions.

    Example: `{type: send_on_delta, delta: 0.1, hysteresis: 0.02, refractory_ms: 1}`

    Source: M. Miskowicz, Send-on-delta concept: an event-based data reporting strategy, Sensors 6 (2006), section 2.
    """

    type: Literal["send_on_delta"] = "send_on_delta"
    delta: float = Field(gt=0, description="by how much a value must differ from the one last sent, in its own unit")
    hysteresis: float = Field(0.0, ge=0, description="by how much more it must differ to turn round, in its own unit")
    refractory_ms: float = Field(0.0, ge=0, description="how long a channel is silent after a spike, in ms")

    def check(self, upstream: Format) -> Format:
        if upstream.kind != "graded":
            raise ValueError(f"send_on_delta takes graded events, got {upstream}")
        channels = upstream.shape[1:] if len(upstream.shape) == 3 and upstream.shape[0] == 1 else upstream.shape
        return dataclasses.replace(upstream, kind="spikes", shape=(2, *channels), rate_hz=None)

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.send_on_delta import send_on_delta

        self.check(upstream)
        units = upstream.size
        fixed = (units, np.float32(self.delta), np.float32(self.hysteresis), round(self.refractory_ms * 1000))
        fresh: State = {"sent": np.zeros(units, np.float32), "mode": np.zeros(units, np.uint8), "last_us": np.full(units, NEVER)}
        return lambda state: EventFilter(send_on_delta, fixed, fresh, state)
