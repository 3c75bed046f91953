"""HDF5, written in the layouts of two data sets: DSEC for cameras, SHD for channels.

Sources: Gehrig, Aarents, Gehrig, Scaramuzza 2021, "DSEC: A Stereo Event Camera Dataset for Driving Scenarios";
Cramer, Stradmann, Schemmel, Zenke 2022, "The Heidelberg Spiking Data Sets".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sources.cut import Events, joined
from sources.encoders.writer import Encoder, Target, TimeTooLate, addresses

COLUMNS = {"t": np.uint32, "x": np.uint16, "y": np.uint16, "p": np.uint8}
STORAGE: dict[str, Any] = {
    "shape": (0,), "maxshape": (None,), "chunks": (1 << 16,), "compression": "gzip", "compression_opts": 1, "shuffle": True,
}  # fmt: skip


class DsecWriter:
    """events/{t, x, y, p}, t_offset and ms_to_idx.

    t (uint32 us) counts from t_offset, which is the time of the first event; ms_to_idx[m] is the first event with t >= 1000 m.
    """

    def __init__(self, target: Target) -> None:
        import h5py

        self._shape, self._events = target.shape, 0
        self._offset_us: int | None = None
        self._file = h5py.File(target.path, "w")
        group = self._file.create_group("events")
        group.attrs["height"], group.attrs["width"] = target.shape[1:]
        self._columns = [group.create_dataset(name, dtype=dtype, **STORAGE) for name, dtype in COLUMNS.items()]
        self._index = self._file.create_dataset("ms_to_idx", dtype=np.uint64, **STORAGE)

    def write(self, events: Events) -> None:
        if not events.t_us.size:
            return
        if self._offset_us is None:
            self._offset_us = int(events.t_us[0])
        t_us = events.t_us - self._offset_us
        if t_us[-1] >= 1 << 32:
            raise TimeTooLate(f"dsec holds 4294.967296 s from the first event on, got {t_us[-1] / 1e6:.6f} s: write parquet")
        ms = np.arange(len(self._index), int(t_us[-1]) // 1000 + 1)
        _append(self._index, t_us.searchsorted(ms * 1000) + self._events)
        for dataset, column in zip(self._columns, (t_us, *addresses(events.unit, self._shape)), strict=True):
            _append(dataset, column)
        self._events += t_us.size

    def close(self) -> None:
        if self._file:
            self._file["t_offset"] = np.int64(self._offset_us or 0)
            self._file.close()


class ShdWriter:
    """spikes/{times, units} with one row, and labels. times in seconds, as float64 so that every microsecond is told exactly
    (the files of the data set hold float16). The label is not known to a recording: it is -1."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._held: list[Events] = []

    def write(self, events: Events) -> None:
        self._held.append(events)

    def close(self) -> None:
        import h5py

        events, channels = joined(self._held), self._target.shape[0]
        units = np.uint16 if channels <= 1 << 16 else np.uint32
        with h5py.File(self._target.path, "w") as file:
            file.attrs["channels"] = channels
            rows = {"times": (events.t_us / 1e6, np.float64), "units": (events.unit.astype(units), units)}
            for name, (values, dtype) in rows.items():
                file.create_dataset(f"spikes/{name}", (1,), dtype=h5py.vlen_dtype(dtype))[0] = values
            file["labels"] = np.array([-1], np.int64)


def _append(dataset: Any, values: np.ndarray) -> None:
    if values.size:
        at = len(dataset)
        dataset.resize(at + values.size, axis=0)
        dataset[at:] = values


DSEC = Encoder("dsec", ".h5", DsecWriter)
SHD = Encoder("shd", ".h5", ShdWriter, camera=False)
