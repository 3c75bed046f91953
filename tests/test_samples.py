"""Labelled samples of SHD, of idx images and of tonic's classes: one episode each, with the label that the data tell."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pipeline.packet import Packet
from sources.images import ImagesConfig, read_idx
from sources.shd import ShdConfig
from sources.tonic import TonicConfig
from tests.packets import glue
from tests.real_data import DATA, needs_data
from tests.writers_samples import few_images, few_utterances, idx, write_shd


def episodes(config: Any) -> list[Packet]:
    """One packet an episode."""
    packets = list(config.prepare()(None).packets())
    return [glue(list(group)) for _, group in itertools.groupby(packets, key=lambda packet: packet.episode)]


# --- SHD ---


def test_float16_seconds_become_whole_microseconds_without_overflow(tmp_path):
    times = [0.0, 0.1, 0.24, 1.3]
    write_shd(tmp_path / "a.h5", [times], [[5, 6, 699, 0]], [0])
    (episode,) = episodes(ShdConfig(path=tmp_path / "a.h5"))
    exact = [round(float(np.float16(t)) * 1e6) for t in times]
    assert episode.t_us.tolist() == exact == [0, 99_976, 239_990, 1_299_805]
    assert (episode.unit.tolist(), episode.end_us, episode.label) == ([5, 6, 699, 0], 1_299_806, 0)


def test_labels_names_speakers_and_languages_come_from_the_file(tmp_path):
    few_utterances(tmp_path)
    config = ShdConfig(path=tmp_path / "SHD/shd_test.h5")
    source = config.prepare()(None)
    assert source.format.shape == (700,)
    assert source.format.names[3] == "word 3"
    labels = [packet.label for packet in source.packets() if packet.last]
    assert labels == [3, 17, 3, 0]
    assert source.report() == {  # type: ignore[attr-defined]
        "samples": 4, "events": 160, "speaker": {"1": 1, "4": 1, "5": 2}, "language": {"english": 3, "german": 1}}  # fmt: skip


def test_speakers_and_a_language_can_be_chosen(tmp_path):
    few_utterances(tmp_path)
    path = tmp_path / "SHD/shd_test.h5"

    def labels(**options):
        return [episode.label for episode in episodes(ShdConfig(path=path, **options))]

    assert labels(speakers=(5,)) == [17, 3]
    assert labels(speakers=("5", "1"), language="english") == [3, 0]
    assert labels(language="german") == [17]
    with pytest.raises(ValueError, match="no speaker '7'; there are 1, 4, 5"):
        labels(speakers=("7",))
    with pytest.raises(ValueError, match="holds no sample of german"):
        labels(speakers=(1,), language="german")


def test_what_lies_at_time_zero_can_be_chosen(tmp_path):
    write_shd(tmp_path / "a.h5", [[0.25, 0.5]], [[1, 2]], [0])
    for options, wanted in (
        ({"offset_ms": 5}, [255_000, 505_000]),
        ({"anchor": "first_spike"}, [0, 250_000]),
        ({"anchor": "first_spike", "offset_ms": 0.5}, [500, 250_500]),
    ):
        (episode,) = episodes(ShdConfig(path=tmp_path / "a.h5", **options))
        assert (episode.t_us.tolist(), episode.end_us) == (wanted, wanted[-1] + 1)


def test_end_ms_cuts_and_fills_every_episode(tmp_path):
    write_shd(tmp_path / "a.h5", [[0.5, 1.5], []], [[1, 2], []], [0, 0])
    found = episodes(ShdConfig(path=tmp_path / "a.h5", end_ms=1000))
    assert [(packet.n, packet.end_us) for packet in found] == [(1, 1_000_000), (0, 1_000_000)]
    with pytest.raises(ValueError, match="sample 1 holds no events; set end_ms"):
        episodes(ShdConfig(path=tmp_path / "a.h5"))


def test_spikes_out_of_order_are_put_in_order(tmp_path):
    write_shd(tmp_path / "a.h5", [[0.5, 0.25, 0.5]], [[1, 2, 3]], [0])
    (episode,) = episodes(ShdConfig(path=tmp_path / "a.h5"))
    assert (episode.t_us.tolist(), episode.unit.tolist()) == ([250_000, 500_000, 500_000], [2, 1, 3])


@pytest.mark.parametrize(("times", "units", "wanted"), [
    ([0.5, float("inf")], [1, 2], "sample 0 has a spike at a time that cannot be"),
    ([-0.5, 0.5], [1, 2], "sample 0 has a spike at a time that cannot be"),
    ([0.5, 0.6], [1, 700], "sample 0 has a spike of unit 700, there are 700 channels"),
    ([0.5, 0.6], [1], "whole units of one length"),
])
def test_an_impossible_utterance_is_an_error(times, units, wanted, tmp_path):
    write_shd(tmp_path / "a.h5", [times], [units], [0])
    with pytest.raises(ValueError, match=wanted):
        episodes(ShdConfig(path=tmp_path / "a.h5"))


def test_a_file_that_is_not_shd_is_one_clear_line(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    with pytest.raises(ValueError, match="damaged or cut off HDF5 file"):
        ShdConfig(path=tmp_path / "a.h5").check()
    with pytest.raises(ValueError, match="no such file; the data sets are at"):
        ShdConfig(path=tmp_path / "b.h5").check()


# --- images ---


def test_each_pixel_is_a_graded_event_at_the_begin_of_the_presentation(tmp_path):
    (tmp_path / "a-images-idx3-ubyte").write_bytes(idx(np.array([[[0, 255], [51, 102]], [[1, 0], [0, 0]]])))
    (tmp_path / "a-labels-idx1-ubyte").write_bytes(idx(np.array([1, 0])))
    config = ImagesConfig(path=tmp_path / "a-images-idx3-ubyte", presentation_ms=20)
    assert config.check().names == ("0", "1")
    first, second = episodes(config)
    assert (first.t_us.tolist(), first.unit.tolist(), first.end_us) == ([0, 0, 0, 0], [0, 1, 2, 3], 20_000)
    assert first.value is not None
    assert first.value.tolist() == np.array([0, 1, 0.2, 0.4], np.float32).tolist()
    assert (first.label, second.label, second.begin_us) == (1, 0, 0)


def test_pixels_below_the_threshold_are_left_out_and_an_image_may_be_empty(tmp_path):
    (tmp_path / "a").write_bytes(idx(np.array([[[0, 255], [51, 128]], [[1, 0], [0, 0]]])))
    first, second = episodes(ImagesConfig(path=tmp_path / "a", threshold=0.5))
    assert (first.unit.tolist(), second.n, second.label) == ([1, 3], 0, -1)
    assert second.value is not None


@pytest.mark.parametrize("packed", [False, True])
def test_every_truncation_of_an_idx_file_is_one_clear_line(packed, tmp_path):
    path = tmp_path / "a"
    content = idx(np.arange(2 * 3 * 4).reshape(2, 3, 4), packed)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"damaged|not an idx file") as error:
            read_idx(path, 3)
        assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize("packed", [False, True])
def test_flipped_bits_of_an_idx_file_never_crash(packed, tmp_path):
    path = tmp_path / "a"
    content = idx(np.arange(2 * 3 * 4).reshape(2, 3, 4), packed)
    for at, bits in itertools.product(range(len(content)), (0x01, 0x80, 0xFF)):
        path.write_bytes(content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :])
        try:
            assert read_idx(path, 3).size <= 24
        except ValueError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)  # noqa: PT017, PT018


def test_labels_of_another_number_are_refused(tmp_path):
    few_images(tmp_path)
    (tmp_path / "few-labels-idx1-ubyte.gz").write_bytes(idx(np.array([1, 2])))
    with pytest.raises(ValueError, match="5 images, but 2 labels"):
        ImagesConfig(path=tmp_path / "few-images-idx3-ubyte.gz").check()


@needs_data("images/mnist")
def test_real_mnist_is_read_with_its_labels():
    config = ImagesConfig(path=DATA / "images/mnist/t10k-images-idx3-ubyte.gz", limit=3, threshold=0.5)
    assert (config.check().shape, len(config.check().names)) == ((28, 28), 10)
    assert [packet.label for packet in episodes(config)] == [7, 2, 1]
    assert len(read_idx(DATA / "images/mnist/train-images-idx3-ubyte.gz", 3)) == 60_000


def test_parts_of_a_file_are_chosen_by_the_names_of_its_sounds(tmp_path):
    path = tmp_path / "a.h5"
    write_shd(path, [[0.1], [0.2], [0.3], []], [[1], [2], [3], []], [0, 1, 1, 0], ("a", "b"), (5, 6, 7, 8))
    with pytest.raises(ValueError, match="has no extra/files, so no part of it can be chosen"):
        episodes(ShdConfig(path=path, exclude=("b_*",)))
    with h5py.File(path, "a") as file:
        file["extra/files"] = np.array([b"a_0.wav", b"b_0.wav", b"b_1.wav", b"a_1.wav"])
        file["extra/length_us"] = np.array([400_000, 400_000, 250_000, 150_000])
    assert [(p.unit.tolist(), p.label) for p in episodes(ShdConfig(path=path, files="*_0.wav"))] == [([1], 0), ([2], 1)]
    rest = ShdConfig(path=path, exclude="*_0.wav").prepare()(None)
    packets = [packet for packet in rest.packets() if packet.last]
    assert [(p.label, p.end_us) for p in packets] == [(1, 300_050), (0, 150_000)]  # the longer of its length and its spikes
    assert rest.report()["speaker"] == {"7": 1, "8": 1}  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="none of its 4 samples is asked for \\(files: c"):
        episodes(ShdConfig(path=path, files="c_*"))


def test_names_that_do_not_fit_the_samples_are_an_error(tmp_path):
    path = tmp_path / "a.h5"
    write_shd(path, [[0.1], [0.2]], [[1], [2]], [0, 1])
    with h5py.File(path, "a") as file:
        file["extra/length_us"] = np.array([-1, 5])
    with pytest.raises(ValueError, match="extra/length_us must hold one value of each of 2 samples"):
        episodes(ShdConfig(path=path))


# --- SHD files, damaged ---


def test_flipped_bits_of_an_shd_file_give_a_clear_error_or_units_that_fit(tmp_path):
    path = tmp_path / "a.h5"
    write_shd(path, [[0.1, 0.2], [0.3]], [[1, 2], [3]], [0, 1], ("a", "b"), (1, 2))
    content = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for at in np.random.default_rng(1).choice(len(content), 150, replace=False).tolist():
            os.pwrite(file.fileno(), bytes([content[at] ^ 0xFF]), at)
            try:
                for packet in episodes(ShdConfig(path=path)):
                    assert not packet.n or packet.unit.max() < 2**16
            except ValueError as error:
                assert "\n" not in str(error)  # noqa: PT017
            os.pwrite(file.fileno(), content[at : at + 1], at)


# --- tonic ---


def test_tonics_shd_gives_the_same_spikes_as_the_file(tmp_path):
    pytest.importorskip("tonic")
    few_utterances(tmp_path)
    own = episodes(ShdConfig(path=tmp_path / "SHD/shd_test.h5"))
    theirs = episodes(TonicConfig(dataset="SHD", save_to=tmp_path, options={"train": False}))
    assert [packet.label for packet in theirs] == [packet.label for packet in own]
    assert [packet.unit.tolist() for packet in theirs] == [packet.unit.tolist() for packet in own]
    assert all(np.abs(a.t_us - b.t_us).max() <= 1 for a, b in zip(own, theirs, strict=True))  # tonic truncates


@pytest.fixture
def toy(monkeypatch) -> Callable[..., None]:
    """Puts a class into tonic.datasets whose samples are as given."""
    datasets = pytest.importorskip("tonic.datasets")

    def put(items: list[Any], **attributes: Any) -> None:
        methods = {"__init__": lambda _, save_to: None, "__len__": lambda _: len(items), "__getitem__": lambda _, i: items[i]}
        monkeypatch.setattr(datasets, "Toy", type("Toy", (), methods | {"sensor_size": (4, 3, 2)} | attributes), raising=False)

    return put


EVENTS = np.array([(1, 2, 70, 1), (3, 0, 50, 0)], [("x", int), ("y", int), ("t", int), ("p", int)])


def test_a_tonic_class_of_a_camera_gives_polarity_row_and_column(toy):
    toy([(EVENTS, "cat")], classes=["dog", "cat"])
    config = TonicConfig(dataset="Toy", save_to=Path("unused"))
    assert (config.check().shape, config.check().names) == ((2, 3, 4), ("dog", "cat"))
    (episode,) = episodes(config)
    assert (episode.t_us.tolist(), episode.unit.tolist(), episode.label) == ([50, 70], [3, 12 + 2 * 4 + 1], 1)


@pytest.mark.parametrize(("items", "attributes", "wanted"), [
    ([(EVENTS, 0)], {"sensor_size": None}, "does not tell its sensor_size: set shape"),
    ([(EVENTS, 0)], {"sensor_size": (2, 3, 2)}, "sample 0 has an event at x=3, outside of"),
    ([(np.zeros(3), 0)], {}, "sample 0 is no structured array of events"),
    ([EVENTS], {}, "sample 0 is no pair of events and target"),
    ([], {}, "has no samples"),
])
def test_a_tonic_class_that_does_not_fit_is_one_clear_line(items, attributes, wanted, toy):
    toy(items, **attributes)
    with pytest.raises(ValueError, match=wanted):
        episodes(TonicConfig(dataset="Toy", save_to=Path("unused")))


def test_without_tonic_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tonic", None)
    with pytest.raises(ValueError, match="needs the package tonic: pip install tonic"):
        TonicConfig(dataset="NMNIST", save_to=Path("data")).check()


def test_an_unknown_tonic_class_is_told_what_there_is():
    pytest.importorskip("tonic")
    with pytest.raises(ValueError, match=r"tonic has no data set NMINST; it has .*NMNIST"):
        TonicConfig(dataset="NMINST", save_to=Path("data")).check()
