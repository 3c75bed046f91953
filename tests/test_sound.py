import sys
from pathlib import Path

import numpy as np
import pytest

from operators.sample_blocks import first_sample, stamp_us
from pipeline.packet import Packet
from sources.sound_dataset import SoundDatasetConfig
from sources.sound_file import SoundFileConfig
from tests.packets import glue
from tests.real_data import DATA, needs_data
from tests.writers_sound import few_sounds, write_wav

soundfile = pytest.importorskip("soundfile", reason="install the extra spikeline[audio]")
soxr = pytest.importorskip("soxr", reason="install the extra spikeline[audio]")
NOISE = np.random.default_rng(1).uniform(-0.9, 0.9, 1000)


def read(config: SoundFileConfig | SoundDatasetConfig) -> list[Packet]:
    """The episodes."""
    packets = list(config.prepare()(None).packets())
    return [glue([p for p in packets if p.episode == episode]) for episode in sorted({p.episode for p in packets})]


def test_samples_come_as_recorded_at_exact_times(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", NOISE, 44_100)
    (episode,) = read(SoundFileConfig(path=tmp_path / "a.wav"))
    assert episode.t_us.tolist() == [round(i * 1e6 / 44_100) for i in range(1000)]
    assert episode.value is not None
    assert (episode.value == np.rint(NOISE * 32768).astype(np.float32) / 32768).all()
    assert SoundFileConfig(path=tmp_path / "a.wav").check().rate_hz == 44_100


def test_several_channels_are_averaged(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.stack((NOISE, -NOISE / 2), axis=1))
    (episode,) = read(SoundFileConfig(path=tmp_path / "a.wav"))
    np.testing.assert_allclose(episode.value, NOISE / 4, atol=1 / 32768)


def test_a_tone_is_the_same_tone_after_resampling(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * np.arange(4000) / 8000))
    (episode,) = read(SoundFileConfig(path=tmp_path / "a.wav", rate_hz=48_000))
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 48_000)
    assert episode.n == 24_000
    assert episode.value is not None
    assert np.abs(episode.value - wanted)[500:-500].max() < 1e-3


def test_resampling_in_chunks_is_resampling_at_once(tmp_path: Path) -> None:
    sound = np.random.default_rng(2).uniform(-0.5, 0.5, 150_000)
    write_wav(tmp_path / "a.wav", sound, 16_000)
    (episode,) = read(SoundFileConfig(path=tmp_path / "a.wav", rate_hz=48_000, packet_ms=1000))
    whole = soxr.resample(soundfile.read(tmp_path / "a.wav", dtype="float32")[0], 16_000, 48_000)
    assert episode.value is not None
    np.testing.assert_allclose(episode.value, whole, atol=1e-5)


