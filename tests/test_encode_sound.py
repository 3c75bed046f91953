import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from operators.cochlea import CochleaConfig
from operators.mel_spikes import MelSpikesConfig
from pipeline.packet import Format, Packet
from sources.shd import ShdConfig
from spikeline import encode_sound
from spikeline.commands.encode_sound import ear_of
from spikeline.encode_sound import encode_sounds, seconds
from tests.packets import glue
from tests.writers_sound import few_sounds, write_wav

pytest.importorskip("soundfile", reason="install the extra spikeline[audio]")
COCHLEA = CochleaConfig(channels=70, mode="causal", level="file", loudness=2, seed=3)
VOICE = Format("graded", (1,), rate_hz=24_000.0)
AS_RECORDED: dict[str, Any] = {"rate_hz": 24_000.0, "workers": 1}


def sounds(folder: Path) -> Path:
    few_sounds(folder)
    write_wav(folder / "flat/10_bob_1.wav", np.sin(np.arange(2400) / 5), 24_000)
    return folder / "flat"


def events_of(path: Path) -> list[Packet]:
    packets = list(ShdConfig(path=path).prepare()(None).packets())
    return [glue([p for p in packets if p.episode == episode]) for episode in range(packets[-1].episode + 1)]


def test_the_set_holds_what_the_cochlea_hears_with_labels_speakers_and_files(tmp_path: Path) -> None:
    figures = encode_sounds(sounds(tmp_path), tmp_path / "set.h5", COCHLEA, **AS_RECORDED)
    assert (figures["sounds"], figures["classes"], figures["resumed"]) == (5, 3, 0)
    with h5py.File(tmp_path / "set.h5") as file:
        assert file["labels"][()].tolist() == [0, 0, 1, 2, 2]
        assert file["extra/keys"][()].tolist() == [b"0", b"1", b"10"]
        assert [file["extra/speakers"][i] for i in file["extra/speaker"][()]] == [b"ann", b"ann", b"bob", b"bob", b"bob"]
        assert file["extra/files"][4] == b"10_bob_1.wav"
        assert file["extra/length_us"][4] == 100_000
        assert file.attrs["channels"] == 70
        assert json.loads(file.attrs["made_with"])["cochlea"]["seed"] == 3
        encoded = encode_sound.encode_sound(
            tmp_path / "flat/10_bob_1.wav",
            lambda seed: COCHLEA.model_copy(update={"seed": seed}).prepare(VOICE)(None), 3, 24_000.0)  # fmt: skip
        assert (np.rint(file["spikes/times"][4].astype(np.float64) * 1e6) == encoded.t_us).all()
    bob = ShdConfig(path=tmp_path / "set.h5", speakers=("bob",)).prepare()(None)
    assert [packet.label for packet in bob.packets() if packet.last] == [1, 2, 2]
    episode = events_of(tmp_path / "set.h5")[4]
    assert episode.n > 20
    assert (episode.t_us == encoded.t_us).all()
    assert (episode.unit == encoded.unit).all()


def test_tonics_shd_and_our_source_give_equal_events(tmp_path: Path) -> None:
    tonic = pytest.importorskip("tonic", reason="install the extra spikeline[train]")
    path = tmp_path / "SHD/shd_test.h5"
    path.parent.mkdir()
    encode_sounds(sounds(tmp_path), path, COCHLEA, **AS_RECORDED)
    with zipfile.ZipFile(path.with_suffix(".h5.zip"), "w"):
        pass
    theirs, ours = tonic.datasets.SHD(str(tmp_path), train=False), events_of(path)
    assert len(theirs) == len(ours) == 5
    assert [key.decode() for key in theirs.classes] == list(ShdConfig(path=path).check().names)
    for (events, label), episode in zip(theirs, ours, strict=True):
        assert (events["t"] == episode.t_us).all()
        assert (events["x"] == episode.unit).all()
        assert label == episode.label


