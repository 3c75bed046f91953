"""Variants of a sound: a recording goes in; how another voice, room or microphone might have given it comes out."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from pipeline.contract import Config

KNOTS = 6  # of the random curve of loudness over frequency
LOWEST_HZ = 60.0
FAINTEST_DB = -60.0  # noise below the sound that nobody hears


class Variation(Config):
    """Random changes to a sound. All amounts are the greatest; 0 switches a change off.

    speed: played faster or slower, so pitch and formants move as from throat to throat: by exp(u log(1 + speed)), u in -1..1.
    tempo: the spikes' times (and the length) by exp(u log(1 + tempo)), pitch and formants as they are.
    equalise_db: a curve over log frequency, straight between 6 values of u equalise_db, as of rooms and microphones.
    gain_db: louder or softer by u gain_db. noise_db: noise between white and pink, whose level in dB relative to the sound's
    root mean square is uniform in -60..noise_db; none: no noise.
    """

    speed: float = Field(0.15, ge=0, lt=1, description="relative change of speed")
    tempo: float = Field(0.2, ge=0, lt=1, description="relative change of the times of spikes")
    equalise_db: float = Field(6.0, ge=0, le=60, description="change of loudness over frequency, dB")
    gain_db: float = Field(6.0, ge=0, le=60, description="change of loudness, dB")
    noise_db: float | None = Field(-20.0, ge=FAINTEST_DB, le=60, description="level of noise relative to the sound, dB")


def varied(sound: np.ndarray, rate_hz: float, variation: Variation, rng: np.random.Generator) -> np.ndarray:
    """A variant of `sound` (n,) float32: (m,) float32 at the same rate. Its tempo is what the caller makes of its spikes."""
    faster = drawn_factor(variation.speed, rng)
    out = sound.astype(np.float64)
    if variation.speed:
        import soxr

        out = soxr.resample(out, rate_hz * faster, rate_hz)
    level = np.sqrt(np.mean(out**2)) if out.size else 0.0
    out = _equalised(out, rate_hz, rng.uniform(-variation.equalise_db, variation.equalise_db, KNOTS))
    if variation.noise_db is not None:
        db, colour = rng.uniform(FAINTEST_DB, variation.noise_db), rng.uniform(0, 1)
        out = out + noise(out.size, rate_hz, colour, rng) * level * 10 ** (db / 20)
    return (out * 10 ** (rng.uniform(-variation.gain_db, variation.gain_db) / 20)).astype(np.float32)


def drawn_factor(greatest: float, rng: np.random.Generator) -> float:
    """exp(u log(1 + greatest)), u uniform in -1..1."""
    return float(np.exp(rng.uniform(-1, 1) * np.log1p(greatest)))


def noise(n: int, rate_hz: float, colour: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) noise of root mean square 1, its power falling as 1 / f^colour: 0 white, 1 pink."""
    if not n:
        return np.empty(0)
    f_hz = np.fft.rfftfreq(n, 1 / rate_hz)
    spectrum = np.fft.rfft(rng.normal(size=n)) * np.maximum(f_hz, LOWEST_HZ) ** (-colour / 2)
    out = np.fft.irfft(spectrum, n)
    return out / max(float(np.sqrt(np.mean(out**2))), 1e-12)


def background(rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) float32: 0.3 to 1.5 s of what a microphone hears while nobody speaks.

    Noise between white and pink, -90 to -25 dB of full scale, that swells and fades; in some a hum and its overtones, or clicks.
    """
    n = round(rng.uniform(0.3, 1.5) * rate_hz)
    t_s = np.arange(n) / rate_hz
    swell_db = np.interp(t_s, np.linspace(0, 1.5, 8), rng.uniform(-4, 4, 8))
    out = noise(n, rate_hz, rng.uniform(0, 1), rng) * 10 ** (swell_db / 20)
    if rng.random() < 0.3:
        hum_hz = rng.uniform(45, 130)
        out += rng.uniform(0, 3) * sum(np.sin(2 * np.pi * k * hum_hz * t_s + rng.uniform(0, 6.3)) / k for k in range(1, 6))
    if rng.random() < 0.3:
        for at in rng.integers(0, n, rng.integers(1, 4)):
            length = min(n - at, round(rng.uniform(0.002, 0.02) * rate_hz))
            out[at : at + length] += rng.normal(size=length) * rng.uniform(2, 30) * np.exp(-np.arange(length) / (0.3 * length))
    return (np.clip(out * 10 ** (rng.uniform(-90, -25) / 20), -1, 1)).astype(np.float32)


def _equalised(sound: np.ndarray, rate_hz: float, knots_db: np.ndarray) -> np.ndarray:
    if not knots_db.any() or not sound.size:
        return sound
    n = 2 * sound.size  # room for the filter's response
    f_hz = np.maximum(np.fft.rfftfreq(n, 1 / rate_hz), LOWEST_HZ)
    at = np.linspace(np.log(LOWEST_HZ), np.log(rate_hz / 2), knots_db.size)
    gain = 10 ** (np.interp(np.log(f_hz), at, knots_db) / 20)
    return np.fft.irfft(np.fft.rfft(sound, n) * gain, n)[: sound.size]
