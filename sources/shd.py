"""The Heidelberg spiking data sets: each utterance of a cochlea's spikes goes in as recorded, and comes out as one episode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, Source, State
from pipeline.packet import Format
from sources.cut import Events
from sources.formats.hdf5 import reading
from sources.formats.heaps import check_heaps
from sources.samples import Sample, SampledConfig, Samples

CHANNELS = 700
LONGEST_S = 1e6


class ShdConfig(SampledConfig):
    """Spiking Heidelberg Digits or Spiking Speech Commands (HDF5): spikes/times in s, spikes/units, labels, extra.

    Out: spikes of shape (700,) (or the file's attribute `channels`), unit 0 being the highest pitch, times in us from the begin
    of the utterance. The files hold float16 seconds: t_us = round(float64(t) * 1e6), converted before it is scaled, as float16
    overflows at 65504. Format.names are extra/keys, or the numbers of the labels; a packet's label is the file's.
    Each sample is an episode that begins at 0 and ends 1 us after its last spike, or at `end_ms`. Spikes of a sample that are not
    in order of time are put in order. The report counts the samples of each speaker and language (the first ten of the
    twenty digits are English, the others German).

    Errors: a file that is missing, damaged or of another layout; a unit beyond the channels; a time that is none, or negative;
    a sample without spikes, unless end_ms is set.

    Example: {type: shd, path: data/shd_test.h5, shuffle: true, seed: 1, limit: 100, end_ms: 1400}

    Source: Cramer, Stradmann, Schemmel, Zenke 2022, "The Heidelberg Spiking Data Sets for the Systematic Evaluation of Spiking
    Neural Networks", IEEE TNNLS.
    """

    type: Literal["shd"] = "shd"
    path: FilePath = Field(description="the .h5 file, unpacked")
    end_ms: float | None = Field(
        None, gt=0, description="length of every episode, filled with silence or cut off; none: as recorded"
    )

    def check(self) -> Format:
        with _opened(self.path) as file:
            return _format(self.path, file)

    def prepare(self) -> Callable[[State | None], Source]:
        format = self.check()
        return lambda state: Samples(self, format, partial(_ShdReader, self, format), state)


class _ShdReader:
    """The file, read one sample at a time."""

    def __init__(self, config: ShdConfig, format: Format) -> None:
        import h5py

        self._path, self._format = config.path, format
        self._end_us = None if config.end_ms is None else max(1, round(config.end_ms * 1000))
        with reading(config.path):
            self._file: Any = h5py.File(config.path, "r")
            self._times, self._units = self._file["spikes/times"], self._file["spikes/units"]
            self._labels = self._file["labels"][()].astype(np.int64)
            speakers = self._file["extra/speaker"][()] if "extra/speaker" in self._file else []
            self._speakers = [str(speaker) for speaker in np.asarray(speakers).tolist()]
        names = format.names
        if self._labels.size and not -1 <= self._labels.min() <= self._labels.max() < len(names):
            raise ValueError(f"{config.path}: labels {self._labels.min()}..{self._labels.max()} for {len(names)} classes")
        self.fingerprint = self._labels.tobytes()

    def __len__(self) -> int:
        return len(self._labels)

    def label(self, index: int) -> int:
        return int(self._labels[index])

    def read(self, index: int) -> Sample:
        with reading(self._path):
            seconds, units = np.asarray(self._times[index]), np.asarray(self._units[index])
        where = f"{self._path}: sample {index}"
        if seconds.ndim != 1 or seconds.shape != units.shape or seconds.dtype.kind != "f" or units.dtype.kind not in "iu":
            raise ValueError(f"{where} must hold float times and whole units of one length")
        exact = seconds.astype(np.float64)  # before scaling: float16 ends at 65504
        if exact.size and not (np.isfinite(exact) & (exact >= 0) & (exact < LONGEST_S)).all():
            raise ValueError(f"{where} has a spike at a time that cannot be: times are seconds from 0 on")
        if units.size and not 0 <= int(units.min()) <= int(units.max()) < self._format.size:
            raise ValueError(f"{where} has a spike of unit {units.max()}, there are {self._format.size} channels")
        t_us = np.rint(exact * 1e6).astype(np.int64)
        order = np.argsort(t_us, kind="stable")
        return Sample(Events(t_us[order], units[order].astype(np.uint32)), self._end_us)

    def about(self, index: int) -> dict[str, str]:
        known = {"speaker": self._speakers[index]} if index < len(self._speakers) else {}
        if len(self._format.names) == 20:
            known["language"] = "english" if self.label(index) < 10 else "german"
        return known

    def close(self) -> None:
        self._file.close()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import h5py

    if not path.is_file():
        raise ValueError(f"{path}: no such file; the data sets are at zenkelab.org/datasets, as .h5.zip to be unpacked")
    check_heaps(path)
    with reading(path), h5py.File(path, "r") as file:
        yield file


def _format(path: Path, file: Any) -> Format:
    with reading(path):
        missing = [name for name in ("spikes/times", "spikes/units", "labels") if name not in file]
        if missing:
            raise ValueError(f"{path}: not of the layout of SHD: there is no {missing[0]}")
        lengths = {name: file[name].shape for name in ("spikes/times", "spikes/units", "labels")}
        if len(set(lengths.values())) > 1 or len(lengths["labels"]) != 1 or not lengths["labels"][0]:
            raise ValueError(f"{path}: times, units and labels must have one length, above 0, got {lengths}")
        if lengths["labels"][0] > 1 << 24 or file["labels"].dtype.kind not in "iu":
            raise ValueError(f"{path}: labels must be whole numbers, got {file['labels'].dtype} of shape {lengths['labels']}")
        labels = file["labels"][()]
        keys = file["extra/keys"][()].tolist() if "extra/keys" in file and file["extra/keys"].size <= 10_000 else []
        names = tuple(key.decode() if isinstance(key, bytes) else str(key) for key in keys)
        if not names or len(set(names)) < len(names):
            names = tuple(str(number) for number in range(min(int(labels.max()), 9_999) + 1))
        channels = int(file.attrs.get("channels", CHANNELS))
        return Format("spikes", (channels,), names=names)
