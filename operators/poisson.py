"""poisson: graded values go in; on every tick each unit gives a random number of spikes, its value being the rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

from pydantic import Field, model_validator

from operators.rate_coding import encoder
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format

MOST_A_TICK = 64  # expected spikes


class PoissonConfig(OperatorConfig):
    """Rate coding: on every tick each unit fires N times, N being Poisson-distributed and its mean the unit's latest value.

        P(N = n) = exp(-m) m^n / n!,    m = min(1, max(0, scale * value)) * max_rate_hz * tick

    The value of a unit holds until another comes, so a picture is given once and fires for as long as the stream goes on; a
    value of 0 ends it. Tick k holds [k * tick, (k+1) * tick) of stream time; the values that came before its end count, and its
    spikes are stamped k * tick, N of them for a unit. The random number of a tick and unit is a hash of (seed, tick, unit), so
    that equal streams give equal spikes, wherever they are cut or resumed; other episodes see the same numbers, another seed
    gives others.

    Takes graded events of any shape, such as pictures (height, width). Out come spikes of the same shape on the tick; the output
    clock lags to the last tick that is over. Times in us, the tick in ms, rates in spikes/s. ValueError: spikes and decisions,
    more than 64 spikes expected of a unit in a tick.

    Example: `{type: poisson, tick_ms: 1, max_rate_hz: 200, scale: 0.00392}`

    Source: D. Heeger, Poisson model of spike generation (2000). The random numbers: counter-based, as in J. Salmon et al.,
    Parallel random numbers: as easy as 1, 2, 3 (2011), by the finalizer of MurmurHash3 (A. Appleby).
    """

    type: Literal["poisson"] = "poisson"
    tick_ms: float = Field(1.0, ge=0.001, description="length of a tick, in ms")
    max_rate_hz: float = Field(100.0, gt=0, description="the rate of a unit whose scaled value is 1, in spikes/s")
    scale: float = Field(1.0, gt=0, description="what a value is multiplied with; 0.00392 for pixels of 0 to 255")
    seed: int = Field(0, ge=0, lt=2**32, description="of the random numbers")

    @model_validator(mode="after")
    def _can_be_counted(self) -> PoissonConfig:
        if self.mean_of_one > MOST_A_TICK:
            raise ValueError(f"max_rate_hz {self.max_rate_hz:g} means {self.mean_of_one:g} spikes of a unit in a tick of "
                             f"{self.tick_ms:g} ms, and {MOST_A_TICK} is the most: shorten the tick or lower the rate")
        return self

    @property
    def tick_us(self) -> int:
        return round(self.tick_ms * 1000)

    @property
    def mean_of_one(self) -> float:
        """The expected spikes of a tick at a scaled value of 1."""
        return self.max_rate_hz * self.tick_us / 1e6

    def check(self, upstream: Format) -> Format:
        if upstream.kind != "graded":
            raise ValueError(f"poisson takes graded events, got {upstream}")
        return dataclasses.replace(upstream, kind="spikes", tick_us=self.tick_us, rate_hz=None)

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.held_values import POISSON

        self.check(upstream)
        return encoder(upstream.size, self.tick_us, POISSON, self.seed, self.scale, self.mean_of_one)
