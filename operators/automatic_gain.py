"""The automatic gain of the operators that hear: what it takes of a config, as the kernel `follow_level` has it."""

from __future__ import annotations

import math

PEAK_LEVEL = 0.45  # root mean square that the loudest moments are brought to
ATTACK_S = 0.01


def gain_constants(rate_hz: float, release_ms: float, least_level: float, target: float) -> tuple[float, float, float, float]:
    """attack, release, least and target of follow_level: sound / sqrt(peak) * target, peak being the power of the loudest 10 ms,
    forgotten by exp(-t / release_ms) and at least least_level^2."""
    return -math.expm1(-1 / (ATTACK_S * rate_hz)), math.exp(-1000 / (release_ms * rate_hz)), least_level**2, target
