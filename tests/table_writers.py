"""Independent writers of tables of events: events (t_us, x, y, polarity) go in, the bytes of a file come out.

They use the libraries that own the formats, or plain Python; they share nothing with the decoders.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.writers import AddressEvent

TONIC = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
FAERY = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])
OPENEB = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")], align=True)


def structured(events: Sequence[AddressEvent], dtype: np.dtype) -> np.ndarray:
    table = np.zeros(len(events), dtype)
    for name in dtype.names or ():
        table[name] = [event["txyp".index({"on": "p"}.get(name, name))] for event in events]
    return table


def matrix(events: Sequence[AddressEvent], order: str = "txyp", t_scale: float = 1.0, signs: bool = False) -> np.ndarray:
    rows = np.array(events, np.float64).reshape(-1, 4)[:, ["txyp".index(key) for key in order]]
    rows[:, order.index("t")] *= t_scale
    if signs:
        rows[:, order.index("p")] = rows[:, order.index("p")] * 2 - 1
    return rows


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(compressed: bool = True, **arrays: Any) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def columns(events: Sequence[AddressEvent], dtypes: Sequence[str] = ("i8", "u2", "u2", "i1")) -> dict[str, Any]:
    return {name: np.array([event[i] for event in events], dtypes[i]) for i, name in enumerate("txyp")}


def hdf5(fill: Callable[[h5py.File], None]) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        fill(content)
    return file.getvalue()


def parquet(table: Any, rows: int = 5, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=rows, write_page_checksum=True, **options)
    return file.getvalue()


def arrow(table: Any, rows: int = 5) -> bytes:
    file = io.BytesIO()
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)
    return file.getvalue()


def addressed(events: Sequence[AddressEvent], width: int, height: int) -> Any:
    """Columns t_us and unit, and the shape in the schema's metadata."""
    unit = np.array([(p * height + y) * width + x for _, x, y, p in events], np.uint32)
    table = pa.table({"t_us": np.array([event[0] for event in events], np.int64), "unit": unit})
    return table.replace_schema_metadata({"spikeline": json.dumps({"shape": [2, height, width]})})


def text(
    events: Sequence[AddressEvent], order: str = "txyp", delimiter: str = " ", head: str = "", seconds: bool = False
) -> bytes:
    """One line an event. seconds: times with six decimals, else whole microseconds."""
    lines = []
    for t, x, y, p in events:
        values = {"t": f"{t // 1_000_000}.{t % 1_000_000:06d}" if seconds else str(t), "x": str(x), "y": str(y), "p": str(p)}
        lines.append(delimiter.join(values[key] for key in order) + "\n")
    return (head + "".join(lines)).encode()


def dsec(events: Sequence[AddressEvent], t_offset_us: int = 0) -> bytes:
    def fill(file: h5py.File) -> None:
        for name, values in columns(events, dtypes=("u4", "u2", "u2", "u1")).items():
            values = values - np.uint32(t_offset_us) if name == "t" else values
            file.create_dataset(f"events/{name}", data=values, chunks=(5,), compression="gzip")
        file["t_offset"] = np.int64(t_offset_us)
        last_ms = (events[-1][0] - t_offset_us) // 1000 if events else 0
        file["ms_to_idx"] = np.searchsorted([e[0] - t_offset_us for e in events], np.arange(last_ms + 1) * 1000).astype(np.uint64)

    return hdf5(fill)


def mvsec(events: Sequence[AddressEvent]) -> bytes:
    def fill(file: h5py.File) -> None:
        file["davis/left/events"] = matrix(events, "xytp", 1e-6, signs=True)
        file["davis/right/events"] = matrix(events[:1], "xytp", 1e-6, signs=True)

    return hdf5(fill)


def prophesee(events: Sequence[AddressEvent], chunk: int = 8, style: str = "runs") -> bytes:
    """CD/events with blocks of `chunk` events. style: runs, packed_columns or packed."""

    def fill(file: h5py.File) -> None:
        file.attrs["geometry"] = "64x48"
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((chunk,))
        plist.set_filter(0x8ECF, h5py.h5z.FLAG_OPTIONAL, ())
        group = file.create_group("CD")
        dataset = h5py.h5d.create(group.id, b"events", h5py.h5t.py_create(OPENEB), h5py.h5s.create_simple((len(events),)), plist)
        for start in range(0, len(events), chunk):
            block = list(events[start : start + chunk])
            dataset.write_direct_chunk((start,), ecf(block + [(0, 0, 0, 0)] * (chunk - len(block)), style))
        group["indexes"] = np.zeros(1, np.int64)

    return hdf5(fill)


