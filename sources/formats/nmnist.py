"""N-MNIST: ATIS records of five bytes and nothing else, so a file is known by its structure alone.

Source: Orchard, Jayawant, Cohen, Thakor 2015, "Converting static image datasets to spiking neuromorphic datasets using saccades".
"""

from __future__ import annotations

from functools import partial

import numpy as np

from sources.formats.header import Decoder, Header, Peek, RecordingFormat, camera_geometry
from sources.formats.words import decode_words, words_header

RECORD_BYTES = 5
GEOMETRY = (34, 34)
LOOKED_AT = 1000  # records


def recognise(peek: Peek) -> Header | None:
    """Whether the first records lie inside the geometry, in order of time."""
    records = min(len(peek.head) // RECORD_BYTES, LOOKED_AT)
    if not records:
        return None
    width, height = peek.geometry or GEOMETRY
    columns = np.frombuffer(peek.head, np.uint8, records * RECORD_BYTES).reshape(-1, RECORD_BYTES).astype(np.int64)
    t_us = (columns[:, 2] & 0x7F) << 16 | columns[:, 3] << 8 | columns[:, 4]
    outside = (columns[:, 0] >= width) | (columns[:, 1] >= height)
    if outside.any() or (t_us[1:] < t_us[:-1]).any() or not columns.any():
        return None
    shape, geometry_from = camera_geometry(peek, None, GEOMETRY, 256)
    return words_header(Header(peek.path, "nmnist", peek.size, 0, shape, geometry_from), RECORD_BYTES)


def load(header: Header) -> Decoder:
    from sources.kernels.atis import decode

    return partial(decode_words, kernel=decode, item="u1", word_bytes=RECORD_BYTES, most=1, wrap_us=1 << 23)


NMNIST = RecordingFormat("nmnist", recognise, load)
