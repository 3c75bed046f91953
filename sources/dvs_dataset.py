"""Labelled samples in class folders: each file goes in as recorded, and comes out as one labelled episode."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from zlib import crc32

import numpy as np
from pydantic import BeforeValidator, Field

from pipeline.contract import FilePath, Source, State
from pipeline.packet import Format, Packet
from sources.cut import Events, cut
from sources.file_options import FileConfig
from sources.formats.header import LONGEST_SILENCE_US
from sources.recordings import Recording

Name = Annotated[str, BeforeValidator(lambda name: str(name) if isinstance(name, int) and not isinstance(name, bool) else name)]


class DvsDatasetConfig(FileConfig):
    """A folder whose sub-folders are the classes and hold one recording a sample, of any format that dvs_file reads.

    Out: spikes of shape (2, height, width), ON is index 1, y counts down, times in us (tables with a column
    unit: of their shape); Format.names are the class names, sorted
    (numbers as numbers) or as `classes` has them; a packet's label is the place of its class there. Each file is an episode,
    class after class and file after file in order of their names, or in an order drawn from `seed` with `shuffle`.
    An episode begins at 0 and ends 1 us after its last event, or at `end_ms`. Events keep the times of the file (in N-MNIST these
    begin at the sample), or with `anchor: first_event` count from the file's first event. Hidden files are passed over.

    Errors: a folder that is missing or holds no class folder or no file; a class that has no folder; a file that dvs_file would
    not read, or of another geometry than the first one. Files are opened as their turn comes, so a bad one stops the run there.

    Example: {type: dvs_dataset, path: data/nmnist/Test, shuffle: true, seed: 1, limit: 100, packet_ms: 1}

    Source: class folders as in N-MNIST: Orchard, Jayawant, Cohen, Thakor, Converting static image datasets to spiking
    neuromorphic datasets using saccades (2015).
    """

    type: Literal["dvs_dataset"] = "dvs_dataset"
    path: FilePath = Field(description="the folder that holds the class folders")
    classes: tuple[Name, ...] | None = Field(None, min_length=1, description="classes, numbered in this order; none: all, sorted")
    files: str = Field("*", min_length=1, description="which files of a class folder are samples, as a pattern such as *.bin")
    shuffle: bool = Field(False, description="whether to draw the order of all samples from seed")
    seed: int = Field(0, ge=0, description="of the order")
    limit: int | None = Field(None, ge=1, description="most episodes in all; none: every sample once")
    end_ms: float | None = Field(
        None, gt=0, description="length of every episode, filled with silence or cut off; none: as recorded"
    )
    anchor: Literal["zero", "first_event"] = Field(
        "zero", description="what lies at time 0: the file's own zero, or the file's first event"
    )

    def _first(self, samples: list[Sample]) -> Recording:
        recording = self.open_file(samples[0].path)
        if recording.header.kind != "spikes":
            raise ValueError(f"{samples[0].path}: holds {recording.header.kind} events, where samples of spikes can be read")
        return recording

    def check(self) -> Format:
        names, samples = list_samples(self)
        return Format("spikes", self._first(samples).header.shape, names=names)

    def prepare(self) -> Callable[[State | None], Source]:
        names, samples = list_samples(self)
        first = self._first(samples)
        first.decoder()
        format = Format("spikes", first.header.shape, names=names)
        order = _in_order(self, samples)
        return lambda state: DvsDataset(self, format, order, state)


class Sample(NamedTuple):
    """One file and the place of its class in Format.names."""

    path: Path
    label: int


class DvsDataset:
    """The source. Its position is (episode, end of the last packet): a resumed file is decoded anew up to there.

    State: episode, next_us, order (a checksum of the samples and their order), events and late so far.
    """

    def __init__(self, config: DvsDatasetConfig, format: Format, samples: list[Sample], state: State | None) -> None:
        self.format = format
        self._config, self._samples = config, samples
        self._order = crc32("\n".join(f"{sample.label}/{sample.path.name}" for sample in samples).encode())
        self._episode = self._next_us = self._events = self._late = 0
        self._others: dict[str, int] = {}  # what files hold besides events, by name
        self._streams: list[Iterator[Packet]] = []
        if state is not None:
            self._restore(state)

    def packets(self) -> Iterator[Packet]:
        stream = self._packets()
        self._streams.append(stream)
        return stream

    def snapshot(self) -> State:
        numbers = {"episode": self._episode, "next_us": self._next_us, "order": self._order,
                   "events": self._events, "late": self._late}
        return {name: np.array(number, np.int64) for name, number in numbers.items()}

    def close(self) -> None:
        for stream in self._streams:
            stream.close()  # type: ignore[attr-defined]

    def report(self) -> dict[str, Any]:
        """Samples and events handed out, late events left out, and what else the files were seen to hold."""
        return {"samples": self._episode, "events": self._events, "late": self._late, **self._others}

    def _packets(self) -> Iterator[Packet]:
        config = self._config
        end_us = None if config.end_ms is None else max(1, round(config.end_ms * 1000))
        while self._episode < len(self._samples):
            sample = self._samples[self._episode]
            for packet in cut(self._read(sample.path), 0, config.packet_us, config.max_events, end_us=end_us,
                              resume_us=self._next_us, episode=self._episode, label=sample.label):
                self._events += packet.n
                self._late += packet.lost
                self._episode, self._next_us = (self._episode + 1, 0) if packet.last else (self._episode, packet.end_us)
                yield packet

    def _read(self, path: Path) -> Iterator[Events]:
        recording = self._config.open_file(path)
        if recording.header.shape != self.format.shape:
            size, wanted = (_size(shape) for shape in (recording.header.shape, self.format.shape))
            raise ValueError(f"{path}: a sensor of {size}, where the first sample's has {wanted}")
        shift_us, counts = None, {"events": 0}
        for chunk in recording.replayed():
            if shift_us is None and chunk.events.t_us.size:
                first_us = int(chunk.events.t_us[0])
                shift_us = first_us if self._config.anchor == "first_event" else 0
                if first_us - shift_us > LONGEST_SILENCE_US:
                    raise ValueError(f"{path}: the first event lies {first_us / 1e6:.0f} s after zero: set anchor: first_event")
            counts = chunk.counts
            yield _shifted(chunk.events, shift_us) if shift_us else chunk.events
        if shift_us is None and self._config.end_ms is None:
            raise ValueError(f"{path}: the recording holds no events; set end_ms to take such a sample as silence")
        for name in counts.keys() - {"events", "backwards"}:
            self._others[name] = self._others.get(name, 0) + counts[name]

    def _restore(self, state: State) -> None:
        if int(state["order"]) != self._order:
            raise ValueError(f"{self._config.path}: the samples or their order have changed since the snapshot")
        self._episode, self._next_us = int(state["episode"]), int(state["next_us"])
        self._events, self._late = int(state["events"]), int(state["late"])


def list_samples(config: DvsDatasetConfig) -> tuple[tuple[str, ...], list[Sample]]:
    """The class names, and all samples in order of class and name: what a source draws from, and a trainer splits."""
    folders = _class_folders(config)
    samples = [
        Sample(path, label)
        for label, folder in enumerate(folders)
        if folder.is_dir()
        for path in sorted(folder.iterdir(), key=lambda path: natural(path.name))
        if fnmatchcase(path.name, config.files) and not path.name.startswith(".") and path.is_file()
    ]
    if not samples:
        raise ValueError(f"{config.path}: no class folder holds a file that matches {config.files!r}")
    return tuple(folder.name for folder in folders), samples


def _class_folders(config: DvsDatasetConfig) -> list[Path]:
    if not config.path.is_dir():
        raise ValueError(f"{config.path}: {'not a folder' if config.path.exists() else 'no such folder'}")
    found = {folder.name: folder for folder in config.path.iterdir() if folder.is_dir() and not folder.name.startswith(".")}
    if not found:
        raise ValueError(f"{config.path}: no class folders in it: a data set holds one folder a class, with the samples inside")
    names = sorted(found, key=natural)
    chosen = names if config.classes is None else list(config.classes)
    # A class of the model's that this data set has no samples of is fine; beside a folder left out it looks like a misspelling.
    unknown = [name for name in chosen if name not in found]
    if unknown and (set(names) - set(chosen) or len(unknown) == len(chosen)):
        raise ValueError(f"{config.path}: no folder for class {unknown[0]!r}; there are {', '.join(names)}")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"classes must differ, got {', '.join(chosen)}")
    return [config.path / name for name in chosen]


def natural(name: str) -> tuple[Any, ...]:
    """The sort key by which 10 comes after 9."""
    parts = [part for part in re.split(r"([0-9]+)", name) if part]
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts), name


def _in_order(config: DvsDatasetConfig, samples: list[Sample]) -> list[Sample]:
    if config.shuffle:
        samples = [samples[i] for i in np.random.default_rng(config.seed).permutation(len(samples))]
    return samples[: config.limit]


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[2]}x{shape[1]}" if len(shape) == 3 else f"{shape[0]} channels" if len(shape) == 1 else f"shape {shape}"


def _shifted(events: Events, by_us: int) -> Events:
    return events._replace(t_us=events.t_us - by_us, late_us=events.late_us - by_us)
