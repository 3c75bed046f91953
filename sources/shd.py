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
from sources.dvs_dataset import Name
from sources.formats.hdf5 import reading
from sources.formats.heaps import check_heaps
from sources.samples import Sample, SampledConfig, Samples
from sources.sound_files import Patterns, matches

CHANNELS = 700
LONGEST_S = 1e6


class ShdConfig(SampledConfig):
    """Spiking Heidelberg Digits or Spiking Speech Commands (HDF5): spikes/times in s, spikes/units, labels, extra.

    Out: spikes of shape (700,) (or the file's attribute `channels`, or `shape`), unit 0 of 700 being the highest pitch, times in
    us from the begin of the utterance. The files hold float16 seconds: t_us = round(float64(t) * 1e6), converted before it is
    scaled, as float16 overflows at 65504. Format.names are extra/keys, or the numbers of the labels; a packet's label is the
    file's. Each sample is an episode that begins at 0 and ends 1 us after its last spike, at extra/length_us where the file has
    that (`spikeline encode-sound` writes the length of each sound), or at `end_ms`. Spikes of a sample that are not in order of
    time are put in order. Ticks of layers are counted from time 0: `anchor` says what lies there, and `offset_ms`
    moves it, so that spikes fall into the same ticks as the bins of other tools. The report counts samples by speaker and
    language (the first ten of the twenty digits are English, the others German), by which `speakers` and `language` choose.
    Where the file has extra/files, the names of the sounds, parts of it are chosen by patterns of these, as of sound_dataset:
    `exclude: ["*_[0-4].wav"]` leaves the training part of the Free Spoken Digits.

    Errors: a file that is missing, damaged or of another layout; a unit beyond the channels; a time that is none, or negative;
    a sample without spikes, unless its length is known; a speaker that the file does not have; patterns for a file without
    names.

    Example: {type: shd, path: data/shd_test.h5, shuffle: true, seed: 1, limit: 100, end_ms: 1400}
    Example: {type: shd, path: data/fsdd.h5, speakers: [theo], anchor: first_spike, offset_ms: 5}

    Source: Cramer, Stradmann, Schemmel, Zenke 2022, "The Heidelberg Spiking Data Sets for the Systematic Evaluation of Spiking
    Neural Networks", IEEE TNNLS.
    """

    type: Literal["shd"] = "shd"
    path: FilePath = Field(description="the .h5 file, unpacked")
    files: Patterns = Field(("*",), description="which samples are taken, as patterns of the names of their sounds")
    exclude: Patterns = Field((), description="which of these are not, likewise")
    end_ms: float | None = Field(
        None, gt=0, description="length of every episode, filled with silence or cut off; none: as recorded"
    )
    anchor: Literal["zero", "first_spike"] = Field(
        "zero", description="what lies at time 0: the file's own zero, or the first spike"
    )
    offset_ms: float = Field(0.0, ge=0, description="silence before that")
    speakers: tuple[Name, ...] | None = Field(None, min_length=1, description="numbers or names of speakers; none: all")
    language: Literal["english", "german"] | None = Field(None, description="of the twenty digits of SHD; none: both")

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
            self._speakers = _speakers(self._file)
            self._lengths_us = _column(self._file, "extra/length_us", len(self._labels))
            self._names = _column(self._file, "extra/files", len(self._labels))
        names = format.names
        if self._labels.size and not -1 <= self._labels.min() <= self._labels.max() < len(names):
            raise ValueError(f"{config.path}: labels {self._labels.min()}..{self._labels.max()} for {len(names)} classes")
        self._config = config
        self._rows = self._chosen()
        self.fingerprint = self._labels[self._rows].tobytes() + self._rows.tobytes()

    def __len__(self) -> int:
        return len(self._rows)

    def label(self, index: int) -> int:
        return int(self._labels[self._rows[index]])

    def read(self, index: int) -> Sample:
        row = int(self._rows[index])
        with reading(self._path):
            seconds, units = np.asarray(self._times[row]), np.asarray(self._units[row])
        where = f"{self._path}: sample {row}"
        if seconds.ndim != 1 or seconds.shape != units.shape or seconds.dtype.kind != "f" or units.dtype.kind not in "iu":
            raise ValueError(f"{where} must hold float times and whole units of one length")
        exact = seconds.astype(np.float64)  # before scaling: float16 ends at 65504
        if exact.size and not (np.isfinite(exact) & (exact >= 0) & (exact < LONGEST_S)).all():
            raise ValueError(f"{where} has a spike at a time that cannot be: times are seconds from 0 on")
        if units.size and not 0 <= int(units.min()) <= int(units.max()) < self._format.size:
            raise ValueError(f"{where} has a spike of unit {units.max()}, there are {self._format.size} channels")
        t_us = np.rint(exact * 1e6).astype(np.int64)
        order = np.argsort(t_us, kind="stable")
        first_us = int(t_us[order[0]]) if t_us.size and self._config.anchor == "first_spike" else 0
        moved_us = round(self._config.offset_ms * 1000) - first_us
        t_us += moved_us
        end_us = self._end_us
        if end_us is None and self._lengths_us is not None:
            end_us = max(int(self._lengths_us[row]) + moved_us, int(t_us.max(initial=0)) + 1)
        return Sample(Events(t_us[order], units[order].astype(np.uint32)), end_us)

    def about(self, index: int) -> dict[str, str]:
        row = int(self._rows[index])
        known = {"speaker": self._speakers[row]} if row < len(self._speakers) else {}
        if (language := self._language(row)) is not None:
            known["language"] = language
        return known

    def _language(self, row: int) -> str | None:
        """Of a file with SHD's twenty classes."""
        if len(self._format.names) != 20:
            return None
        return "english" if self._labels[row] < 10 else "german"

    def _chosen(self) -> np.ndarray:
        """(n,) int64, the rows of the samples that are asked for."""
        rows, wanted, language = np.arange(len(self._labels)), self._config.speakers, self._config.language
        if wanted is not None:
            known = sorted(set(self._speakers))
            unknown = [name for name in wanted if name not in known]
            if unknown:
                raise ValueError(f"{self._path}: no speaker {unknown[0]!r}; there are {', '.join(known) or 'none named'}")
            rows = np.array([row for row in rows.tolist() if self._speakers[row] in wanted], np.int64)
        if language is not None:
            rows = np.array([row for row in rows.tolist() if self._language(row) == language], np.int64)
        rows = self._named(rows)
        if not rows.size:
            raise ValueError(f"{self._path}: holds no sample of {language or 'these speakers'}")
        return rows

    def _named(self, rows: np.ndarray) -> np.ndarray:
        """Those of the rows whose sounds have names that are asked for."""
        files, exclude = self._config.files, self._config.exclude
        if files == ("*",) and not exclude:
            return rows
        if self._names is None:
            raise ValueError(f"{self._path}: has no extra/files, so no part of it can be chosen by files and exclude")
        names = [name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in self._names.tolist()]
        kept = [row for row in rows.tolist() if matches(names[row], files) and not matches(names[row], exclude)]
        if not kept:
            raise ValueError(f"{self._path}: none of its {rows.size} samples is asked for "
                             f"(files: {', '.join(files)}; exclude: {', '.join(exclude) or 'none'})")  # fmt: skip
        return np.array(kept, np.int64)

    def close(self) -> None:
        self._file.close()


def _column(file: Any, name: str, samples: int) -> np.ndarray | None:
    """One value a sample, or None if the file has none; numbers are whole and not negative."""
    if name not in file:
        return None
    column = np.asarray(file[name][()])
    whole = column.dtype.kind in "iuOS" and (column.dtype.kind in "OS" or not (column < 0).any())
    if column.shape != (samples,) or not whole:
        raise ValueError(f"{file.filename}: {name} must hold one value of each of {samples} samples, got {column.dtype} of shape "
                         f"{column.shape}")  # fmt: skip
    return column


def _speakers(file: Any) -> list[str]:
    """Who speaks, sample by sample: the numbers of extra/speaker, or what extra/speakers calls them."""
    numbers = np.asarray(file["extra/speaker"][()]).tolist() if "extra/speaker" in file else []
    names = [name.decode() for name in file["extra/speakers"][()].tolist()] if "extra/speakers" in file else []
    return [names[number] if 0 <= number < len(names) else str(number) for number in numbers]


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
        shape = tuple(int(side) for side in np.atleast_1d(file.attrs.get("shape", file.attrs.get("channels", CHANNELS))))
        return Format("spikes", shape, names=names)
