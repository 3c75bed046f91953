"""What poisson and bernoulli share: the operator that holds each unit's latest value and fires on every tick."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from operators.tick_encoder import TickEncoder
from pipeline.contract import Operator, State


def encoder(
    units: int, tick_us: int, law: int, seed: int, scale: float, mean_of_one: float
) -> Callable[[State | None], Operator]:
    """What `prepare` returns. law: BERNOULLI or POISSON of the kernel; mean_of_one: the spikes of a tick at a value of 1."""
    from operators.kernels.held_values import held_values

    fixed, silence = (law, seed, scale, mean_of_one), np.zeros(units, np.float32)
    return lambda state: TickEncoder(held_values, tick_us, fixed, silence, state)
