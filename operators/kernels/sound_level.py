"""The kernel of the automatic gain: sound goes in; the same sound, brought to one level, comes out."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

SHORT, PEAK = 0, 1  # the places of `power`


@njit("void(Array(float32, 1, 'C', readonly=True), float64[::1], float64, float64, float64, float64, float32[::1])", cache=True)
def follow_level(sound, power, attack, release, least, target, out):
    """out = sound target / sqrt(peak):  short' = short + attack (sound^2 - short),  peak' = max(short', release peak, least).

    power (2,) float64: short and peak, as the sample before left them. All arithmetic is float64.
    """
    for i in range(sound.shape[0]):
        x = float(sound[i])
        power[SHORT] += attack * (x * x - power[SHORT])
        power[PEAK] = max(power[SHORT], release * power[PEAK], least)
        out[i] = np.float32(x * target / math.sqrt(power[PEAK]))
