"""HDF5: the layouts of Prophesee (ECF), DSEC and MVSEC, and any other that has columns t, x, y and p somewhere.

* Prophesee: compound dataset CD/events of x, y, p, t in us, blocks compressed by ECF (decoded here, no plug-in needed).
* DSEC: group events of x, y, t, p; `t_offset` us is added to the times; 640x480 unless the file says otherwise.
* MVSEC: matrices davis/left/events and davis/right/events (`table` chooses; none: left) of x, y, t in s, p; 346x260.
* Else one group whose datasets, or one compound dataset whose fields, or one (n, 4) matrix whose columns can be told apart as
  t, x, y and p. Where there are several, `table` chooses. Width and height: attributes or scalars of those names, or
  `geometry` WIDTHxHEIGHT, at the table, its group or the root.

Source: Prophesee, "HDF5 Event File Format"; Gehrig et al. 2021, "DSEC"; Zhu et al. 2018, "The Multi Vehicle Stereo Event
Camera Dataset".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from sources.formats.header import Decoder, Header, Peek, RecordingFormat
from sources.formats.heaps import check_heaps
from sources.formats.npy import find_table_columns, pick
from sources.formats.tables import LOOKED_AT, Columns, ReadRows, decode_table, find_columns, table_header
from sources.formats.time_units import SAME, unit_of_name

if TYPE_CHECKING:
    import h5py

MAGIC = b"\x89HDF\r\n\x1a\n"
ECF = 0x8ECF
MOST_OBJECTS = 10_000
MOST_CHUNK_BYTES = 1 << 28
DAMAGED = (OSError, LookupError, RuntimeError, TypeError, ValueError, OverflowError, MemoryError, AttributeError)
MVSEC = "davis/left/events"


def recognise(peek: Peek) -> Header | None:
    if not peek.head.startswith(MAGIC):
        return None
    import h5py

    with reading(peek.path), h5py.File(peek.path, "r") as file:
        return _header(peek, file)


@contextmanager
def reading(path: object) -> Iterator[None]:
    """Whatever the library finds wrong with a file is one line that names it."""
    try:
        yield
    except DAMAGED as error:
        if isinstance(error, ValueError) and str(error).startswith(f"{path}: "):
            raise
        raise ValueError(f"{path}: a damaged or cut off HDF5 file ({' '.join(str(error).split())[:100]})") from None


def _header(peek: Peek, file: h5py.File) -> Header:
    path, table = _find(peek, file)
    for dataset in _datasets(table):
        _check(peek, dataset)
    columns, rows = _columns(peek, table)
    with _reader(peek.path, table, columns) as read:
        look = read(0, min(rows, LOOKED_AT))
    layout = _layout(file, path)
    details: dict[str, Any] = {"layout": layout, "table": path, "columns": columns}
    if layout == "dsec" and "t_offset" in file:
        details["t_offset_us"] = _scalar(file["t_offset"])
    time_unit = {"prophesee": "us", "dsec": "us", "mvsec": "s"}.get(layout) or _time_unit(table, columns)
    declared = _geometry(table) or _geometry(file[path].parent) or _geometry(file)
    usual = {"dsec": (640, 480), "mvsec": (346, 260)}.get(layout)
    if usual and not declared and not peek.geometry and look.x is not None and look.y is not None and (
        (look.x < usual[0]).all() and (look.y < usual[1]).all()
    ):
        declared, details["geometry"] = usual, f"that of {layout}"
    return table_header(peek, "hdf5", rows, look, time_unit=time_unit, declared=declared, details=details)


def _find(peek: Peek, file: h5py.File) -> tuple[str, Any]:
    """The table: a group of columns, a compound dataset, or a matrix."""
    wanted = peek.options.table
    if wanted is not None:
        if wanted not in file:
            raise ValueError(f"{peek.path}: no table {wanted!r} in it")
        return wanted, file[wanted]
    for known in ("CD/events", "events", MVSEC):
        if known in file and _is_table(peek, file[known]):
            return known, file[known]
    if "spikes/times" in file and "spikes/units" in file:
        raise ValueError(f"{peek.path}: spikes of the SHD and SSC data sets: read them with source shd")
    found: list[str] = []
    file.visititems(_collector(peek, found))
    if _is_table(peek, file):
        found.append("/")
    if len(found) != 1:
        what = f"several tables, {', '.join(found)}: set table" if found else "no table with columns t, x, y and p: set columns"
        raise ValueError(f"{peek.path}: HDF5 with {what}")
    return found[0], file[found[0]]


def _collector(peek: Peek, found: list[str]) -> Callable[[str, Any], bool | None]:
    seen = [0]

    def collect(name: str, thing: Any) -> bool | None:
        seen[0] += 1
        if _is_table(peek, thing):
            found.append(name)
        return True if seen[0] > MOST_OBJECTS else None  # True ends the visit

    return collect


def _is_table(peek: Peek, thing: Any) -> bool:
    import h5py

    if isinstance(thing, h5py.Group):
        names = [name for name in thing if isinstance(thing.get(name), h5py.Dataset) and thing[name].ndim == 1]
        return len(names) >= 2 and find_columns(peek, names) is not None
    if not isinstance(thing, h5py.Dataset) or thing.dtype.hasobject:
        return False
    if thing.dtype.names is not None:
        return thing.ndim == 1 and find_columns(peek, thing.dtype.names) is not None
    return thing.ndim == 2 and thing.shape[1] == 4 and thing.dtype.kind in "iuf"


def _datasets(table: Any) -> list[Any]:
    import h5py

    return [table] if isinstance(table, h5py.Dataset) else [thing for thing in table.values() if isinstance(thing, h5py.Dataset)]


def _check(peek: Peek, dataset: h5py.Dataset) -> None:
    """A filter that is missing, or a chunk too large to hold, is told before anything is read."""
    import h5py

    if dataset.chunks and prod(dataset.chunks) * dataset.dtype.itemsize > MOST_CHUNK_BYTES:
        raise ValueError(f"{peek.path}: {dataset.name} has chunks of {dataset.chunks}: more than 256 MiB each")
    stored = dataset.id.get_storage_size()
    if dataset.chunks:
        wanted = prod(-(-n // chunk) for n, chunk in zip(dataset.shape, dataset.chunks, strict=True))
        missing = wanted - dataset.id.get_num_chunks()
    else:
        missing = dataset.size * dataset.dtype.itemsize - stored
    if missing > 0:
        raise ValueError(f"{peek.path}: parts of {dataset.name} are missing: the file is damaged, or was never finished")
    plist = dataset.id.get_create_plist()
    for number in range(plist.get_nfilters()):
        code, _, _, name = plist.get_filter(number)
        if h5py.h5z.filter_avail(code) or (code == ECF and plist.get_nfilters() == 1):
            continue
        with suppress(ImportError):
            import hdf5plugin  # noqa: F401  (registers its filters)
        if not h5py.h5z.filter_avail(code):
            called = name.decode(errors="replace") or code
            raise ValueError(f"{peek.path}: {dataset.name} is compressed by {called}: install the extra spikeline[hdf5]")


def _columns(peek: Peek, table: Any) -> tuple[dict[str, Any], int]:
    """The names or numbers of the columns, and the number of rows."""
    import h5py

    if isinstance(table, h5py.Group):
        names = [name for name in table if isinstance(table.get(name), h5py.Dataset) and table[name].ndim == 1]
        chosen = find_columns(peek, names)
        if chosen is None:
            raise ValueError(f"{peek.path}: columns t, x, y and p are wanted, there are {', '.join(names)}: set columns")
        lengths = {key: table[name].shape[0] for key, name in chosen.items()}
        if len(set(lengths.values())) > 1 or any(table[name].dtype.kind not in "iufb" for name in chosen.values()):
            raise ValueError(f"{peek.path}: t, x, y and p must be numbers of one length, got {lengths}")
        return dict(chosen), lengths["t"]
    if not isinstance(table, h5py.Dataset) or table.dtype.hasobject:
        raise ValueError(f"{peek.path}: {table.name} is no table of events")
    if table.dtype.names is None and (table.ndim != 2 or not 4 <= table.shape[1] <= 64):
        raise ValueError(f"{peek.path}: {table.name} of shape {table.shape} is no table of events: (n, 4) is wanted")
    if table.name.lstrip("/").startswith("davis/"):
        return {"x": 0, "y": 1, "t": 2, "p": 3}, table.shape[0]
    if table.dtype.names is not None and _is_ecf(table):
        return {key: key for key in "txyp"}, table.shape[0]
    chosen_here, _ = find_table_columns(peek, table[: min(table.shape[0], LOOKED_AT)])
    return dict(chosen_here), table.shape[0]


def _layout(file: h5py.File, path: str) -> str:
    if path == "CD/events":
        return "prophesee"
    if path.startswith("davis/"):
        return "mvsec"
    return "dsec" if path == "events" and ("t_offset" in file or "ms_to_idx" in file) else "columns"


def _time_unit(table: Any, columns: dict[str, Any]) -> str | None:
    """As the column's name tells it, or an attribute unit of the column or the table."""
    import h5py

    name = str(columns["t"])
    holder = table[name] if isinstance(table, h5py.Group) else table
    for key in ("unit", "units", "time_unit"):
        said = _attribute(holder, key)
        said = said.decode(errors="replace") if isinstance(said, bytes) else said
        if isinstance(said, str) and SAME.get(said, said) in ("s", "ms", "us", "ns"):
            return SAME.get(said, said)
    return unit_of_name(name)[1]


