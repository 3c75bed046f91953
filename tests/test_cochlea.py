from dataclasses import replace

import numpy as np
import pytest

from operators.basilar_membrane import displacement, filter_bank, hankel, inhibited
from operators.cochlea import BLOCK, Cochlea, CochleaConfig
from pipeline.packet import Format, Packet, same_events
from tests import naive_cochlea as naive
from tests.packets import glue, recut
from tests.real_data import DATA, needs_data

RATE_HZ = 48_000.0
DIGIT = needs_data("fsdd_lauscher_sample.flac")
SOUND = Format("graded", (1,), rate_hz=RATE_HZ)
GAINS = {  # |V| by place and frequency in Hz
    0.0: {100: 0.0349, 1000: 1.320, 3000: 5.098, 8000: 16.07},
    0.5: {1000: 4.325, 8000: 60.1},
    1.5: {100: 1.542, 500: 17.29, 1000: 45.65, 3000: 0.471},
    2.5: {100: 16.31, 500: 179.5, 1000: 0.0029},
    3.3: {100: 124.4},
}  # fmt: skip


def episode_of(sound: np.ndarray, rate_hz: float = RATE_HZ, begin: int = 0) -> Packet:
    t_us = np.rint((begin + np.arange(len(sound) + 1)) * 1e6 / rate_hz).astype(np.int64)
    unit = np.zeros(len(sound), np.uint32)
    return Packet(int(t_us[0]), int(t_us[-1]), t_us[:-1], unit, sound.astype(np.float32), last=True)


def heard(config: CochleaConfig, episode: Packet, cuts_us: list[int] | None = None, format: Format = SOUND) -> Packet:
    operator = config.prepare(format)(None)
    return glue([*(operator.process(packet) for packet in recut(episode, cuts_us or [])), operator.finish()])


