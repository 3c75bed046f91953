"""Text, written: CSV with a header line and whole microseconds, or the lines `t x y p` of the RPG data sets, t in seconds.

Source: Mueggler, Rebecq, Gallego, Delbruck, Scaramuzza 2017, "The Event-Camera Dataset and Simulator" (format of events.txt).
"""

from __future__ import annotations

from itertools import chain

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
        if not events.t_us.size:
            return
        seconds, us = np.divmod(events.t_us, 1_000_000)
        columns = (seconds, us, *addresses(events.unit, self.target.shape))
        rows = chain.from_iterable(zip(*(column.tolist() for column in columns), strict=True))
        self.file.write(("%d.%06d %d %d %d\n" * events.t_us.size % tuple(rows)).encode())


CSV = Encoder("csv", ".csv", CsvWriter, camera=None)
TEXT = Encoder("txt", ".txt", TextWriter, first_us=1 << 62)
