"""bernoulli: graded values go in; on every tick each unit fires or not, its value being the probability."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

from pydantic import Field

from operators.rate_coding import encoder
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format


class BernoulliConfig(OperatorConfig):
    """Rate coding: on every tick each unit fires at most once, with its latest value as the probability.

        P(spike) = min(1, max(0, scale * value))

    The value of a unit holds until another comes, so a picture is given once and fires for as long as the stream goes on; a value
    of 0 ends it. Tick k holds [k * tick, (k+1) * tick) of stream time; the values that came before its end count, and its spikes
    are stamped k * tick. The random number of a tick and unit is a hash of (seed, tick, unit), so that equal streams give equal
    spikes, wherever they are cut or resumed; other episodes see the same numbers, another seed gives others.

    Takes graded events of any shape, such as pictures (height, width). Out come spikes of the same shape on the tick; the output
    clock lags to the last tick that is over. Times in us, the tick in ms. ValueError: spikes and decisions.

    Example: `{type: bernoulli, tick_ms: 1, scale: 0.000392}`

    Source: J. Eshraghian et al., Training spiking neural networks using lessons from deep learning (2023), rate coding. The
    random numbers: counter-based, as in J. Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (2011), by the finalizer
    of MurmurHash3 (A. Appleby).
    """

    type: Literal["bernoulli"] = "bernoulli"
    tick_ms: float = Field(1.0, ge=0.001, description="length of a tick, in ms")
    scale: float = Field(1.0, gt=0, description="what a value is multiplied with to be the probability of a spike on a tick")
    seed: int = Field(0, ge=0, lt=2**32, description="of the random numbers")

    @property
    def tick_us(self) -> int:
        return round(self.tick_ms * 1000)

    def check(self, upstream: Format) -> Format:
        if upstream.kind != "graded":
            raise ValueError(f"bernoulli takes graded events, got {upstream}")
        return dataclasses.replace(upstream, kind="spikes", tick_us=self.tick_us, rate_hz=None)

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.held_values import BERNOULLI

        self.check(upstream)
        return encoder(upstream.size, self.tick_us, BERNOULLI, self.seed, self.scale, 1.0)
