"""The formats of recorded events. Adding one = one file beside this one, and one row in the table.

A format's file holds a `RecordingFormat` (sources/formats/header.py) of three parts:

* its name, as `spikeline info` shows it;
* `recognise(peek)`: looks at the first bytes, the size and the name, and returns a `Header`, or None when the file is
  another format's, or raises a ValueError that says why a file of this format cannot be read. It may read on in
  `peek.path` where a header is longer than the peek, and import a library (h5py) once the magic bytes have matched.
  Formats that a magic number proves stand before those that only their structure tells;
* `load(header)`: imports the kernels and returns the decoder: a generator function (header, position) of `Chunk`s. The
  position is an int64 vector of the format's own making (a byte offset, a block number, a row of a table, and what the
  decoder has in mind): whatever a new decoder needs to go on. A chunk is limited in size, so that a file of any length is
  replayed in constant memory. A format of compressed blocks makes each block a chunk; one of plain words uses
  `decode_words` and writes a kernel only.

Events of a chunk stand in the order of the file; what to do about events that run backwards in time is decided once, for
all formats, in sources/recordings.py. Data besides the events (triggers, frames, inertial data) is counted in
`Chunk.counts`, by a name that says what it is; sensors that are not cameras set another `Header.shape`.
"""

from sources.formats.aedat2 import AEDAT2
from sources.formats.aedat3 import AEDAT3
from sources.formats.aedat4 import AEDAT4
from sources.formats.arrow import ARROW, PARQUET
from sources.formats.dat import DAT
from sources.formats.event_stream import ES
from sources.formats.hdf5 import HDF5
from sources.formats.header import RecordingFormat
from sources.formats.mat import ST_MNIST
from sources.formats.nmnist import NMNIST
from sources.formats.npy import NPY
from sources.formats.npz import NPZ
from sources.formats.packet_log import SPKL
from sources.formats.prophesee_raw import EVT2, EVT3, EVT21
from sources.formats.rosbag import ROSBAG
from sources.formats.text import TEXT

FORMATS: tuple[RecordingFormat, ...] = (
    EVT3, EVT2, EVT21, DAT, SPKL, AEDAT4, AEDAT3, AEDAT2, ES, NPY, NPZ, HDF5, ARROW, PARQUET, ROSBAG, ST_MNIST, TEXT, NMNIST,
)  # fmt: skip
