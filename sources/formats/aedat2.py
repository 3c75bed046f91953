"""AEDAT 1.0 and 2.0: a header of # lines, then records of an address (2 or 4 bytes) and a time (4 bytes), the upper byte first.

Inertial data and frames of a DAVIS, external triggers and special words are passed over and counted. Files of version 1.0 may
have no header: they are known by their structure and their name.
Source: iniVation, "AEDAT file formats"; what an address means: jAER, DVS128.java and DavisChip.java, which the description
contradicts on the polarity of a DVS128 (the camera marks ON with 0).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from sources.formats.aedat_header import AedatHeader, camera_of, read_aedat_header
from sources.formats.header import Decoder, Header, Peek, RecordingFormat, camera_geometry
from sources.formats.words import decode_words, words_header
from sources.kernels import position as slot

RECORD_BYTES = {"1.0": 6, "2.0": 8}
DVS128 = (128, 128)
MOST = {"dvs128": 128, "davis": 1024}
LOOKED_AT = 1000  # records
COUNTS = {"triggers": slot.TRIGGERS, "imu_words": slot.IMU, "frame_words": slot.FRAMES, "special_words": slot.SPECIAL}


def recognise(peek: Peek) -> Header | None:
    found = read_aedat_header(peek)
    if found.version.startswith("2"):
        version = "2.0"
    elif found.version.startswith("1") or (not found.version and _looks_like_version_1(peek, found.offset)):
        version = "1.0"
    else:
        return None
    if not found.whole:
        raise ValueError(f"{peek.path}: cut off in its header, at byte {peek.size}")
    addresses, declared = _camera(peek, found, version)
    shape, geometry_from = camera_geometry(peek, declared, DVS128, MOST[addresses])
    details = {"version": version, "addresses": addresses, "chip": found.chip}
    header = Header(peek.path, "aedat2", peek.size, found.offset, shape, geometry_from, details=details, streams=("triggers",))
    return words_header(header, RECORD_BYTES[version])


def load(header: Header) -> Decoder:
    from sources.kernels import aedat2

    triggers = header.stream == "triggers"
    if header.details["addresses"] == "davis":
        kernel = aedat2.decode_davis_triggers if triggers else aedat2.decode_davis
    else:
        kernel = aedat2.decode_dvs128_triggers if triggers else aedat2.decode_dvs128
    item = _swapped if header.details["version"] == "2.0" else _widened
    record_bytes = RECORD_BYTES[header.details["version"]]
    return partial(
        decode_words, kernel=kernel, item=item, word_bytes=record_bytes, most=1, wrap_us=1 << 32, counts=COUNTS
    )


def _swapped(piece: np.ndarray) -> np.ndarray:
    return piece.view("<u4").byteswap()


def _widened(piece: np.ndarray) -> np.ndarray:
    """Records of version 1.0 as those of 2.0."""
    records = piece.view([("address", ">u2"), ("t", ">u4")])
    words = np.empty(2 * records.size, np.uint32)
    words[::2], words[1::2] = records["address"], records["t"]
    return words


def _camera(peek: Peek, found: AedatHeader, version: str) -> tuple[str, tuple[int, int] | None]:
    """How addresses are to be read, and the geometry, as far as the header tells."""
    camera = camera_of(found.chip)
    if version == "1.0":
        return "dvs128", DVS128
    if camera:
        davis = camera.name not in ("dvs128", "tmpdiff128")
        return "davis" if davis else "dvs128", (camera.width, camera.height)
    if found.chip and not peek.geometry:
        raise ValueError(f"{peek.path}: recorded by a {found.chip}, whose addresses are not known; if they are those of a DAVIS, "
                         "set width and height")
    return ("davis" if peek.geometry not in (None, DVS128) else "dvs128"), None


def _looks_like_version_1(peek: Peek, offset: int) -> bool:
    """Whether records of 6 bytes follow, in order of time, none of them special, in a file named as AEDAT files are."""
    if peek.path.suffix.lower() not in (".aedat", ".dat"):
        return False
    records = min((len(peek.head) - offset) // 6, LOOKED_AT)
    if records < 1:
        return False
    columns = np.frombuffer(peek.head, [("address", ">u2"), ("t", ">u4")], records, offset)
    t_us = columns["t"].astype(np.int64)
    return bool((columns["address"] < 1 << 15).all() and (np.diff(t_us) >= 0).all() and columns["address"].any())


AEDAT2 = RecordingFormat("aedat2", recognise, load)
