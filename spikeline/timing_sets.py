"""Whole, Part and Norm: an SHD-layout data set goes in; three come out, the last of which holds no rate information at all.

Source: Yu, Sun, Goodman et al., "Beyond rate coding: surrogate gradients enable spike timing learning in spiking neural
networks" (2025), the construction of SHD-norm and SSC-norm.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sources.shd import ShdConfig

SPLITS = {"train": 0.6, "validation": 0.2, "test": 0.2}
EVIDENCE = 2  # spikes that a unit should have in every sample
OFFENDERS = 0.01  # share of samples that may be dropped to keep one unit
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the classifier of counts, in variances of a feature


@dataclass(frozen=True, eq=False)
class Binned:
    """Samples as sorted, different cells unit * bins + bin. counts (samples, units): cells of each unit."""

    cells: list[np.ndarray]
    labels: np.ndarray
    units: int
    bins: int
    names: tuple[str, ...]

    def counts(self) -> np.ndarray:
        return np.stack([np.bincount(cells // self.bins, minlength=self.units) for cells in self.cells])

    def only(self, samples: np.ndarray) -> Binned:
        return Binned([self.cells[i] for i in samples.tolist()], self.labels[samples], self.units, self.bins, self.names)


def build(paths: Sequence[Path], folder: Path, *, bins: int = 100, length_s: float = 1.4, drop_share: float = 0.2,
          seed: int = 0) -> dict[str, Any]:
    """Write {whole, part, norm}_{train, validation, test}.h5 into `folder` and return the figures of the construction.

    Spikes are put into `bins` bins of [0, length_s), one a unit and bin. A unit is kept if it fires at least twice in every
    sample, or would once at most 1 % of the samples are dropped, as long as drop_share of all are not gone; units are taken in
    order of how many samples they would cost. part: these samples and units, as they are. norm: of every unit the same
    number of spikes in every sample, the least that any has, drawn without replacement. whole: these samples, all units.
    Classes are made equally frequent in every split. ValueError when no unit or too few samples are left.
    """
    rng = np.random.default_rng([seed, 0x40])
    data = read(paths, bins, length_s)
    counts = data.counts()
    samples, units = _kept(counts, drop_share)
    if not units.size:
        raise ValueError(f"{paths[0]}: no unit fires at least {EVIDENCE} times in every sample: use longer or fewer bins, "
                         "a greater drop_share, or a data set with more spikes")
    splits = _splits(data.labels[samples], rng)
    whole = data.only(samples)
    part = _restricted(whole, units)
    least = part.counts().min(0)
    norm = _thinned(part, least, rng)
    folder.mkdir(parents=True, exist_ok=True)
    control = {}
    for name, kind in (("whole", whole), ("part", part), ("norm", norm)):
        origin = np.arange(data.units) if name == "whole" else units
        for split, chosen in splits.items():
            _write(folder / f"{name}_{split}.h5", kind.only(chosen), length_s / bins, origin)
        control[name] = count_accuracy(*(kind.only(splits[split]) for split in SPLITS))
    return {"samples_read": len(data.cells), "samples_kept": int(sum(s.size for s in splits.values())), "units": int(units.size),
            "bins": bins, "bin_ms": length_s / bins * 1000, "least_spikes": least.tolist(),
            "classes": int(np.unique(data.labels).size), "count_only_accuracy": control,
            **{split: int(chosen.size) for split, chosen in splits.items()}}


def read(paths: Sequence[Path], bins: int, length_s: float) -> Binned:
    """All samples of the files, one file behind the other; spikes at length_s or later are left out."""
    cells, labels = [], []
    formats = {ShdConfig(path=path).check() for path in paths}
    if len(formats) > 1:
        raise ValueError(f"the files must have the same channels and classes, got {' and '.join(map(str, formats))}")
    format = formats.pop()
    for path in paths:
        for packet in ShdConfig(path=path, end_ms=length_s * 1000, packet_ms=1e6).prepare()(None).packets():
            assert packet is not None, "a file is never waited for"
            place = packet.t_us * bins // round(length_s * 1e6)
            cells.append(np.unique(packet.unit.astype(np.int64) * bins + place))
            labels.append(packet.label)
    return Binned(cells, np.array(labels), format.size, bins, format.names)


def _kept(counts: np.ndarray, drop_share: float) -> tuple[np.ndarray, np.ndarray]:
    """The samples and the units that are kept."""
    n = counts.shape[0]
    here, units, budget = np.ones(n, bool), [], int(drop_share * n)
    weak = counts < EVIDENCE
    for unit in np.argsort(weak.sum(0), kind="stable").tolist():
        offending = weak[:, unit] & here
        if offending.sum() <= min(OFFENDERS * here.sum(), budget):
            here &= ~offending
            budget -= int(offending.sum())
            units.append(unit)
    return np.flatnonzero(here), np.sort(np.array(units, np.int64))


def _splits(labels: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Of every class the same number in each split, in random order."""
    classes = np.unique(labels)
    least = min(int((labels == label).sum()) for label in classes)
    sizes = {name: int(share * least) for name, share in SPLITS.items()}
    if min(sizes.values()) < 1:
        raise ValueError(f"the rarest class is left with {least} samples: too few for {', '.join(SPLITS)}; raise drop_share")
    chosen: dict[str, list[np.ndarray]] = {name: [] for name in SPLITS}
    for label in classes:
        own = rng.permutation(np.flatnonzero(labels == label))
        at = 0
        for name, size in sizes.items():
            chosen[name].append(own[at : at + size])
            at += size
    return {name: rng.permutation(np.concatenate(parts)) for name, parts in chosen.items()}


