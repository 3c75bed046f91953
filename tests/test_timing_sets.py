"""Whole, Part and Norm: norm tells nothing by counts, part is what was recorded, every split is balanced."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sources.shd import ShdConfig
from spikeline.timing_sets import Binned, build, count_accuracy
from tests.writers_samples import write_shd

CLASSES, EACH, BINS = 3, 25, 20


def rate_coded(folder: Path) -> Path:
    """Three classes told by rates: unit 3 of 8 is almost silent, the others fire 3 to 12 times in 200 ms, by class."""
    rng = np.random.default_rng(2)
    times, units, labels = [], [], []
    for sample in range(CLASSES * EACH):
        label = sample % CLASSES
        t, u = [], []
        for unit in range(8):
            n = int(sample < 10) if unit == 3 else 3 + (unit + label) % 3 * 4
            t += ((rng.choice(BINS, n, replace=False) + rng.uniform(0.2, 0.8, n)) * 0.01).tolist()
            u += [unit] * n
        order = np.argsort(t)
        times.append(np.array(t)[order].tolist())
        units.append(np.array(u)[order].tolist())
        labels.append(label)
    write_shd(folder / "a.h5", times, units, labels, ["x", "y", "z"], dtype="f4")
    return folder / "a.h5"


def read(path: Path) -> list[tuple[int, np.ndarray, np.ndarray]]:
    return [(p.label, p.t_us, p.unit) for p in ShdConfig(path=path, packet_ms=1e6).prepare()(None).packets()]


def counts(path: Path) -> np.ndarray:
    channels = ShdConfig(path=path).check().size
    return np.stack([np.bincount(unit, minlength=channels) for _, _, unit in read(path)])


def test_norm_has_equal_counts_in_every_sample_and_counts_alone_are_at_chance(tmp_path):
    figures = build([rate_coded(tmp_path)], tmp_path / "out", bins=BINS, length_s=0.2)
    every = np.concatenate([counts(tmp_path / f"out/norm_{split}.h5") for split in ("train", "validation", "test")])
    assert (every == every[0]).all()
    assert every[0].tolist() == figures["least_spikes"] == [3] * 7
    assert figures["count_only_accuracy"]["norm"] == pytest.approx(1 / CLASSES)
    assert figures["count_only_accuracy"]["part"] == 1.0
    assert figures["units"] == 7, "the unit that is almost silent is left out"


def test_norm_is_a_part_of_part_and_part_of_whole(tmp_path):
    build([rate_coded(tmp_path)], tmp_path / "out", bins=BINS, length_s=0.2)
    kept = [0, 1, 2, 4, 5, 6, 7]
    for split in ("train", "validation", "test"):
        whole, part, norm = (read(tmp_path / f"out/{name}_{split}.h5") for name in ("whole", "part", "norm"))
        for (label, *large), (_, *middle), (other, *small) in zip(whole, part, norm, strict=True):
            sets = [set(zip(t.tolist(), u.tolist(), strict=True)) for t, u in (large, middle, small)]
            assert sets[2] < sets[1]
            assert {(t, kept[u]) for t, u in sets[1]} <= sets[0]
            assert label == other


def test_every_class_is_as_frequent_in_every_split_and_no_sample_is_in_two(tmp_path):
    build([rate_coded(tmp_path)], tmp_path / "out", bins=BINS, length_s=0.2)
    seen = []
    for split, each in (("train", 15), ("validation", 5), ("test", 5)):
        samples = read(tmp_path / f"out/whole_{split}.h5")
        assert np.bincount([label for label, _, _ in samples]).tolist() == [each] * CLASSES
        seen += [(t.tobytes(), u.tobytes()) for _, t, u in samples]
    assert len(set(seen)) == len(seen)


def test_a_set_whose_units_are_silent_is_refused_with_advice(tmp_path):
    write_shd(tmp_path / "a.h5", [[0.1], [0.2]] * 5, [[0], [1]] * 5, [0, 1] * 5)
    with pytest.raises(ValueError, match="no unit fires at least 2 times in every sample"):
        build([tmp_path / "a.h5"], tmp_path / "out")


def test_the_command_prints_the_control(tmp_path):
    done = subprocess.run([sys.executable, "-m", "spikeline.cli", "timing-sets", str(rate_coded(tmp_path)), "--out",
                           str(tmp_path / "out"), "--bins", "20", "--length-s", "0.2", "--json", str(tmp_path / "f.json")],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "spike counts alone on norm  0.333" in done.stdout
    assert json.loads((tmp_path / "f.json").read_text())["test"] == 15


def test_counts_that_tell_the_class_are_found_to_do_so_among_as_many_units_as_samples():
    rng = np.random.default_rng(5)

    def drawn(n: int) -> Binned:
        labels = np.arange(n) % 3
        unit = np.arange(90)
        told = 4 * ((unit < 12) & (unit % 3 == labels[:, None]))
        spikes = 4 + told + rng.integers(-3, 4, (n, 90))
        cells = [np.concatenate([number * 20 + np.arange(count) for number, count in enumerate(own)]) for own in spikes]
        return Binned(cells, labels, 90, 20, ("x", "y", "z"))

    assert count_accuracy(drawn(90), drawn(90), drawn(300)) > 0.85
