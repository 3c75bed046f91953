"""Text, written: CSV with a header line and whole microseconds, or the lines `t x y p` of the RPG data sets, t in seconds.

Source: Mueggler, Rebecq, Gallego, Delbruck, Scaramuzza 2017, "The Event-Camera Dataset and Simulator" (format of events.txt).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sources.cut import Events
from sources.encoders.writer import Encoder, FileWriter, Target, addresses, columns_of


class CsvWriter(FileWriter):
    """Columns t (us), x, y, p of cameras, else t, unit; and value where events have one."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._begun = False

    def write(self, events: Events) -> None:
        import pyarrow as pa
        from pyarrow import csv

        table = pa.table(columns_of(events, self.target.shape))
        options = csv.WriteOptions(include_header=not self._begun, quoting_style="none", quoting_header="none")
        csv.write_csv(table, self.file, options)
        self._begun = True

    def close(self) -> None:
        if not self._begun:
            self.write(Events())
        super().close()


class TextWriter(FileWriter):
    """One line an event: t in seconds with six decimals, x, y, p (0 or 1), in ASCII, no header."""

    def write(self, events: Events) -> None:
        import pyarrow as pa
        from pyarrow import csv

        x, y, on = addresses(events.unit, self.target.shape)
        table = pa.table({"t": _as_seconds(events.t_us), "x": x, "y": y, "p": on})
        csv.write_csv(table, self.file, csv.WriteOptions(include_header=False, delimiter=" ", quoting_style="none"))


def _as_seconds(t_us: np.ndarray) -> Any:
    """Microseconds as decimal numbers of six places: the same 128-bit integers, to be read with another scale."""
    import pyarrow as pa

    words = np.stack((t_us, t_us >> 63), axis=1)
    return pa.Array.from_buffers(pa.decimal128(20, 6), t_us.size, [None, pa.py_buffer(words)])


CSV = Encoder("csv", ".csv", CsvWriter, camera=None)
TEXT = Encoder("txt", ".txt", TextWriter, first_us=1 << 62)
