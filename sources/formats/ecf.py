"""Rows of a dataset whose chunks are compressed by ECF: each chunk is read as it is stored and decoded here.

Source: Prophesee, "HDF5 Event File Format" (filter 0x8ECF), and the layout of blocks in its public codec hdf5_ecf (Apache-2.0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sources.formats.tables import Columns
from sources.kernels.ecf import decode

if TYPE_CHECKING:
    import h5py

MOST_EVENTS = 65_535  # of one block


def read_rows(path: object, dataset: h5py.Dataset, first: int, past: int) -> Columns:
    """Rows [first, past): whole chunks are decoded, and what is asked for is cut out of them."""
    length = dataset.chunks[0]
    parts = []
    for start in range(first // length * length, past, length):
        parts.append([column[max(first - start, 0) : past - start] for column in _chunk(path, dataset, start)])
    if not parts:
        return Columns(*(np.empty(0, np.int64) for _ in "txyp"))
    return Columns(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _chunk(path: object, dataset: h5py.Dataset, start: int) -> list[np.ndarray]:
    """t, x, y and p of one chunk, decoded; where the codec was not applied to it, as it stands."""
    try:
        mask, stored = dataset.id.read_direct_chunk((start,))
    except (OSError, ValueError, RuntimeError) as error:
        raise _damaged(path, start, " ".join(str(error).split())[:80]) from None
    expected = min(dataset.chunks[0], dataset.shape[0] - start)
    if mask & 1:
        rows = np.frombuffer(stored, dataset.dtype, len(stored) // dataset.dtype.itemsize)
        columns = [rows[name] for name in "txyp"]
    else:
        room = min(int(dataset.chunks[0]), MOST_EVENTS)
        t, x, y, p = (np.empty(room, np.int64) for _ in "txyp")
        n = decode(np.frombuffer(stored, np.uint8), t, x, y, p)
        columns = [column[: max(n, 0)] for column in (t, x, y, p)]
    if columns[0].size < expected:
        raise _damaged(path, start, f"{columns[0].size} of {expected} events")
    return columns


def _damaged(path: object, start: int, why: str) -> ValueError:
    return ValueError(f"{path}: the block of events {start} and following is damaged ({why})")