def motion_of(sound: np.ndarray, mode: str, channels: int = 700, **options: float) -> np.ndarray:
    """The membrane's motion (samples / 2, channels), the delay of `exact` taken off."""
    operator = CochleaConfig(mode=mode, channels=channels, level="none", **options).prepare(SOUND)(None)  # type: ignore[arg-type]
    assert isinstance(operator, Cochlea)
    ahead = filter_bank(RATE_HZ, channels, mode == "causal").ahead
    blocks = np.concatenate((sound, np.zeros(ahead * BLOCK - len(sound) % -BLOCK))).astype(np.float32).reshape(-1, BLOCK)
    return np.concatenate([operator.membrane(*block) for block in enumerate(blocks)])[ahead * BLOCK // 2 :]


def spoken() -> np.ndarray:
    soundfile = pytest.importorskip("soundfile")
    sound, rate_hz = soundfile.read(DATA / "fsdd_lauscher_sample.flac", dtype="float32")
    assert rate_hz == RATE_HZ
    return np.asarray(sound)


def chirp(seconds: float = 0.3) -> np.ndarray:
    """From 60 Hz to 16 kHz, faded at both ends."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    rise = np.log(16_000 / 60) / seconds
    return np.sin(2 * np.pi * 60 / rise * (np.exp(rise * t) - 1)) * np.hanning(len(t))


def test_the_membrane_has_the_gains_of_the_model() -> None:
    for c, gains in GAINS.items():
        for f_hz, gain in gains.items():
            at = c / 3.5 * 699
            near = np.abs(displacement(np.array([float(f_hz)]), np.array([int(at), min(int(at) + 1, 699)])))[:, 0]
            assert near[0] ** (1 - at % 1) * near[1] ** (at % 1) == pytest.approx(gain, rel=0.01), f"at {c}, {f_hz} Hz"


def test_hankel_functions_are_those_of_scipy() -> None:
    special = pytest.importorskip("scipy.special")
    radius, turn = np.meshgrid(np.geomspace(1e-4, 60, 200), np.linspace(0, np.pi / 2, 40))
    z = (radius * np.exp(1j * turn)).ravel()
    for order in (0, 1):
        np.testing.assert_allclose(hankel(order, z), special.hankel1(order, z), rtol=3e-7)


def assert_exact(sound: np.ndarray, channels: tuple[int, ...]) -> None:
    """The truth takes the sound for periodic, so there is silence around it."""
    silence = np.zeros(13_000)
    sound = np.concatenate((silence, sound, silence))
    motion = motion_of(sound, "exact")
    for channel in channels:
        truth = naive.membrane(sound, RATE_HZ, channel)
        assert np.abs(motion[: len(truth), channel] - truth).max() < 1e-4 * np.abs(truth).max(), f"channel {channel}"


def test_exact_is_the_slow_truth_over_the_whole_sound() -> None:
    assert_exact(chirp(0.2), (0, 350, 640))


@DIGIT
def test_exact_is_the_slow_truth_of_a_spoken_digit() -> None:
    assert_exact(spoken()[12_000:24_000], (400, 699))


def test_causal_is_exact_of_the_sound_turned_round() -> None:
    """But for the 1.5 ms by which it lags, and for what its filters leave out before that and after 80 ms."""
    lag = 72
    sound = np.concatenate((np.zeros(9000), chirp(), np.zeros(9000)))
    exact = motion_of(np.roll(sound[::-1], 1), "exact", 70)[: len(sound) // 2]  # sample -i of a periodic sound
    mirrored = np.roll(np.roll(exact[::-1], 1, axis=0), lag // 2, axis=0)
    causal = motion_of(sound, "causal", 70)[: len(sound) // 2]
    assert (np.abs(mirrored - causal).max(axis=0) < 0.02 * np.abs(mirrored).max(axis=0))[10:60].all()


def test_causal_hears_nothing_of_the_future() -> None:
    sound = np.zeros(20 * BLOCK)
    sound[5000] = 1
    assert not motion_of(sound, "causal", 70)[: 5000 // BLOCK * BLOCK // 2].any()
    assert np.abs(motion_of(sound, "exact", 70)[:2400]).max() > 0


@pytest.mark.parametrize("mode", ["exact", "causal"])
def test_a_tone_moves_the_membrane_by_its_gain(mode: str) -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(24_000) / RATE_HZ)
    motion = motion_of(tone, mode, 140)[6000:8400]
    for channel in (10, 40, 60, 80, 85):
        gain = np.abs(displacement(np.array([1001.0 - 1000 / 24_000]), np.array([channel * 5])))[0, 0]
        assert np.sqrt(2 * np.mean(motion[:, channel] ** 2)) == pytest.approx(gain, rel=0.01)


def tone(hz: float) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(24_000) / RATE_HZ)


@pytest.mark.parametrize("mode", ["exact", "causal"])
def test_with_inhibition_a_place_moves_by_what_it_moves_more_than_its_neighbours(mode: str) -> None:
    plain, sharp = (motion_of(tone(1000), mode, **options)[6000:8400] for options in ({}, {"inhibition": 20}))
    grid_hz = 1.0 + np.arange(8193) / 16384 * (RATE_HZ - 2)  # the model's own, on which the greatest gain is found
    at = slice(36, -36) if mode == "causal" else slice(None)
    for channel in (300, 400, 425):
        before, beyond = (plain[:, channel + n] for n in (-20, 20))
        v = displacement(grid_hz, np.array([channel - 20, channel, channel + 20]))
        scale = np.abs(v[1]).max() / np.abs(2 * v[1] - v[0] - v[2]).max()
        expected = (2 * plain[:, channel] - before - beyond) * scale
        np.testing.assert_allclose(sharp[at, channel], expected[at], atol=0.03 * np.abs(expected).max())


def test_inhibition_sharpens_and_leaves_every_place_its_greatest_gain() -> None:
    hz, places = np.geomspace(50, 20_000, 400), np.arange(100, 700, 50)
    plain, sharp = np.abs(displacement(hz, places)), np.abs(inhibited(hz, places, 20))
    np.testing.assert_allclose(sharp.max(axis=1), plain.max(axis=1))
    assert ((sharp > 0.1 * sharp.max(axis=1, keepdims=True)).sum(axis=1)
            < (plain > 0.1 * plain.max(axis=1, keepdims=True)).sum(axis=1)).all()  # fmt: skip


@pytest.mark.parametrize("mode", ["exact", "causal"])
def test_emphasis_is_a_high_pass_of_first_order_before_the_membrane(mode: str) -> None:
    corner = 1000.0
    for hz, channel in ((200.0, 120), (2000.0, 60)):
        plain, soft = (np.abs(motion_of(tone(hz), mode, 140, **options)[6000:8400, channel]).max()
                       for options in ({}, {"emphasis_hz": corner}))  # fmt: skip
        assert soft / plain == pytest.approx(hz / np.hypot(hz, corner), rel=0.01)


def test_emphasis_and_inhibition_hear_nothing_of_the_future() -> None:
    sound = np.zeros(20 * BLOCK)
    sound[5000] = 1
    moved = motion_of(sound, "causal", 70, emphasis_hz=1000, inhibition=20)
    assert not moved[: 5000 // BLOCK * BLOCK // 2].any()
    assert moved.any()


def test_in_silence_a_fibre_fires_60_to_67_times_a_second() -> None:
    operator = CochleaConfig(level="none", channels=140).prepare(SOUND)(None)
    assert isinstance(operator, Cochlea)
    fired, blocks = 0, 90
    for number in range(blocks):
        operator.process(episode_of(np.zeros(BLOCK), begin=number * BLOCK))
        count = operator.snapshot()["count"]
        fired += int(count[0].sum())  # in the last 24 samples
    assert 60 < fired / (140 * 200 * blocks * 24 * 2 / RATE_HZ) < 67


def test_hair_and_bushy_cells_are_the_slow_truth() -> None:
    config = CochleaConfig(level="none", seed=9, loudness=0.3)
    sound = chirp(0.12)
    out, motion = heard(config, episode_of(sound)), motion_of(0.3 * sound, "causal")
    assert out.n > 500
    for channel in (0, 333, 515, 640, 699):
        truth, _ = naive.spikes(motion[: len(sound) // 2, channel].tolist(), channel, RATE_HZ, 40, 9)
        assert (out.t_us[out.unit == channel] == np.rint(np.array(truth) * 2e6 / RATE_HZ)).all(), f"channel {channel}"
        assert (out.unit == channel).sum() == len(truth)


def test_binomial_fibres_are_as_many_as_single_ones() -> None:
    """Fibres one by one, each blocked for 1 ms after it fired, against the draw of how many of them fire."""
    from operators.kernels.cochlea import fibres

    p, n_fibres, ring, samples = 0.03, 40, 24, 3000
    rng = np.random.default_rng(1)
    blocked, single = np.zeros((50, n_fibres), int), []
    count = np.zeros((2 + ring, 50), np.int32)
    share, released, drawn = np.empty((4, 50)), np.empty(50, np.float32), []
    for n in range(samples):
        fires = (rng.random((50, n_fibres)) < p) & (blocked == 0)
        blocked = np.where(fires, ring - 1, np.maximum(0, blocked - 1))
        single.append(fires.sum(axis=1))
        fibres(np.full(50, p, np.float32), rng.random(50, np.float32), count, 2 + n % ring, n_fibres, 50, share, released)
        drawn.append(released.copy())
    for moment in (np.mean, np.var, lambda x: np.mean(x[:-24] * x[24:]), lambda x: np.mean(x[:-5] * x[5:])):
        assert moment(np.array(drawn[50:])) == pytest.approx(moment(np.array(single[50:])), rel=0.02)


@DIGIT
@pytest.mark.parametrize("window", ["ramp", "hann"])
def test_a_spoken_digit_gives_as_many_spikes_as_the_original(window: str) -> None:
    out = heard(CochleaConfig(mode="exact", level="file", window=window), episode_of(spoken()))  # type: ignore[arg-type]
    assert 6000 < out.n < 9000
    assert (out.unit >= 490).mean() > 0.6


@pytest.mark.parametrize("mode", ["exact", "causal"])
def test_packets_of_a_millisecond_change_nothing(mode: str) -> None:
    episode = episode_of(chirp(0.1), begin=12_345)
    config = CochleaConfig(mode=mode, channels=70)  # type: ignore[arg-type]
    whole = heard(config, episode)
    assert whole.n > 50
    assert same_events(heard(config, episode, [*range(episode.begin_us, episode.end_us, 1000)]), whole)


def test_a_seed_gives_other_spikes_and_a_sample_that_is_missing_is_silence() -> None:
    episode = episode_of(chirp(0.1))
    holes = replace(episode, t_us=episode.t_us[::2].copy(), unit=episode.unit[::2].copy(), value=episode.value[::2].copy())  # type: ignore[index]
    zeros = replace(episode, value=np.where(np.arange(episode.n) % 2, 0, episode.value).astype(np.float32))
    config = CochleaConfig(channels=70)
    assert same_events(heard(config, holes), heard(config, zeros))
    assert not same_events(heard(config, episode), heard(config.model_copy(update={"seed": 1}), episode))


def test_automatic_gain_hears_a_loud_and_a_soft_voice_alike() -> None:
    sound = chirp(0.3)
    loud, soft = (heard(CochleaConfig(channels=70), episode_of(factor * sound)) for factor in (1.0, 0.05))
    assert 0.7 < soft.n / loud.n < 1.1


def test_automatic_gain_is_the_slow_truth() -> None:
    from operators.kernels.sound_level import follow_level

    sound, power, out = chirp(0.02).astype(np.float32), np.array([0.0, 1e-4]), np.empty(960, np.float32)
    follow_level(sound, power, 0.01, 0.999, 1e-4, 0.5, out)
    short, peak = 0.0, 1e-4
    for x, y in zip(sound.tolist(), out.tolist(), strict=True):
        short = 0.99 * short + 0.01 * x * x
        peak = max(short, 0.999 * peak, 1e-4)
        assert y == pytest.approx(0.5 * x / peak**0.5, rel=1e-6, abs=1e-12)


def test_a_whole_episode_is_brought_to_one_level_and_waits_for_its_end() -> None:
    sound = chirp(0.1)
    config = CochleaConfig(channels=70, level="file")
    operator = config.prepare(SOUND)(None)
    out = operator.process(episode_of(sound))
    assert (out.n, out.begin_us, out.end_us) == (0, 0, 0)
    level = 0.3 / np.sqrt(np.mean(sound**2))
    direct = heard(CochleaConfig(channels=70, level="none"), episode_of(level * sound))
    assert same_events(operator.finish(), direct)


def test_exact_comes_out_240_ms_later() -> None:
    episode = episode_of(np.zeros(48_000))
    reached = {mode: CochleaConfig(mode=mode, channels=70).prepare(SOUND)(None).process(episode).end_us  # type: ignore[arg-type]
               for mode in ("exact", "causal")}  # fmt: skip
    assert 989_000 < reached["causal"] <= 1_000_000
    assert reached["exact"] == reached["causal"] - round(23 * BLOCK * 1e6 / RATE_HZ)


def test_only_one_channel_of_sound_at_a_known_rate_is_heard() -> None:
    for misfit in (Format("graded", (2,), rate_hz=48_000), Format("graded", (1,)), Format("spikes", (1,), rate_hz=48_000)):
        with pytest.raises(ValueError, match="takes one channel of sampled sound"):
            CochleaConfig().check(misfit)
    with pytest.raises(ValueError, match="takes 22050 to 96000 samples/s, got 8000: set the source's rate_hz"):
        CochleaConfig().check(Format("graded", (1,), rate_hz=8000))


def test_a_window_needs_the_whole_episode() -> None:
    with pytest.raises(ValueError, match="window: hann needs level: file"):
        CochleaConfig(window="hann")