def ecf(events: Sequence[AddressEvent], style: str = "runs") -> bytes:
    flags = {"runs": 0, "packed_columns": 1, "packed": 2}[style]
    out = struct.pack("<IQ", len(events) << 2 | flags, events[0][0]) + _ecf_times([event[0] for event in events])
    if style == "packed":
        return out + _bits([(y << 12 | x << 1 | p) for _, x, y, p in events], 24, "<3I")
    out += b"".join(_ecf_row(y, len(list(run))) for y, run in groupby(event[2] for event in events))
    if style == "packed_columns":
        return out + _bits([(x << 1 | p) for _, x, _, p in events], 12, "<3H")
    out += _ecf_columns([event[1] for event in events])
    for p, run in groupby(event[3] for event in events):
        n = len(list(run))
        out += bytes([p << 7 | 127]) + struct.pack("<H", n) if n >= 127 else bytes([p << 7 | n])
    return out


def st_mnist(events: Sequence[AddressEvent], packed: bool = True) -> bytes:
    """A MATLAB 5 file with the matrix spiketrain: a column an event, 100 taxels and the time in s."""
    values = np.zeros((101, len(events)))
    for i, (t, x, y, p) in enumerate(events):
        values[10 * y + x, i], values[100, i] = 2 * p - 1, t / 1e6

    def element(kind: int, content: bytes) -> bytes:
        return struct.pack("<II", kind, len(content)) + content + b"\x00" * (-len(content) % 8)

    matrix = element(6, struct.pack("<II", 6, 0)) + element(5, struct.pack("<ii", *values.shape)) + element(1, b"spiketrain")
    whole = element(14, matrix + element(9, values.tobytes(order="F")))
    compressed = zlib.compress(whole)
    head = b"MATLAB 5.0 MAT-file, Platform: none".ljust(124) + b"\x00\x01IM"
    return head + (struct.pack("<II", 15, len(compressed)) + compressed if packed else whole)


def _ecf_times(times: Sequence[int]) -> bytes:
    out, now = b"", times[0]
    for t, run in groupby(times):
        n, step = len(list(run)), max(t - now, 0)
        now = max(t, now)
        if step >= 15:
            while step:
                out += bytes([0xF0 | step & 15])
                step >>= 4
        out += bytes([step << 4 | 15]) + struct.pack("<H", n) if n >= 15 else bytes([step << 4 | n])
    return out


def _ecf_row(y: int, n: int) -> bytes:
    return struct.pack("<HH", y << 5 | 31, n) if n >= 31 else struct.pack("<H", y << 5 | n)


def _ecf_columns(columns: Sequence[int]) -> bytes:
    words, at = [], 0
    while at < len(columns):
        x, mask = columns[at], 0
        at += 1
        for after in range(1, 6):
            if at < len(columns) and columns[at] == x + after:
                mask |= 1 << (5 - after)
                at += 1
        words.append(x << 5 | mask)
    return struct.pack(f"<{len(words)}H", *words)


def _bits(values: Sequence[int], bits: int, three: str) -> bytes:
    """Four values in three words of 4/3 of their bits: the first three each on top of a word, the last below the third;
    what does not fit stands in the next word, its low third (two thirds) at the word's foot."""
    out = b""
    for at in range(0, len(values), 4):
        a, b, c, d = (*values[at : at + 4], 0, 0, 0)[:4]
        third = bits // 3
        word = 4 * third
        mask = (1 << word) - 1
        out += struct.pack(three, (a << third | b & ((1 << third) - 1)) & mask,
                           ((b >> third) << 2 * third | c & ((1 << 2 * third) - 1)) & mask,
                           ((c >> 2 * third) << 3 * third | d & ((1 << bits) - 1)) & mask)
    return out
