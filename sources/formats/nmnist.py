"""N-MNIST, N-Caltech101, POKER-DVS: ATIS records of five bytes and nothing else, so a file is known by its structure alone.

A file whose first records lie outside of N-MNIST's 34x34 is taken for one of these when at least 32 of them are in order of time
and it ends with a whole record; its geometry is the smallest of the well-known sensors that holds them. Or set width and height.

Source: Orchard, Jayawant, Cohen, Thakor 2015, "Converting static image datasets to spiking neuromorphic datasets using saccades".
"""

from __future__ import annotations

from functools import partial

import numpy as np

from sources.formats.header import Decoder, Header, Peek, RecordingFormat, camera_geometry
from sources.formats.tables import well_known_sensor
from sources.formats.words import decode_words, words_header

RECORD_BYTES = 5
GEOMETRY = (34, 34)
MOST = 320  # pixels: addresses have 8 bits, sensors that hold them all may be wider
LOOKED_AT = 1000  # records
LEAST = 32  # of them, to tell a sensor of another size


def recognise(peek: Peek) -> Header | None:
    """Whether the first records lie inside the geometry, in order of time."""
    records = min(len(peek.head) // RECORD_BYTES, LOOKED_AT)
    if not records:
        return None
    width, height = peek.geometry or GEOMETRY
    columns = np.frombuffer(peek.head, np.uint8, records * RECORD_BYTES).reshape(-1, RECORD_BYTES).astype(np.int64)
    t_us = (columns[:, 2] & 0x7F) << 16 | columns[:, 3] << 8 | columns[:, 4]
    if (t_us[1:] < t_us[:-1]).any() or not columns.any():
        return None
    sensor = GEOMETRY
    if (columns[:, 0] >= width).any() or (columns[:, 1] >= height).any():
        if peek.geometry or records < LEAST or peek.size % RECORD_BYTES or t_us[0] == t_us[-1]:
            return None
        sensor = well_known_sensor(int(columns[:, 0].max()) + 1, int(columns[:, 1].max()) + 1)
    shape, geometry_from = camera_geometry(peek, None, sensor, MOST)
    geometry_from = geometry_from if sensor == GEOMETRY else "the first events"
    return words_header(Header(peek.path, "nmnist", peek.size, 0, shape, geometry_from), RECORD_BYTES)


def load(header: Header) -> Decoder:
    from sources.kernels.atis import decode

    return partial(decode_words, kernel=decode, item="u1", word_bytes=RECORD_BYTES, most=1, wrap_us=1 << 23)


NMNIST = RecordingFormat("nmnist", recognise, load)