def _attribute(thing: Any, name: str) -> Any:
    """An attribute of one value; None where there is none, or its type is damaged to be of no sense."""
    if name not in thing.attrs:
        return None
    attribute = thing.attrs.get_id(name)
    if prod(attribute.shape) != 1 or attribute.get_storage_size() > 1024 or attribute.dtype.itemsize > 1024:
        return None
    if attribute.dtype.hasobject:
        check_heaps(thing.file.filename)
    return thing.attrs[name]


def _geometry(thing: Any) -> tuple[int, int] | None:
    import h5py

    said = _attribute(thing, "geometry")
    said = said.decode(errors="replace") if isinstance(said, bytes) else said
    if isinstance(said, str) and (match := re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", said)):
        return int(match[1]), int(match[2])
    sizes = []
    for name in ("width", "height"):
        value = _attribute(thing, name)
        inside = thing.get(name) if value is None and isinstance(thing, h5py.Group) else None
        if isinstance(inside, h5py.Dataset) and inside.size == 1 and inside.dtype.kind in "iu":
            value = inside[()]
        if value is None or np.size(value) != 1 or np.asarray(value).dtype.kind not in "iu":
            return None
        sizes.append(int(np.asarray(value).reshape(-1)[0]))
    return sizes[0], sizes[1]


def _scalar(dataset: Any) -> int:
    value = np.asarray(dataset[()] if dataset.size == 1 and not dataset.dtype.hasobject else ())
    if value.size != 1 or value.dtype.kind not in "iu" or abs(int(value.reshape(-1)[0])) > 2**60:
        raise ValueError(f"{dataset.file.filename}: {dataset.name} must be one whole number, got {value.dtype} {value.shape}")
    return int(value.reshape(-1)[0])


@contextmanager
def _reader(path: object, table: Any, columns: dict[str, Any]) -> Iterator[ReadRows]:
    import h5py

    def read(first: int, past: int) -> Columns:
        with reading(path):
            if isinstance(table, h5py.Group):
                return Columns.of(columns, lambda name: table[name][first:past])
            return pick(table[first:past], columns)

    if isinstance(table, h5py.Dataset) and _is_ecf(table):
        from sources.formats.ecf import read_rows

        yield partial(read_rows, path, table)
    else:
        yield read


def _is_ecf(dataset: h5py.Dataset) -> bool:
    plist = dataset.id.get_create_plist()
    return bool(plist.get_nfilters() == 1 and plist.get_filter(0)[0] == ECF)


@contextmanager
def _open_table(header: Header) -> Iterator[ReadRows]:
    import h5py

    with reading(header.path):
        file = h5py.File(header.path, "r")
    with file:
        with reading(header.path):
            table = file[header.details["table"]]
        with _reader(header.path, table, header.details["columns"]) as read:
            yield read


def load(header: Header) -> Decoder:
    if header.details["layout"] == "prophesee":
        import sources.formats.ecf  # noqa: F401  (compiles)
    return partial(decode_table, open_table=_open_table)


HDF5 = RecordingFormat("hdf5", recognise, load)
