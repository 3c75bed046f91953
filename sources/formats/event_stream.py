"""Event Stream (.es), versions 1 and 2: a header of 15 or 20 bytes, then events that tell the time since the one before.

The kinds of stream and what comes out of them:

* dvs: changes of contrast, spikes of shape (2, height, width);
* atis: the same; the threshold crossings of the exposure measurement are counted, or come out as the stream `exposures`:
  spikes of the same shape, index 0 the first crossing of a measurement, 1 the second;
* color: red, green and blue of a pixel, three graded events (0 to 255) of shape (3, height, width);
* generic (version 2): events that carry bytes and belong to no pixel, spikes of shape (1, 1, 1); the bytes are counted.

x and y come out as they are stored. The description does not say which row is 0; recorders of the ATIS write the bottom one, so
that a picture may stand on its head.
Source: Event Stream specification, versions 1.0 and 2.0 (Maybe, Ieng, Benosman, neuromorphic-paris/event_stream).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sources.formats.header import Decoder, Header, Peek, RecordingFormat, camera_geometry
from sources.formats.words import decode_words
from sources.kernels import position as slot

MAGIC = b"Event Stream"
KINDS = {1: ("dvs", "atis", "display", "color", "generic"), 2: ("generic", "dvs", "atis", "display", "color")}
READ = {1: ("dvs", "atis", "color"), 2: ("dvs", "atis", "color", "generic")}
GEOMETRY = (304, 240)  # of the ATIS; version 1 does not tell it
COUNTS = {"resets": slot.RESETS}
ATIS_COUNTS = {"exposures": slot.EXPOSURES, **COUNTS}
EXPOSURES_COUNTS = {"changes": slot.CHANGES, **COUNTS}


def recognise(peek: Peek) -> Header | None:
    if not peek.head.startswith(MAGIC):
        return None
    if len(peek.head) < 16:
        raise ValueError(f"{peek.path}: cut off in its header, at byte {peek.size}")
    version = peek.head[12]
    if version not in KINDS:
        raise ValueError(f"{peek.path}: Event Stream of version {version}.{peek.head[13]}: versions 1 and 2 can be read")
    offset, number = (15, peek.head[14]) if version == 1 else (16, peek.head[15])
    kind = KINDS[version][number] if number < len(KINDS[version]) else f"number {number}"
    if kind not in READ[version]:
        raise ValueError(f"{peek.path}: a stream of {kind} events: of version {version}, {', '.join(READ[version])} can be read")
    declared = (1, 1) if kind == "generic" else None
    if version == 2 and kind != "generic":
        offset, declared = 20, (int.from_bytes(peek.head[16:18], "little"), int.from_bytes(peek.head[18:20], "little"))
        if peek.size < offset:
            raise ValueError(f"{peek.path}: cut off in its header, at byte {peek.size}")
    shape, geometry_from = camera_geometry(peek, declared, GEOMETRY, 1 << 15 if version == 2 else 1 << 10)
    planes = {"color": 3, "generic": 1}.get(kind, 2)
    details = {"version": f"{version}.{peek.head[13]}", "kind": kind}
    return Header(peek.path, "es", peek.size, offset, (planes, *shape[1:]), geometry_from, details=details,
                  kind="graded" if kind == "color" else "spikes", streams=("exposures",) if kind == "atis" else ())


def load(header: Header) -> Decoder:
    from sources.kernels import event_stream as kernels

    by_kind: dict[str, Callable[..., int]]
    kind, version, exposures = header.details["kind"], int(header.details["version"][0]), header.stream == "exposures"
    if version == 1:
        atis = kernels.decode_atis_v1_exposures if exposures else kernels.decode_atis_v1
        by_kind = {"dvs": kernels.decode_dvs_v1, "atis": atis, "color": kernels.decode_color_v1}
    else:
        atis = kernels.decode_atis_exposures if exposures else kernels.decode_atis
        by_kind = {"dvs": kernels.decode_dvs, "atis": atis, "color": kernels.decode_color, "generic": kernels.decode_generic}
    counts = {"atis": EXPOSURES_COUNTS if exposures else ATIS_COUNTS, "generic": {"payload_bytes": slot.PAYLOAD, **COUNTS}}
    return partial(decode_words, kernel=by_kind[kind], item="u1", word_bytes=1, most=1, counts=counts.get(kind, COUNTS))


ES = RecordingFormat("es", recognise, load)