def test_a_part_of_a_file_keeps_the_files_times(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", NOISE)
    (episode,) = read(SoundFileConfig(path=tmp_path / "a.wav", from_s=0.05, to_s=0.2))
    assert (episode.begin_us, episode.end_us, episode.n) == (50_000, 200_000, 600)
    assert episode.value is not None
    assert episode.value[0] == np.float32(np.rint(NOISE[400] * 32768) / 32768)


def test_names_tell_class_and_speaker_of_a_flat_folder(tmp_path: Path) -> None:
    few_sounds(tmp_path)
    (tmp_path / "flat/README.md").write_text("not a sound")
    source = SoundDatasetConfig(path=tmp_path / "flat").prepare()(None)
    labels = {p.episode: p.label for p in source.packets()}
    assert source.format.names == ("0", "1", "10")
    assert labels == {0: 0, 1: 0, 2: 1, 3: 2}
    assert source.report()["speaker"] == {"ann": 2, "bob": 2}  # type: ignore[attr-defined]


def test_folders_are_classes(tmp_path: Path) -> None:
    few_sounds(tmp_path)
    config = SoundDatasetConfig(path=tmp_path / "nested", classes=("two", "one"))
    assert [(p.episode, p.label) for p in config.prepare()(None).packets() if p.last] == [(0, 0), (1, 1), (2, 1)]


def test_parts_of_a_data_set_share_their_classes(tmp_path: Path) -> None:
    few_sounds(tmp_path)
    test, train = (SoundDatasetConfig(path=tmp_path / "flat", **part) for part in ({"files": "*_0.wav"}, {"exclude": "*_0.wav"}))  # type: ignore[arg-type]
    assert test.check().names == train.check().names
    assert ([s.path.name for s in test.sounds()[1]], [s.path.name for s in train.sounds()[1]]) == (
        ["0_ann_0.wav", "1_bob_0.wav", "10_bob_0.wav"], ["0_ann_1.wav"])  # fmt: skip


def test_silence_can_be_put_before_and_after(tmp_path: Path) -> None:
    write_wav(tmp_path / "x_1.wav", NOISE)
    (episode,) = read(SoundDatasetConfig(path=tmp_path, rate_hz=8000, lead_ms=100, tail_ms=50))
    assert (episode.begin_us, int(episode.t_us[0]), episode.end_us, episode.n) == (0, 100_000, 275_000, 1000)


@needs_data("fsdd")
def test_the_official_test_part_of_fsdd_is_five_recordings_of_each_speaker_and_digit() -> None:
    config = SoundDatasetConfig(path=DATA / "fsdd", files="*_[0-4].wav")
    names, sounds = config.sounds()
    assert names == tuple("0123456789")
    assert len(sounds) == 250
    assert len(SoundDatasetConfig(path=DATA / "fsdd", exclude="*_[0-4].wav").sounds()[1]) == 2250
    (episode,) = read(SoundDatasetConfig(path=DATA / "fsdd", files="7_theo_12.wav"))
    assert episode.label == 7
    assert episode.n == 6 * soundfile.info(DATA / "fsdd/7_theo_12.wav").frames


@pytest.mark.parametrize(("content", "wanted"), [
    (b"", "not a sound file, or damaged"),
    (b"RIFF nonsense", "not a sound file, or damaged"),
    (None, "no such file"),
])  # fmt: skip
def test_what_is_no_sound_is_one_clear_line(content: bytes | None, wanted: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match=wanted) as refusal:
        SoundFileConfig(path=tmp_path / "a.wav").check()
    assert "\n" not in str(refusal.value)


def test_every_truncation_gives_fewer_samples_or_a_clear_error(tmp_path: Path) -> None:
    write_wav(tmp_path / "whole.wav", NOISE[:50])
    content = (tmp_path / "whole.wav").read_bytes()
    (whole,) = read(SoundFileConfig(path=tmp_path / "whole.wav"))
    assert whole.value is not None
    for length in range(len(content)):
        (tmp_path / "cut.wav").write_bytes(content[:length])
        try:
            (episode,) = read(SoundFileConfig(path=tmp_path / "cut.wav"))
        except ValueError:
            continue
        assert episode.value is not None
        assert (episode.value == whole.value[: episode.n]).all()


def test_nothing_that_is_asked_for_is_an_error_that_says_so(tmp_path: Path) -> None:
    few_sounds(tmp_path)
    with pytest.raises(ValueError, match="none of its 4 sound files is asked for"):
        SoundDatasetConfig(path=tmp_path / "flat", files="*.flac").check()
    with pytest.raises(ValueError, match="no sounds of class '7'; there are 0, 1, 10"):
        SoundDatasetConfig(path=tmp_path / "flat", classes=("0", "7")).check()
    with pytest.raises(ValueError, match="holds no sound files"):
        (tmp_path / "none").mkdir()
        SoundDatasetConfig(path=tmp_path / "none").check()


def test_without_the_packages_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wav(tmp_path / "a.wav", NOISE)
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(ValueError, match=r"by the package soxr: pip install 'spikeline\[audio\]'"):
        read(SoundFileConfig(path=tmp_path / "a.wav", rate_hz=48_000))
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(ValueError, match=r"need the package soundfile: pip install 'spikeline\[audio\]'"):
        SoundFileConfig(path=tmp_path / "a.wav").check()


@pytest.mark.parametrize("rate_hz", [8000.0, 11_025.0, 44_100.0, 48_000.0, 22_050.5])
def test_the_first_sample_at_a_time_is_found_at_any_rate(rate_hz: float) -> None:
    for sample in (0, 1, 7, 12_345, 10**9):
        t_us = stamp_us(sample, rate_hz)
        assert [first_sample(t, rate_hz) for t in (t_us, t_us + 1)] == [sample, sample + 1]
