"""Prophesee RAW: a percent header that names the encoding, then words of EVT 2.0, EVT 2.1 or EVT 3.0.

Source: Prophesee, Metavision SDK documentation, "RAW file format", "EVT 2.0 format", "EVT 2.1 format"
and "EVT 3.0 format"; the order of halves in EVT 2.1 words of older cameras ("endianness=legacy"): OpenEB, evt21_event_types.h.
"""

from __future__ import annotations

import re
from functools import partial

from sources.formats.header import Decoder, Header, Peek, RecordingFormat, camera_geometry
from sources.formats.percent_header import read_percent_header, whole_number
from sources.formats.words import decode_words, words_header

WORD_BYTES = {"evt2": 4, "evt21": 8, "evt3": 2}
GEOMETRIES = {"evt2": (640, 480), "evt21": (1280, 720), "evt3": (1280, 720)}  # of the cameras whose headers do not tell it
MOST = 2048  # 11 bits of address


def recognise(peek: Peek) -> tuple[str, Header] | None:
    """The encoding and the header, or None when this is no RAW file."""
    fields, offset = read_percent_header(peek.head)
    encoding, declared = _format_field(peek, fields)
    if encoding is None and "evt" in fields:
        encoding = f"evt{fields['evt'].removesuffix('.0')}".replace(".", "")
    if encoding is None:
        return None
    if encoding not in WORD_BYTES:
        known = ", ".join(WORD_BYTES)
        raise ValueError(f"{peek.path}: events are encoded as {encoding.upper()}: of RAW files, {known} can be read")
    if len(peek.head) == peek.size and re.fullmatch(rb"%[ -~\t]*\r?", peek.head[offset:]):
        raise ValueError(f"{peek.path}: cut off in its header, at byte {peek.size}")
    endianness = fields.get("endianness", "little").lower()
    if endianness != "little" and (encoding, endianness) != ("evt21", "legacy"):
        raise ValueError(f"{peek.path}: events are {fields['endianness']}-endian: only little-endian RAW files can be read")
    declared = _geometry_field(peek, fields) or declared
    shape, geometry_from = camera_geometry(peek, declared, GEOMETRIES[encoding], MOST)
    header = Header(peek.path, encoding, peek.size, offset, shape, geometry_from, details=dict(fields), streams=("triggers",))
    return encoding, words_header(header, WORD_BYTES[encoding])


def _format_field(peek: Peek, fields: dict[str, str]) -> tuple[str | None, tuple[int, int] | None]:
    """`% format EVT3;height=720;width=1280`: the encoding and the geometry, as far as it tells them."""
    if "format" not in fields:
        return None, None
    encoding, *options = fields["format"].split(";")
    values = dict(option.strip().lower().partition("=")[::2] for option in options)
    if "endianness" in values:
        fields.setdefault("endianness", values["endianness"])
    if not ("width" in values and "height" in values):
        return encoding.strip().lower(), None
    return encoding.strip().lower(), tuple(whole_number(peek.path, name, values[name]) for name in ("width", "height"))  # type: ignore[return-value]


def _geometry_field(peek: Peek, fields: dict[str, str]) -> tuple[int, int] | None:
    """`% geometry 1280x720`."""
    if "geometry" not in fields:
        return None
    match = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", fields["geometry"])
    if not match:
        raise ValueError(f"{peek.path}: the header's geometry must be WIDTHxHEIGHT, got {fields['geometry']!r}")
    return int(match[1]), int(match[2])


def _recognise_as(name: str, peek: Peek) -> Header | None:
    found = recognise(peek)
    return found[1] if found and found[0] == name else None


def load(header: Header) -> Decoder:
    if header.format == "evt3":
        return _load_evt3(header)
    return _load_evt21(header) if header.format == "evt21" else _load_evt2(header)


def _load_evt2(header: Header) -> Decoder:
    if header.stream == "triggers":
        from sources.kernels.triggers import decode_evt2 as decode
    else:
        from sources.kernels.evt2 import decode
    return partial(decode_words, kernel=decode, item="<u4", word_bytes=4, most=1, wrap_us=1 << 34)


def _load_evt21(header: Header) -> Decoder:
    if header.stream == "triggers":
        from sources.kernels.triggers import decode_evt21 as decode
        from sources.kernels.triggers import decode_evt21_legacy as decode_legacy
    else:
        from sources.kernels.evt21 import decode, decode_legacy
    legacy = header.details.get("endianness", "").lower() == "legacy"
    kernel = decode_legacy if legacy else decode
    return partial(decode_words, kernel=kernel, item="<u4", word_bytes=8, most=32, wrap_us=1 << 34)


def _load_evt3(header: Header) -> Decoder:
    if header.stream == "triggers":
        from sources.kernels.triggers import decode_evt3 as decode
    else:
        from sources.kernels.evt3 import decode
    return partial(decode_words, kernel=decode, item="<u2", word_bytes=2, most=12, wrap_us=1 << 24)


EVT2 = RecordingFormat("evt2", partial(_recognise_as, "evt2"), load)
EVT21 = RecordingFormat("evt21", partial(_recognise_as, "evt21"), load)
EVT3 = RecordingFormat("evt3", partial(_recognise_as, "evt3"), load)
