"""The basilar membrane: a frequency and a place go in, how far the membrane moves there comes out; and filters made of it.

The cochlea is a channel filled with fluid, in shallow water, whose elastic wall grows softer from base to apex. With places
c = 0..3.5 (base to apex, 700 channels evenly spread), w = 2 pi f and the constants below:

    S(c)  = C0 exp(-alpha c) - a                     stiffness
    R(c)  = R0 exp(-alpha c / 2)                     resistance
    xi    = S(c) - m w^2 - i w R(c)                  impedance times w
    g(w,c) = w sqrt(rho / (h xi))                    wave number
    G(w,c) = 2 g(w,0) / alpha + integral_0^c g       the phase of the wave, after Wentzel, Kramers and Brillouin
    p(w,c) = sqrt(G / g) H0(G)                       pressure, H0 being the first Hankel function of order 0
    V(w,c) = 2 w / xi * p(w,c) / p(w,0) * z(w),      z(w) = sqrt(2 C0 / h) (i J0(k) + Y0(k)) / (J1(k) - i Y1(k)),
                                                     k = (4 pi f / alpha) sqrt(2 / (h C0))

Source: K. Sieroka, H. G. Dosch, A. Rupp, Semirealistic models of the cochlea, J. Acoust. Soc. Am. 120 (2006); the constants
are those of B. Cramer et al., The Heidelberg spiking data sets (2022), appendix.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

CHANNELS, APEX = 700, 3.5
C0, ALPHA, A, M, RHO, H = 1e9, 3.0, 3500.0, 0.05, 1.0, 0.1
R0 = 0.15 * np.sqrt(C0 * M)

BLOCK = 512  # samples that the filters take at a time
EXACT_REACH_S = 0.24, 0.08  # of the impulse responses, before and after time 0: what 1e-4 of the motion takes at 100 Hz
CAUSAL_REACH_S = 0.0015, 0.08  # of their mirror images: 99.9 % of the energy
FADE_S = 0.02  # at the far ends of a response, over which it is faded out
NEGLIGIBLE = {False: 1e-5, True: 1e-4}  # of a response's peak: partitions that stay below are left out, of exact and causal ones
DEAD = 40.0  # the damping, in the exponent, by which a wave counts as gone
SERIES_REACH = 10.0  # |z| below which a Hankel function is computed by its power series


class FilterBank(NamedTuple):
    """FIR filters, cut into partitions of BLOCK taps, as spectra over 2 BLOCK samples. Read-only.

    Channel c has the partitions first[c] to first[c+1] - 1 of `re` and `im`; partition i belongs to the block
    delay[i] before the newest one.
    """

    re: np.ndarray  # (partitions, BLOCK + 1) float32
    im: np.ndarray
    first: np.ndarray  # (channels + 1,) int64
    delay: np.ndarray  # (partitions,) int64, blocks
    depth: int  # blocks of the past that are needed, the newest included
    ahead: int  # blocks that the output lags behind the input


@lru_cache(maxsize=8)
def filter_bank(rate_hz: float, channels: int, causal: bool, emphasis_hz: float | None = None, inhibition: int = 0) -> FilterBank:
    """The membrane at `channels` of the 700 places as filters of sound sampled at rate_hz.

    Of the frequencies f = k rate_hz / n the original takes 1 Hz + f (1 - 2 Hz / rate_hz), and so do these. V's impulse response
    lies almost wholly BEFORE time 0: the exact filters lag by EXACT_REACH_S in whole blocks. The causal ones have the conjugate
    of V, which mirrors the response in time and leaves |V| as it is. What the mirror leaves before time 0 is little, but cut
    off sharply it would be heard at all frequencies: it is faded in over 1.5 ms, by which the response comes later.

    inhibition: as of `inhibited`. emphasis_hz: a first-order high-pass before the membrane, i f / (i f + emphasis_hz).
    """
    before, after = (-(-round(reach * rate_hz) // BLOCK) for reach in EXACT_REACH_S)
    lead = round(CAUSAL_REACH_S[0] * rate_hz)
    if causal:
        before, after = 0, -(-round(CAUSAL_REACH_S[1] * rate_hz) // BLOCK)
    length = 1 << ((before + after) * BLOCK).bit_length()  # so that the far ends of a response do not meet
    grid_hz = 1.0 + np.linspace(0.0, rate_hz / 2, length // 2 + 1) * (1 - 2 / rate_hz)
    response = inhibited(grid_hz, np.arange(channels) * (CHANNELS // channels), inhibition)
    if causal:
        response = response.conj()
    if emphasis_hz is not None:
        response *= 1j * grid_hz / (1j * grid_hz + emphasis_hz)
    taps = np.fft.irfft(response, length, axis=1)
    taps = np.roll(taps, lead if causal else before * BLOCK, axis=1)[:, : (before + after) * BLOCK]
    fade = round(FADE_S * rate_hz)
    _fade_in(taps, lead if causal else fade)
    _fade_in(taps[:, ::-1], fade)
    partitions = taps.reshape(channels, -1, BLOCK)
    loud = np.abs(partitions).max(axis=2)
    kept = loud > NEGLIGIBLE[causal] * loud.max(axis=1, keepdims=True)
    spectra = np.fft.rfft(partitions[kept], 2 * BLOCK, axis=1)
    bank = FilterBank(
        np.ascontiguousarray(spectra.real, np.float32), np.ascontiguousarray(spectra.imag, np.float32),
        np.concatenate(([0], np.cumsum(kept.sum(axis=1)))).astype(np.int64), np.nonzero(kept)[1].astype(np.int64),
        partitions.shape[1], before,
    )  # fmt: skip
    for array in bank[:4]:
        array.setflags(write=False)
    return bank


def _fade_in(taps: np.ndarray, n: int) -> None:
    taps[:, :n] *= 0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / n)


def inhibited(f_hz: np.ndarray, channels: np.ndarray, places: int) -> np.ndarray:
    """V with lateral inhibition: each place loses what its neighbours, `places` of the 700 to either side, move.

        V'(c) = (2 V(c) - V(c - places) - V(c + places)) s(c),      s(c) such that max |V'(c)| = max |V(c)| over f_hz

    Beyond either end the last place stands in. A tone moves far fewer places by V' than by V, whose tuning is broad: low tones
    move all places from the base to their own. Returns (channels, frequencies) complex128.

    Source: S. Shamma, Speech processing in the auditory system II: lateral inhibition and the central processing of speech evoked
    activity in the auditory nerve (1985), taken from the nerve to the membrane, where it is linear and costs nothing.

    >>> v = abs(inhibited(np.array([1000.0, 2000.0]), np.array([300]), 10))
    >>> bool(v[0, 1] / v[0, 0] > 2)
    True
    """
    if not places:
        return displacement(f_hz, channels)
    below, above = np.maximum(channels - places, 0), np.minimum(channels + places, CHANNELS - 1)
    needed = np.unique(np.concatenate((below, channels, above)))
    v = displacement(f_hz, needed)
    own, before, beyond = (v[np.searchsorted(needed, wanted)] for wanted in (channels, below, above))
    apart = 2 * own - before - beyond
    apart *= (np.abs(own).max(axis=1) / np.abs(apart).max(axis=1))[:, None]
    return apart


def displacement(f_hz: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """V: how far the membrane moves at the places of `channels` (numbers 0..699) at the frequencies f_hz > 0.

    channels must rise. Returns (channels, frequencies) complex128; a sound of amplitude 1 moves it by |V|.

    >>> displacement(np.array([1000.0]), np.array([300])).shape
    (1, 1)
    """
    w = 2 * np.pi * np.asarray(f_hz, np.float64)
    g0 = _wave_number(w, 0.0)
    phase, at = 2 * g0 / ALPHA, 0
    drive = 2 * w * _input(w / (2 * np.pi)) / _pressure(phase, g0)
    out = np.zeros((len(channels), w.size), np.complex128)
    for row, channel in enumerate(channels):
        while at < channel:
            phase += _between(w, at)
            at += 1
            n = int(np.max(np.nonzero(phase.imag < DEAD)[0], initial=-1)) + 1
            w, phase = w[:n], phase[:n]  # beyond their places high frequencies are gone for good
        place = APEX * channel / (CHANNELS - 1)
        out[row, : w.size] = drive[: w.size] * _pressure(phase, _wave_number(w, place)) / _impedance(w, place)
    return out


def _between(w: np.ndarray, channel: int) -> np.ndarray:
    """The integral of g from a channel's place to the next one's: Gauss-Legendre of two points."""
    width = APEX / (CHANNELS - 1)
    middle, half = (channel + 0.5) * width, width / 2
    return half * (_wave_number(w, middle - half / np.sqrt(3)) + _wave_number(w, middle + half / np.sqrt(3)))


def _impedance(w: np.ndarray, c: float) -> np.ndarray:
    return C0 * np.exp(-ALPHA * c) - A - M * w**2 - 1j * w * R0 * np.exp(-ALPHA * c / 2)


def _wave_number(w: np.ndarray, c: float) -> np.ndarray:
    return w * np.sqrt(RHO / (H * _impedance(w, c)))


def _pressure(phase: np.ndarray, wave_number: np.ndarray) -> np.ndarray:
    return np.sqrt(phase / wave_number) * hankel(0, phase)


def _input(f_hz: np.ndarray) -> np.ndarray:
    """z. With real k, (i J0 + Y0) / (J1 - i Y1) is i times the conjugate of H0 / H1."""
    k = (4 * np.pi * f_hz / ALPHA) * np.sqrt(2 / (H * C0)) + 0j
    return np.sqrt(2 * C0 / H) * 1j * (hankel(0, k) / hankel(1, k)).conj()


def hankel(order: int, z: np.ndarray) -> np.ndarray:
    """The Hankel function of the first kind, J + i Y, of order 0 or 1, for z (n,) complex with real and imaginary part >= 0.

    Its power series near 0 (Abramowitz and Stegun, 9.1.10 to 9.1.13), its asymptotic expansion far from it (9.2.7).
    Relative errors stay below 1e-7.
    """
    near = np.abs(z) < SERIES_REACH
    out = np.empty(z.shape, np.complex128)
    out[near], out[~near] = _series(order, z[near]), _expansion(order, z[~near])
    return out


def _series(order: int, z: np.ndarray) -> np.ndarray:
    term = (z / 2) ** order
    bessel, rest = np.zeros_like(z), np.zeros_like(z)
    digamma = -np.euler_gamma, -np.euler_gamma + order  # of s + 1 and of s + order + 1
    for s in range(32):
        bessel += term
        rest += (digamma[0] + digamma[1]) * term
        term = term * -((z / 2) ** 2) / ((s + 1) * (s + 1 + order))
        digamma = digamma[0] + 1 / (s + 1), digamma[1] + 1 / (s + 1 + order)
    pole = 2 / z if order else 0.0
    return bessel + 1j / np.pi * (2 * np.log(z / 2) * bessel - rest - pole)


def _expansion(order: int, z: np.ndarray) -> np.ndarray:
    total = term = np.ones_like(z)
    for s in range(20):  # at |z| = 10 the terms begin to grow after these
        term = term * 1j * (4 * order**2 - (2 * s + 1) ** 2) / (8 * (s + 1) * z)
        total = total + term
    return np.sqrt(2 / (np.pi * z)) * np.exp(1j * (z - order * np.pi / 2 - np.pi / 4)) * total
