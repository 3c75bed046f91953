"""The slow plain truth of cochlea, from its equations: whole recordings, one channel and one sample at a time."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import hankel1, jv, yv

C0, ALPHA, A, M, RHO, H = 1e9, 3.0, 3500.0, 0.05, 1.0, 0.1
R0 = 0.15 * math.sqrt(C0 * M)
INTERVALS = 500


def displacement(f_hz: np.ndarray, c: float) -> np.ndarray:
    """V at a place c (0..3.5): the integral by Simpson's rule, the special functions by SciPy."""
    w = 2 * np.pi * np.asarray(f_hz, float)

    def xi(x: float) -> np.ndarray:
        return C0 * math.exp(-ALPHA * x) - A - M * w**2 - 1j * w * R0 * math.exp(-ALPHA * x / 2)

    def g(x: float) -> np.ndarray:
        return w * np.sqrt(RHO / (H * xi(x)))

    def p(x: float) -> np.ndarray:
        places = np.linspace(0, x, INTERVALS + 1)
        inner = sum((4 if n % 2 else 2) * g(y) for n, y in enumerate(places[1:-1], 1)) + g(0) + g(x)
        phase = 2 * g(0) / ALPHA + inner * x / INTERVALS / 3
        return np.sqrt(phase / g(x)) * hankel1(0, phase)

    k = 4 * np.pi * (w / (2 * np.pi)) / ALPHA * math.sqrt(2 / (H * C0))
    z = math.sqrt(2 * C0 / H) * (1j * jv(0, k) + yv(0, k)) / (jv(1, k) - 1j * yv(1, k))
    return 2 * w / xi(c) * p(c) / p(0) * z


def membrane(sound: np.ndarray, rate_hz: float, channel: int) -> np.ndarray:
    """The motion at half the rate: Re(ifft(V fft(sound))) over the frequencies up to half the rate, in one piece."""
    n = len(sound)
    spectrum = np.fft.fft(sound)[: n // 2 + 1]
    v = displacement(np.linspace(1, rate_hz / 2, n // 2 + 1), channel * 3.5 / 699)
    folded = (v * spectrum)[: n // 2]
    return np.fft.ifft(folded).real


def hash_24(seed: int, sample: int, unit: int) -> float:
    """In [0, 1), of 24 bits."""

    def finalize(word: int) -> int:
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            word = (word ^ word >> shift) * factor % 2**32
        return word ^ word >> 16

    def key(seed: int) -> int:
        return finalize(finalize(finalize(seed) ^ sample % 2**32) ^ (sample >> 32) % 2**32)

    return (finalize(finalize(unit ^ key(seed)) ^ key(seed ^ 0x9E3779B9)) >> 8) / 2**24


def binomial(p: float, n: int, draw: float) -> int:
    """The smallest k with P(N <= k) > draw."""
    below = 0.0
    for k in range(n + 1):
        below += math.comb(n, k) * p**k * (1 - p) ** (n - k)
        if draw < below:
            return k
    return n


def spikes(motion: list[float], channel: int, rate_hz: float, fibres: int, seed: int, first: int = 0) -> tuple[list[int], int]:
    """The samples at which one bushy cell fires, and how many times its fibres did."""
    dt, y, g, l, r, x, h = 2 / rate_hz, 5.05, 2000.0, 2500.0, 6580.0, 66.3, 50000.0  # noqa: E741
    k0 = g * 5 / 305
    c = y * k0 / (l * k0 + y * (l + r))
    q, w, i, v = c * (l + r) / k0, c * r / x, 0.0, 0.0
    rest, out, fired = 0, [], [0] * (math.ceil(1e-3 / dt) - 1)
    total = 0
    for m, s in enumerate(motion):
        k = g * dt * max(0.0, (s + 5) / (s + 305))
        fresh, ejected, again, lost, reup = y * dt * max(0.0, 1 - q), k * q, x * dt * w, (l + r) * dt * c, r * dt * c
        q, c, w = max(0.0, q + fresh - ejected + again), max(0.0, c + ejected - lost), max(0.0, w + reup - again)
        n = binomial(h * dt * c, fibres - sum(fired), hash_24(seed, first + m, channel))
        fired = [*fired[1:], n]
        total += n
        i = i * math.exp(-dt / 0.5e-3) + n
        if rest:
            rest -= 1
            continue
        v = v * math.exp(-dt / 1e-3) + dt * 13000 / fibres * i
        if v >= 1:
            out.append(first + m)
            v, rest = 0.0, round(1e-3 / dt)
    return out, total
