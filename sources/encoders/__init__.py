"""The formats that recordings are written in. Adding one = one file beside this one, and one row in the table.

An encoder's file holds an `Encoder` (sources/encoders/writer.py): its name, the suffix of a file that means it, what it can
hold, and how a `Writer` for one file is made. Writers take events in order of time, in pieces of any size, and keep no more
than a limited number of them in memory (the SHD layout excepted, which holds a recording as one row).
"""

from sources.encoders.aedat4 import AEDAT4, AEDAT4_NONE, AEDAT4_ZSTD
from sources.encoders.event_stream import ES
from sources.encoders.hdf5 import DSEC, SHD
from sources.encoders.npz import NPZ
from sources.encoders.prophesee import DAT, EVT2, EVT3
from sources.encoders.tables import ARROW, PARQUET
from sources.encoders.text import CSV, TEXT
from sources.encoders.writer import Encoder

ENCODERS: tuple[Encoder, ...] = (
    EVT3, EVT2, DAT, AEDAT4, AEDAT4_ZSTD, AEDAT4_NONE, ES, CSV, TEXT, NPZ, DSEC, SHD, ARROW, PARQUET,
)  # fmt: skip
"""The first row with a file's suffix is what that suffix means."""
