"""Recordings with a table of labelled intervals each, as in DVS128 Gesture: each interval comes out as one labelled episode."""

from __future__ import annotations

import csv
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from pipeline.contract import FilePath, Source, State
from pipeline.packet import Format
from sources.cut import Events
from sources.dvs_dataset import Name, natural
from sources.file_options import FileConfig
from sources.samples import Sample, SampledConfig, Samples

COLUMNS = ("class", "startTime_usec", "endTime_usec")  # of DVS128 Gesture


class LabelledIntervalsConfig(FileConfig, SampledConfig):
    """A folder of recordings of any format that dvs_file reads, and beside each a CSV file of the intervals that are labelled.

    The table of user01_led.aedat is user01_led_labels.csv (`labels` says how it is called): a header, then a line an interval,
    with the columns class (a whole number, or a name), startTime_usec and endTime_usec, in the recording's own time.
    `listed_in` names the recordings, one a line: trials_to_train.txt. What lies between the intervals is left out.

    Out: spikes of shape (2, height, width), ON is index 1, y counts down, times in us. An episode holds the events of
    [start, end), start being 0, and lasts until end or for `end_ms`. Recording after recording in order of their names or of the
    list, interval after interval, or in an order drawn from `seed` with `shuffle`, which decodes files again and again.
    Format.names are the classes that the tables of these recordings hold, sorted, numbers as numbers; or `classes`, in their
    order, where a table's number k is the class at place k - first_class.

    Memory: one recording's events, 12 bytes each.
    Errors: a folder, a list, a recording or a table that is missing; a line that is no interval; a class that `classes` leaves
    out; recordings of different geometries.

    Example: {type: labelled_intervals, path: DvsGesture, listed_in: DvsGesture/trials_to_train.txt, shuffle: true}

    Source: the files of DVS128 Gesture: Amir et al., A low power, fully event-based gesture recognition system (2017).
    """

    type: Literal["labelled_intervals"] = "labelled_intervals"
    path: FilePath = Field(description="the folder that holds recordings and tables")
    listed_in: FilePath | None = Field(None, description="text file that names recordings, one a line; none: all of files")
    files: str = Field("*.aedat", min_length=1, description="which files are recordings, as a pattern, where there is no list")
    labels: str = Field("_labels.csv", min_length=1, description="what follows a recording's name, less suffix, in its table's")
    classes: tuple[Name, ...] | None = Field(None, min_length=1, description="names of classes in order; none: as in the tables")
    first_class: int = Field(1, ge=0, description="the number in the tables of the first of classes")
    end_ms: float | None = Field(
        None, gt=0, description="length of every episode, filled with silence or cut off; none: as labelled"
    )

    @model_validator(mode="after")
    def _differ(self) -> LabelledIntervalsConfig:
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes must differ, got {', '.join(self.classes)}")
        return self

    def check(self) -> Format:
        intervals = list_intervals(self)
        recording = self.open_file(intervals[0].path)
        if recording.header.kind != "spikes":
            raise ValueError(f"{intervals[0].path}: holds {recording.header.kind} events, where spikes can be read")
        return Format("spikes", recording.header.shape, names=self.names(intervals))

    def names(self, intervals: tuple[Interval, ...]) -> tuple[str, ...]:
        return self.classes or tuple(sorted({interval.name for interval in intervals}, key=natural))

    def prepare(self) -> Callable[[State | None], Source]:
        format, intervals = self.check(), list_intervals(self)
        self.open_file(intervals[0].path).decoder()
        return lambda state: Samples(self, format, partial(_Reader, self, format, intervals), state)


class Interval(NamedTuple):
    """A line of a table: [begin_us, end_us) of a recording shows the class `name`."""

    path: Path
    name: str
    begin_us: int
    end_us: int


def list_intervals(config: LabelledIntervalsConfig) -> tuple[Interval, ...]:
    """All intervals, in order of the recordings and of the lines of their tables."""
    found = [interval for path in _recordings(config) for interval in _table(config, path)]
    if not found:
        raise ValueError(f"{config.path}: no table of its recordings holds an interval")
    return tuple(found)


