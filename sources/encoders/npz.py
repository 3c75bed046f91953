"""NumPy .npz, written: an archive of the columns t (int64 us), x, y (uint16) and p (uint8), or t and unit, one array each.

The number of events stands before the first of them, so columns are kept in files of their own until it is known.
The archive is not compressed, so that arrays load at the speed of the disk. The scalars `width` and `height` tell the geometry
of a camera, `channels` that of a cochlea; `shape` that of any other stream.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from typing import IO

import numpy as np

from sources.cut import Events
from sources.encoders.writer import Encoder, Target, columns_of

COPY_BYTES = 1 << 20


class NpzWriter:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._folder = tempfile.TemporaryDirectory(prefix=".spikeline-", dir=target.path.parent)
        self._columns: dict[str, tuple[np.dtype, IO[bytes]]] = {}
        self._events = 0

    def write(self, events: Events) -> None:
        for name, column in columns_of(events, self._target.shape).items():
            if name not in self._columns:
                self._columns[name] = column.dtype, open(f"{self._folder.name}/{name}", "w+b")  # noqa: SIM115 (closed below)
            self._columns[name][1].write(np.ascontiguousarray(column).data)
        self._events += events.t_us.size

    def close(self) -> None:
        if not self._columns:
            self.write(Events())
        with self._folder, zipfile.ZipFile(self._target.path, "w") as archive:
            for name, (dtype, file) in self._columns.items():
                with file, _member(archive, name) as member:
                    file.seek(0)
                    member.write(_head(dtype, (self._events,)))
                    shutil.copyfileobj(file, member, COPY_BYTES)
            for name, numbers in _geometry(self._target.shape).items():
                with _member(archive, name) as member:
                    member.write(_head(numbers.dtype, numbers.shape) + numbers.tobytes())


def _geometry(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    if len(shape) == 1:
        return {"channels": np.array(shape[0], np.int64)}
    if len(shape) == 3 and shape[0] == 2:
        return {"width": np.array(shape[2], np.int64), "height": np.array(shape[1], np.int64)}
    return {"shape": np.array(shape, np.int64)}


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """A member whose date is fixed, so that equal events make equal files."""
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)


def _head(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    return head.getvalue()


NPZ = Encoder("npz", ".npz", NpzWriter, camera=None)
