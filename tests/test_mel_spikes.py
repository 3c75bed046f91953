import numpy as np
import pytest

from operators.mel_spikes import MelSpikesConfig
from pipeline.packet import Format, Packet
from tests import naive_mel as naive
from tests.filtering import filtered, spikes

RATE_HZ = 8000.0
SOUND = Format("graded", (1,), rate_hz=RATE_HZ)
SMALL = MelSpikesConfig(channels=6, window_ms=8, hop_ms=3, low_hz=100, high_hz=4000, delta_db=2)


def episode_of(sound: np.ndarray) -> Packet:
    t_us = np.rint(np.arange(len(sound) + 1) * 1e6 / RATE_HZ).astype(np.int64)
    return Packet(0, int(t_us[-1]), t_us[:-1], np.zeros(len(sound), np.uint32), sound.astype(np.float32))


@pytest.mark.parametrize("cut", [[], [(0.1, False), (0.37, True), (0.371, False), (0.8, True)]])
def test_it_is_the_plain_truth_however_the_sound_is_cut(cut: list[tuple[float, bool]]) -> None:
    rng = np.random.default_rng(1)
    sound = (rng.normal(size=600) * np.abs(np.sin(np.arange(600) / 60)) * 0.3).astype(np.float32)
    truth = naive.mel_spikes(sound.tolist(), RATE_HZ, 6, 64, 24, 100, 4000, 2, -60)
    assert len(truth) > 50
    assert spikes(filtered(SMALL, SOUND, episode_of(sound), cut)) == truth


def test_a_tone_raises_its_band_to_its_loudness_and_silence_lowers_it_again() -> None:
    tone = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(4000) / RATE_HZ)
    out = filtered(MelSpikesConfig(channels=20, delta_db=1), SOUND, episode_of(np.concatenate((tone, np.zeros(2000)))))
    up = np.bincount(out.unit[out.t_us < 400_000], minlength=40)[20:]
    band = int(up.argmax())
    edges = 700 * (10 ** (np.linspace(*(2595 * np.log10(1 + f / 700) for f in (80.0, 4000.0)), 22) / 2595) - 1)
    assert edges[band] < 1000 < edges[band + 2]
    assert up[band] in range(36, 45)  # from -60 to -20 dB, less what its bands share
    net = np.bincount(out.unit, minlength=40)
    assert (net[:20] == net[20:]).all()


def test_one_loudness_gives_a_weak_voice_the_spikes_of_a_loud_one() -> None:
    rng = np.random.default_rng(2)
    sound = rng.normal(size=6000) * np.abs(np.sin(np.arange(6000) / 900)) * 0.3
    levelled = MelSpikesConfig(level="agc", floor_db=-45)
    loud, weak = (filtered(levelled, SOUND, episode_of(sound * factor)) for factor in (1.0, 0.125))
    assert loud.n > 300
    assert abs(weak.n - loud.n) < 0.05 * loud.n  # all but the first moments, in which the gain rises from the least level
    assert filtered(MelSpikesConfig(floor_db=-45), SOUND, episode_of(sound * 0.125)).n < 0.8 * loud.n


def test_what_is_softer_than_the_least_level_is_not_raised_to_one_loudness() -> None:
    rng = np.random.default_rng(3)
    hiss = rng.normal(size=4000) * 1e-4
    assert filtered(MelSpikesConfig(level="agc", floor_db=-45), SOUND, episode_of(hiss)).n == 0
    assert filtered(MelSpikesConfig(level="agc", floor_db=-45, least_level=1e-4), SOUND, episode_of(hiss)).n > 50


def test_silence_is_silent() -> None:
    assert filtered(MelSpikesConfig(), SOUND, episode_of(np.zeros(8000))).n == 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="takes one channel of sampled sound"):
        MelSpikesConfig().check(Format("graded", (1,)))
    with pytest.raises(ValueError, match="high_hz must lie above low_hz, up to 4000 Hz"):
        MelSpikesConfig(high_hz=5000).check(SOUND)
    with pytest.raises(ValueError, match="take fewer channels or a longer window"):
        MelSpikesConfig(channels=200).check(SOUND)
    with pytest.raises(ValueError, match="hop_ms 30 leaves out sound"):
        MelSpikesConfig(hop_ms=30)
