"""The header of AEDAT files up to version 3: lines that begin with # and end with a line feed, the version's the first."""

from __future__ import annotations

import re
from typing import NamedTuple

from sources.formats.header import Peek

MOST_BYTES = 1 << 24  # of a header: jAER writes all its preferences into it


class AedatHeader(NamedTuple):
    """What the lines tell, and where they end."""

    version: str  # "" where no line tells it
    chip: str  # of the camera, "" where no line tells it
    offset: int  # of the first byte after them
    whole: bool  # whether the header has been read to its end
    fields: dict[str, str]


class Camera(NamedTuple):
    """How a camera addresses its pixels: as a DVS128 does, or as a DAVIS."""

    name: str
    width: int
    height: int


CAMERAS = (
    Camera("dvs128", 128, 128),
    Camera("tmpdiff128", 128, 128),  # the name that the DVS128 had first
    Camera("davis240", 240, 180),
    Camera("davis128", 128, 128),
    Camera("davis208", 208, 192),
    Camera("davis346", 346, 260),
    Camera("davis640", 640, 480),
    Camera("davisrgb640", 640, 480),
    Camera("davisrgbw640", 640, 480),
)


def read_aedat_header(peek: Peek) -> AedatHeader:
    """The header of a file that begins with #, or of none: ("", "", 0, True, {})."""
    head = peek.head
    found = _read(head)
    if found.offset + _LONGEST_LINE > len(head) and len(head) < peek.size:  # it may go on beyond the peek
        with open(peek.path, "rb") as file:
            head = file.read(MOST_BYTES)
        found = _read(head)
    cut = found.offset < len(head) and head[found.offset] == 0x23 and _CUT_LINE.fullmatch(head, found.offset)
    return found._replace(whole=not (cut and len(head) == peek.size))


def camera_of(chip: str) -> Camera | None:
    """The camera that a header's text names."""
    return next((camera for camera in CAMERAS if camera.name in chip.lower()), None)


_LONGEST_LINE = 1 << 15
_LINE = re.compile(rb"#([\t\x20-\xff]{0,32767})\r?\n")
_CUT_LINE = re.compile(rb"#[\t\x20-\xff]*\r?")
_ENDS = b"!END-HEADER", b"End Of ASCII Header"


def _read(head: bytes) -> AedatHeader:
    version = chip = ""
    fields: dict[str, str] = {}
    offset = 0
    while match := _LINE.match(head, offset):
        offset = match.end()
        line = match[1].decode("latin-1").strip()
        if line.startswith("!AER-DAT") and not version:
            version = line.removeprefix("!AER-DAT").strip()
        elif match[1].strip() in _ENDS:
            break
        elif line.startswith(("AEChip:", "Source ")) and not chip:
            chip = line.partition(":")[2].strip()
        key, colon, value = line.partition(":")
        if colon and re.fullmatch(r"[A-Za-z][A-Za-z -]{0,30}[0-9]?", key):
            fields.setdefault(key.lower(), value.strip())
    return AedatHeader(version, chip, offset, True, fields)