def _restricted(data: Binned, units: np.ndarray) -> Binned:
    """The data of some units alone, numbered anew."""
    place = np.full(data.units, -1, np.int64)
    place[units] = np.arange(units.size)
    cells = [place[c // data.bins] * data.bins + c % data.bins for c in data.cells]
    return Binned([c[c >= 0] for c in cells], data.labels, units.size, data.bins, data.names)


def _thinned(data: Binned, least: np.ndarray, rng: np.random.Generator) -> Binned:
    """Of every unit `least` spikes, drawn without replacement."""
    found = []
    for cells in data.cells:
        unit = cells // data.bins
        order = np.lexsort((rng.random(cells.size), unit))  # units in order, the spikes of each in random order
        rank = np.arange(cells.size) - np.searchsorted(unit, unit)
        found.append(np.sort(cells[order][rank < least[unit]]))
    return Binned(found, data.labels, data.units, data.bins, data.names)


def count_accuracy(train: Binned, validation: Binned, test: Binned) -> float:
    """The test accuracy of a linear classifier that knows how often each unit fired, and nothing else: one-hot targets
    regressed on standardised counts by ridge, the penalty being the best on validation: with about as many units as samples a
    slight one hides what counts tell. On counts that are all equal it can only name one class: chance."""
    x, y = train.counts().astype(np.float64), train.labels
    mean, scale = x.mean(0), x.std(0)
    scale[scale == 0] = 1
    x = np.column_stack([(x - mean) / scale, np.ones(len(x))])
    classes = np.unique(y)
    target = (y[:, None] == classes).astype(np.float64)
    weights = [np.linalg.solve(x.T @ x + penalty * len(x) * np.eye(x.shape[1]), x.T @ target) for penalty in PENALTIES]

    def right(weight: np.ndarray, data: Binned) -> float:
        seen = np.column_stack([(data.counts() - mean) / scale, np.ones(len(data.labels))])
        return float((classes[np.argmax(np.round(seen @ weight, 9), 1)] == data.labels).mean())

    return right(max(weights, key=lambda weight: right(weight, validation)), test)


def _write(path: Path, data: Binned, bin_s: float, origin: np.ndarray) -> None:
    """A file in the layout of SHD: times (s) are the middles of bins; extra/unit_of_channel are the units as they were."""
    import h5py

    partial = path.with_name(path.name + ".partial")
    with h5py.File(partial, "w") as file:
        file.attrs["channels"] = data.units
        times = file.create_dataset("spikes/times", (len(data.cells),), h5py.vlen_dtype(np.float32))
        units = file.create_dataset("spikes/units", (len(data.cells),), h5py.vlen_dtype(np.uint16))
        for row, cells in enumerate(data.cells):
            order = np.lexsort((cells // data.bins, cells % data.bins))
            times[row] = ((cells % data.bins + 0.5) * bin_s).astype(np.float32)[order]
            units[row] = (cells // data.bins).astype(np.uint16)[order]
        file["labels"] = data.labels.astype(np.uint16)
        file["extra/keys"] = np.array([name.encode() for name in data.names])
        file["extra/unit_of_channel"] = origin
    os.replace(partial, path)
