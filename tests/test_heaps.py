"""The global heaps of HDF5 files: whole ones pass, and one that would hang libhdf5 is an error that names its byte."""

import struct
from pathlib import Path

import h5py
import pytest

from sources.formats import heaps
from sources.formats.heaps import check_heaps
from sources.recordings import open_recording
from sources.shd import ShdConfig
from tests import table_writers as tw
from tests.writers_samples import write_shd

EVENTS = [(100 * i, i % 64, i % 48, i % 2) for i in range(20)]


def with_free_room_of(size: int, content: bytes, in_use: bool = False) -> bytes:
    """The file with another size told of the free room (or of the first object) of its first heap."""
    heap = content.index(b"GCOL")
    at = heap + 16
    while not in_use and struct.unpack_from("<H", content, at)[0]:
        at += 16 + (struct.unpack_from("<Q", content, at + 8)[0] + 7) // 8 * 8
    return content[: at + 8] + struct.pack("<Q", size) + content[at + 16 :]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("size", [0, 8, 2**40, 2**64 - 8])
@pytest.mark.parametrize("in_use", [False, True])
def test_a_heap_that_leads_nowhere_is_an_error_and_no_hang(size, in_use, tmp_path):
    if in_use and size < 16:
        return  # a small object in use is as good as any
    path = tmp_path / "hangs.h5"
    path.write_bytes(with_free_room_of(size, tw.prophesee(EVENTS), in_use))
    wanted = rf"hangs\.h5: a damaged HDF5 file \(the heap at byte \d+ holds an object of {size} bytes"
    with pytest.raises(ValueError, match=wanted):
        open_recording(path)
    write_shd(path, [[0.1, 0.2], [0.3]], [[1, 2], [3]], [0, 1], ("a", "b"), (1, 2))
    path.write_bytes(with_free_room_of(size, path.read_bytes(), in_use))
    with pytest.raises(ValueError, match="a damaged HDF5 file"):
        ShdConfig(path=path).check()


@pytest.mark.timeout(60)
def test_a_heap_that_the_library_would_not_take_for_damaged_is_stepped_through_too(tmp_path):
    content = bytearray(with_free_room_of(0, tw.prophesee(EVENTS)))
    content[content.index(b"GCOL") + 7] = 255
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(ValueError, match="holds an object of 0 bytes"):
        open_recording(tmp_path / "a.h5")


def test_data_that_begin_like_a_heap_by_chance_are_no_damage(tmp_path):
    (tmp_path / "a.h5").write_bytes(tw.prophesee(EVENTS) + b"GCOL\x01abc" + bytes(range(40)))
    assert open_recording(tmp_path / "a.h5").header.shape == (2, 48, 64)


def test_a_heap_that_tells_an_impossible_size_is_an_error(tmp_path):
    content = tw.prophesee(EVENTS)
    at = content.index(b"GCOL") + 8
    for size in (0, 15, 2**63):
        (tmp_path / "a.h5").write_bytes(content[:at] + struct.pack("<Q", size) + content[at + 8 :])
        with pytest.raises(ValueError, match=rf"a damaged HDF5 file \(the heap at byte {at - 8} tells a size of {size} bytes\)"):
            open_recording(tmp_path / "a.h5")


def test_heaps_are_found_wherever_the_file_is_cut_for_reading(tmp_path, monkeypatch):
    path: Path = tmp_path / "many.h5"
    with h5py.File(path, "w") as file:
        for number in range(300):
            file.attrs[f"note {number}"] = "word " * number
    content = path.read_bytes()
    assert content.count(heaps.MARK) > 5
    check_heaps(path)
    last = content.rindex(heaps.MARK)
    for step in (len(heaps.MARK), 1000, last + 3, 1 << 22):
        monkeypatch.setattr(heaps, "STEP_BYTES", step)
        path.write_bytes(content[: last + 24] + b"\xff" * 8 + content[last + 32 :])
        heaps._check.cache_clear()
        with pytest.raises(ValueError, match=f"the heap at byte {last + 16} holds an object"):
            check_heaps(path)
