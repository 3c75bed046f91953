"""ST-MNIST .mat (MATLAB 5): touches of a tactile sensor of 10x10 taxels, a matrix `spiketrain` of 101 rows.

Rows 0 to 99 hold 1 (more pressure), -1 (less) or 0 for a taxel, row 100 the time in s of each column. Taxel i is x = i mod 10,
y = i div 10; shape (2, 10, 10). The file is parsed by hand and held in memory: a sample has some thousand events.

Source: See, Lim, Li, Yao, Tan, Wang 2020, "ST-MNIST: the spiking tactile MNIST neuromorphic dataset"; MathWorks, "MAT-File
Format", version 5.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from sources.formats.header import Decoder, Header, Peek, RecordingFormat
from sources.formats.tables import Columns, ReadRows, decode_table, table_header

SIDE = 10  # taxels
MATRIX, COMPRESSED = 14, 15
DTYPES = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
MOST_BYTES = 1 << 28
START = 128  # of the first element


def recognise(peek: Peek) -> Header | None:
    if not peek.head.startswith(b"MATLAB 5.0 MAT-file"):
        return None
    columns = _touches(peek.path)
    return table_header(peek, "st_mnist", columns.t.size, columns, time_unit="s", declared=(SIDE, SIDE))


def _touches(path: Path) -> Columns:
    """All events, in order of the columns and within one of the taxels."""
    content = path.read_bytes()
    if len(content) < START or content[126:128] != b"IM":
        raise ValueError(f"{path}: cut off in its header, or written on a big-endian machine")
    try:
        matrix = _find(path, content)
    except (struct.error, zlib.error, ValueError, KeyError, IndexError) as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise ValueError(f"{path}: a damaged or cut off .mat file ({' '.join(str(error).split())[:80]})") from None
    spikes, t_s = matrix[:-1], matrix[-1]
    if not np.isin(spikes, (-1, 0, 1)).all():
        raise ValueError(f"{path}: spiketrain must hold -1, 0 and 1 above its times: the file is damaged")
    column, taxel = np.nonzero(spikes.T)
    return Columns(t_s[column], taxel % SIDE, taxel // SIDE, spikes[taxel, column].astype(np.int64))


def _find(path: Path, content: bytes) -> np.ndarray:
    """The matrix `spiketrain` as (101, columns) float64."""
    at, names = START, []
    while at < len(content):
        kind, size = struct.unpack_from("<II", content, at)
        body = content[at + 8 : at + 8 + size]
        if len(body) < size:
            raise ValueError(f"{path}: cut off: an element of {size} bytes has {len(body)}")
        if kind == COMPRESSED:
            unpacking = zlib.decompressobj()
            body = unpacking.decompress(body, MOST_BYTES)
            if not unpacking.eof:
                raise ValueError(f"{path}: an element that is cut off, or larger than {MOST_BYTES} bytes")
            kind, inner = struct.unpack_from("<II", body, 0)
            body = body[8 : 8 + inner]
        if kind == MATRIX:
            name, matrix = _matrix(body)
            if name == "spiketrain":
                if matrix.ndim != 2 or matrix.shape[0] != SIDE * SIDE + 1:
                    raise ValueError(f"{path}: spiketrain must have {SIDE * SIDE + 1} rows, got shape {matrix.shape}")
                return matrix.astype(np.float64)
            names.append(name)
        at += 8 + size
    raise ValueError(f"{path}: a .mat file without the matrix spiketrain of ST-MNIST; it holds {', '.join(names) or 'nothing'}")


def _matrix(body: bytes) -> tuple[str, np.ndarray]:
    """Name and values of a matrix of real numbers."""
    _, at = _element(body, 0)  # flags
    dims, at = _element(body, at)
    name, at = _element(body, at)
    values, at = _element(body, at)
    shape = tuple(int(n) for n in dims)
    if any(n < 0 for n in shape) or int(np.prod(shape, dtype=object)) != values.size:
        raise ValueError(f"a matrix of shape {shape} with {values.size} values")
    return name.astype(np.uint8).tobytes().decode("ascii", "replace"), values.reshape(shape, order="F")


def _element(body: bytes, at: int) -> tuple[np.ndarray, int]:
    """The numbers of an element, and where the next one begins. Up to 4 bytes stand inside the tag itself."""
    kind, size = struct.unpack_from("<II", body, at)
    start, following = at + 8, at + 8 + size + -size % 8
    if kind >> 16:
        kind, size, start, following = kind & 0xFFFF, kind >> 16, at + 4, at + 8
    if size > len(body) - start or kind not in DTYPES:
        raise ValueError(f"an element of type {kind} and {size} bytes where {len(body) - start} are left")
    dtype = np.dtype(DTYPES[kind])
    return np.frombuffer(body, dtype, size // dtype.itemsize, start), following


@contextmanager
def _open_table(header: Header) -> Iterator[ReadRows]:
    columns = _touches(header.path)
    if columns.t.size != header.details["rows"]:
        raise ValueError(f"{header.path}: {columns.t.size} events, there were {header.details['rows']} when it was opened")
    yield lambda first, past: Columns(*(column[first:past] for column in columns if column is not None))


def load(header: Header) -> Decoder:
    return partial(decode_table, open_table=_open_table)


ST_MNIST = RecordingFormat("st_mnist", recognise, load)
