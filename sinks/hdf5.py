"""Events or decisions in, an HDF5 file out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, Sink, SinkConfig, State
from pipeline.packet import Format
from sinks.files import make_folder
from sinks.rows import is_camera, tables
from sinks.table_file import TableFile, format_of, packets_of

CHUNK_ROWS = 1 << 14


class Hdf5Config(SinkConfig):
    """Writes one row a decision, or one row an event, to an HDF5 file: one dataset a column.

    In: any stream. Group `decisions`: episode, t_us, class, name, confidence, scores (rows, classes), final, label; group
    `events`: t (us), x, y, p (or unit, where the shape is not (2, height, width)), value on graded streams, episode, label, and
    for cameras the attributes width and height (pixels). The group's attribute `spikeline` holds the stream's format as JSON.

    Guarantee: that of `parquet`: packets are recorded beside the file (PATH.spkl), which is made of them when the stream ends,
    whole or not at all; a run that resumes cuts the recording back to the checkpoint, so no row is missing or twice.
    Errors: on resume, a recording that is missing or too short; a path that cannot be written.

    Example: {type: hdf5, path: out/events.h5}

    Source: The HDF Group, "HDF5 data model and file structure".
    """

    type: Literal["hdf5"] = "hdf5"
    path: FilePath = Field(description="the file; missing folders are made")

    def check(self, upstream: Format) -> None:
        pass

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        make_folder("hdf5", self.path)
        return partial(TableFile, "hdf5", self.path, upstream, stream, write_hdf5)


def write_hdf5(path: Path, recordings: list[Path]) -> None:
    """The rows of recordings as one group of datasets."""
    import h5py

    format = format_of(recordings)
    with h5py.File(path, "w") as file:
        group = file.create_group("decisions" if format.kind == "decisions" else "events")
        group.attrs["spikeline"] = json.dumps(asdict(format))
        if is_camera(format):
            _, group.attrs["height"], group.attrs["width"] = format.shape
        for table in tables(packets_of(recordings), format):
            for name, column in table.items():
                _append(group, name, column)


def _append(group: Any, name: str, column: np.ndarray) -> None:
    import h5py

    if name not in group:
        dtype = h5py.string_dtype() if column.dtype == object else column.dtype
        shape, most, chunks = ((rows, *column.shape[1:]) for rows in (0, None, CHUNK_ROWS))
        group.create_dataset(name, shape, dtype, maxshape=most, chunks=chunks, compression="gzip", compression_opts=1)
    dataset, at = group[name], len(group[name])
    if len(column):
        dataset.resize(at + len(column), axis=0)
        dataset[at:] = column
