"""Prophesee DAT: a percent header, two bytes that tell type and size of a record, then records of 8 bytes.

The header's Version decides the address: up to 1 the narrow one (x 9 bits, y 8), from 2 on the wide one (14 and 14).
Source: Prophesee, Metavision SDK documentation, "DAT file format".
"""

from __future__ import annotations

from functools import partial

from sources.formats.header import Decoder, Header, Peek, RecordingFormat, camera_geometry
from sources.formats.percent_header import read_percent_header, whole_number
from sources.formats.words import decode_words, words_header

RECORD_BYTES = 8
RECORD_TYPES = {0x00: "2d", 0x0C: "cd"}  # both hold t, x, y, polarity
GEOMETRY = (304, 240)  # of the ATIS, whose files do not tell it


def recognise(peek: Peek) -> Header | None:
    fields, offset = read_percent_header(peek.head)
    if not fields or "evt" in fields or "format" in fields or len(peek.head) < offset + 2:
        return None
    record_type, record_bytes = peek.head[offset], peek.head[offset + 1]
    if record_bytes != RECORD_BYTES or record_type not in RECORD_TYPES:
        if "version" not in fields:
            return None
        raise ValueError(
            f"{peek.path}: looks like a DAT file, but its records are of type {record_type} and {record_bytes} bytes: "
            "those of type 0 (2d) and 12 (cd), of 8 bytes, can be read"
        )
    version = whole_number(peek.path, "Version", fields.get("version", "0"))
    declared = None
    if "width" in fields and "height" in fields:
        declared = whole_number(peek.path, "Width", fields["width"]), whole_number(peek.path, "Height", fields["height"])
    shape, geometry_from = camera_geometry(peek, declared, GEOMETRY, 1 << 14 if version >= 2 else 1 << 9)
    details = dict(fields) | {"version": version, "record_type": RECORD_TYPES[record_type]}
    return words_header(Header(peek.path, "dat", peek.size, offset + 2, shape, geometry_from, details=details), RECORD_BYTES)


def load(header: Header) -> Decoder:
    from sources.kernels.dat import decode_v1, decode_v2

    kernel = decode_v2 if header.details["version"] >= 2 else decode_v1
    return partial(decode_words, kernel=kernel, item="<u4", word_bytes=RECORD_BYTES, most=1, wrap_us=1 << 32)


DAT = RecordingFormat("dat", recognise, load)