def test_a_run_that_was_stopped_goes_on_and_gives_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sounds(tmp_path)
    whole, target = tmp_path / "whole.h5", tmp_path / "set.h5"
    encode_sounds(folder, whole, COCHLEA, **AS_RECORDED)
    monkeypatch.setattr(encode_sound, "BATCH", 1)

    def stop_at_two(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_sounds(folder, target, COCHLEA, on_progress=stop_at_two, **AS_RECORDED)
    assert not target.exists()
    assert encode_sounds(folder, target, COCHLEA, **AS_RECORDED)["resumed"] == 2
    assert not list(tmp_path.glob("*.parts"))
    assert [(p.t_us.tobytes(), p.unit.tobytes()) for p in events_of(target)] == [
        (p.t_us.tobytes(), p.unit.tobytes()) for p in events_of(whole)]  # fmt: skip


def test_what_was_begun_with_other_options_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, target = sounds(tmp_path), tmp_path / "set.h5"
    monkeypatch.setattr(encode_sound, "BATCH", 1)

    def stop(done: int, of: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_sounds(folder, target, COCHLEA, on_progress=stop, **AS_RECORDED)
    other = COCHLEA.model_copy(update={"seed": 4})
    assert encode_sounds(folder, target, other, **AS_RECORDED)["resumed"] == 0


def test_processes_give_the_same_spikes_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sounds(tmp_path)
    monkeypatch.setattr(encode_sound, "BATCH", 2)
    for workers in (1, 2):
        encode_sounds(folder, tmp_path / f"{workers}.h5", COCHLEA, rate_hz=24_000.0, workers=workers)
    one, two = (events_of(tmp_path / f"{workers}.h5") for workers in (1, 2))
    assert [(p.t_us.tobytes(), p.unit.tobytes()) for p in one] == [(p.t_us.tobytes(), p.unit.tobytes()) for p in two]


def test_a_file_that_exists_is_replaced_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "set.h5").write_text("mine")
    with pytest.raises(ValueError, match="exists already: choose another file, or replace it with --force"):
        encode_sounds(sounds(tmp_path), tmp_path / "set.h5", COCHLEA, **AS_RECORDED)


def test_a_damaged_sound_stops_the_run_and_is_named(tmp_path: Path) -> None:
    folder = sounds(tmp_path)
    (folder / "1_eve_0.wav").write_bytes(b"RIFF nonsense")
    with pytest.raises(ValueError, match=r"1_eve_0\.wav: not a sound file"):
        encode_sounds(folder, tmp_path / "set.h5", COCHLEA, **AS_RECORDED)
    assert not (tmp_path / "set.h5").exists()


MEL = MelSpikesConfig(channels=6, window_ms=8, hop_ms=4, level="agc", floor_db=-40, delta_db=2)


def test_the_light_ear_keeps_the_shape_of_its_spikes(tmp_path: Path) -> None:
    encode_sounds(sounds(tmp_path), tmp_path / "set.h5", MEL, **AS_RECORDED)
    assert ShdConfig(path=tmp_path / "set.h5").check().shape == (2, 6)
    episode = events_of(tmp_path / "set.h5")[4]
    assert episode.n
    assert episode.unit.max() >= 6


def test_the_command_takes_an_ear_in_yaml_and_says_what_it_wanted() -> None:
    assert ear_of("{type: mel_spikes, channels: 12, level: agc}", {}) == MelSpikesConfig(channels=12, level="agc")
    assert ear_of("mel_spikes", {}) == MelSpikesConfig()
    assert ear_of("{type: cochlea, inhibition: 20}", {}) == CochleaConfig(inhibition=20)
    for text in ("{type: cochlea, inhibitions: 3}", "{type: mel_spikes, chanels: 3}", "{type", "[1]"):
        with pytest.raises(ValueError, match="wanted mel_spikes or cochlea and its options"):
            ear_of(text, {})
    with pytest.raises(ValueError, match="--mode and --ear: the ear's own options say that"):
        ear_of("cochlea", {"mode": "exact"})


def test_without_an_ear_the_command_takes_the_cochlea_as_the_original_was() -> None:
    assert ear_of(None, {}) == CochleaConfig(mode="exact", level="file", window="hann")
    assert ear_of(None, {"mode": "causal", "channels": 70}) == CochleaConfig(mode="causal", channels=70)
    assert ear_of(None, {"level": "none", "seed": 3}) == CochleaConfig(mode="exact", level="none", seed=3)


def test_variants_follow_their_sound_and_differ_from_it_and_each_other(tmp_path: Path) -> None:
    folder, path = sounds(tmp_path), tmp_path / "set.h5"
    encode_sounds(folder, tmp_path / "plain.h5", MEL, **AS_RECORDED)
    assert encode_sounds(folder, path, MEL, variants=2, **AS_RECORDED)["sounds"] == 15
    with h5py.File(path) as file:
        names = [name.decode() for name in file["extra/files"][()]]
        assert names[12:] == ["10_bob_1.wav", "10_bob_1.wav#1", "10_bob_1.wav#2"]
        assert file["labels"][12:].tolist() == [2, 2, 2]
    plain, varied = events_of(tmp_path / "plain.h5"), events_of(path)
    assert [p.t_us.tobytes() for p in varied[::3]] == [p.t_us.tobytes() for p in plain]
    lengths_us = [p.end_us for p in varied[12:]]
    assert len(set(lengths_us)) == 3
    assert all(1e5 / 1.4 < length_us < 1e5 * 1.4 for length_us in lengths_us)
    chosen = ShdConfig(path=path, files=("*_bob_*.wav",)).prepare()(None)
    assert sum(packet.last for packet in chosen.packets()) == 3


def test_backgrounds_are_a_class_of_their_own(tmp_path: Path) -> None:
    folder, path = sounds(tmp_path), tmp_path / "set.h5"
    encode_sounds(folder, path, MEL, silence=3, **AS_RECORDED)
    assert ShdConfig(path=path).check().names == ("0", "1", "10", "silence")
    with h5py.File(path) as file:
        assert file["labels"][()].tolist() == [0, 0, 1, 2, 2, 3, 3, 3]
        assert file["extra/files"][7] == b"silence_2"
    write_wav(folder / "silence_ann_0.wav", np.zeros(240), 24_000)
    with pytest.raises(ValueError, match="has sounds of class 'silence'"):
        encode_sounds(folder, path, MEL, silence=3, force=True, **AS_RECORDED)


@pytest.mark.parametrize("times", ["float32", "float64"])
def test_seconds_give_the_microsecond_whether_rounded_or_truncated(times: Any) -> None:
    t_us = np.concatenate((np.arange(100_000), np.arange(3_900_000, 4_000_000)))
    scaled = seconds(t_us, times).astype(np.float64) * 1e6
    assert (np.rint(scaled) == t_us).all()
    assert (scaled.astype(np.int64) == t_us).all()
