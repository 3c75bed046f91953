"""Variants of sounds: what is switched off stays as it is, and each change does what it says."""

import numpy as np
import pytest

from spikeline.sound_variants import Variation, background, noise, varied

pytest.importorskip("soxr", reason="install the extra spikeline[audio]")
RATE_HZ = 8000.0
NOTHING = Variation(speed=0, tempo=0, equalise_db=0, gain_db=0, noise_db=None)
TONE = np.sin(2 * np.pi * 1000 * np.arange(8000) / RATE_HZ).astype(np.float32)


def only(**changes):
    return NOTHING.model_copy(update=changes)


def of(variation, seed=1):
    return varied(TONE, RATE_HZ, variation, np.random.default_rng(seed))


def pitch_hz(sound):
    return float(np.abs(np.fft.rfft(sound * np.hanning(sound.size))).argmax() * RATE_HZ / sound.size)


def test_nothing_changes_nothing():
    assert (of(NOTHING) == TONE).all()


def test_speed_changes_pitch_and_length_together():
    found = [of(only(speed=0.5), seed) for seed in range(8)]
    assert len({sound.size for sound in found}) == 8
    for sound in found:
        assert 8000 / 1.51 < sound.size < 8000 * 1.51
        assert pitch_hz(sound) == pytest.approx(1000 * 8000 / sound.size, rel=0.01)


def test_gain_and_equalising_stay_within_their_decibels():
    for variation in (only(gain_db=6), only(equalise_db=6)):
        db = [20 * np.log10(np.std(of(variation, seed)[2000:6000]) / np.std(TONE[2000:6000])) for seed in range(10)]
        assert max(np.abs(db)) < 6.1
        assert np.std(db) > 1


def test_noise_lies_below_the_sound_by_what_was_drawn():
    added = [np.std(of(only(noise_db=-20), seed) - TONE) / np.std(TONE) for seed in range(10)]
    assert 10 ** (-60.5 / 20) < min(added) < max(added) < 10 ** (-19.5 / 20)


def test_pink_noise_falls_with_frequency_and_white_does_not():
    rng = np.random.default_rng(4)
    for colour, least, most in ((0.0, 0.8, 1.25), (1.0, 5, 20)):
        power = np.abs(np.fft.rfft(noise(1 << 15, RATE_HZ, colour, rng))) ** 2
        low, high = (power[round(f * 2.048) : round(f * 4.096)].mean() for f in (400, 4000))
        assert least < low / high < most


def test_backgrounds_have_many_lengths_and_loudnesses():
    found = [background(RATE_HZ, np.random.default_rng(seed)) for seed in range(20)]
    db = [20 * np.log10(np.std(sound)) for sound in found]
    assert all(2400 <= sound.size <= 12_000 for sound in found)
    assert min(db) < -70 < -40 < max(db) < 0