def _recordings(config: LabelledIntervalsConfig) -> list[Path]:
    if not config.path.is_dir():
        raise ValueError(f"{config.path}: {'not a folder' if config.path.exists() else 'no such folder'}")
    if config.listed_in is None:
        names = [path.name for path in config.path.iterdir() if fnmatchcase(path.name, config.files) and path.is_file()]
        names = sorted((name for name in names if not name.startswith(".")), key=natural)
    else:
        if not config.listed_in.is_file():
            raise ValueError(f"{config.listed_in}: no such list of recordings")
        names = [line.strip() for line in config.listed_in.read_text().splitlines() if line.strip()]
    if not names:
        raise ValueError(f"{config.listed_in or config.path}: names no recording that matches {config.files!r}")
    return [config.path / name for name in names]


def _table(config: LabelledIntervalsConfig, path: Path) -> list[Interval]:
    table = path.with_name(path.stem + config.labels)
    if not table.is_file():
        raise ValueError(f"{path}: no table of labels {table.name} beside it; see the option labels")
    with table.open(newline="") as file:
        lines = csv.DictReader(file, skipinitialspace=True)
        if not set(COLUMNS) <= set(lines.fieldnames or ()):
            raise ValueError(f"{table}: wanted a header with {', '.join(COLUMNS)}, got {', '.join(lines.fieldnames or ())}")
        return [_interval(config, path, f"{table}:{lines.line_num}", [line[name] for name in COLUMNS]) for line in lines]


def _interval(config: LabelledIntervalsConfig, path: Path, where: str, values: list[str | None]) -> Interval:
    name, *times = (value or "" for value in values)
    if not name or not all(time.isascii() and time.isdigit() for time in times) or int(times[0]) >= int(times[1]):
        raise ValueError(f"{where}: wanted a class and two whole times, the second later, got {', '.join([name, *times])}")
    if config.classes is not None and name not in config.classes:
        place = int(name) - config.first_class if name.isascii() and name.isdigit() else -1
        if not 0 <= place < len(config.classes):
            raise ValueError(f"{where}: class {name} is none of {', '.join(config.classes)}, numbered from {config.first_class}")
        name = config.classes[place]
    return Interval(path, name, int(times[0]), int(times[1]))


class _Reader:
    """The intervals; the events of the recording that was read last are kept."""

    def __init__(self, config: LabelledIntervalsConfig, format: Format, intervals: tuple[Interval, ...]) -> None:
        self._config, self._format, self._intervals = config, format, intervals
        self._path, self._events = Path(), Events()
        self.fingerprint = "\n".join(f"{i.path.name} {i.name} {i.begin_us} {i.end_us}" for i in intervals).encode()

    def __len__(self) -> int:
        return len(self._intervals)

    def label(self, index: int) -> int:
        return self._format.names.index(self._intervals[index].name)

    def read(self, index: int) -> Sample:
        interval, events = self._intervals[index], self._recording(self._intervals[index].path)
        first, last = np.searchsorted(events.t_us, (interval.begin_us, interval.end_us))
        length = interval.end_us - interval.begin_us
        end_us = length if self._config.end_ms is None else max(1, round(self._config.end_ms * 1000))
        late_us = events.late_us[(events.late_us >= interval.begin_us) & (events.late_us < interval.end_us)]
        own = Events(events.t_us[first:last] - interval.begin_us, events.unit[first:last], late_us=late_us - interval.begin_us)
        return Sample(own, end_us)

    def about(self, index: int) -> dict[str, str]:
        return {}

    def close(self) -> None:
        pass

    def _recording(self, path: Path) -> Events:
        if path != self._path:
            recording = self._config.open_file(path)
            if recording.header.shape != self._format.shape:
                raise ValueError(f"{path}: events of shape {recording.header.shape}, where the first recording's have "
                                 f"{self._format.shape}")
            self._path, self._events = path, recording.events()
        return self._events
