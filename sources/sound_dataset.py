"""Labelled sounds in a folder: each sound file goes in, and comes out as one labelled episode of samples."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, Source, State
from pipeline.packet import Format
from sources.cut import joined
from sources.dvs_dataset import Name
from sources.samples import Sample, SampledConfig, Samples
from sources.sound_files import (
    GREATEST_HZ,
    LabelledSound,
    Patterns,
    list_sounds,
    read_sound,
    recorded_rate_hz,
    sound_events,
    stamps_us,
)


class SoundDatasetConfig(SampledConfig):
    """A folder of labelled sounds (wav, flac, ogg, mp3, aiff ...): every file is an episode of its samples.

    A flat folder: a file's class is its name up to the first `_`, as 7_theo_12.wav is of class 7. A folder of folders: these are
    the classes. Where a name has three parts, the second is the speaker; the report counts the episodes of each.
    Parts of a data set are chosen by patterns of file names, all with the same classes.

    Out: graded events of shape (1,), full scale being 1, at `rate_hz` samples/s (several channels are averaged, other rates
    resampled); sample i is stamped round(i * 1e6 / rate_hz) us, and an episode ends where its next sample would be.
    Format.names are the classes, sorted (numbers as numbers) or as `classes` has them; a packet's label is the place there.

    Errors: a folder that is missing or holds no sound that is asked for; a class without sounds; a file that is damaged or empty,
    when its turn comes.

    Example: {type: sound_dataset, path: data/fsdd, files: "*_[0-4].wav"}
    Example: {type: sound_dataset, path: data/fsdd, exclude: ["*_theo_*"], shuffle: true, seed: 1, limit: 100, lead_ms: 200}

    Source: file names as in Z. Jackson et al., Free Spoken Digit Dataset (2016), whose test part are recordings 0 to 4.
    """

    type: Literal["sound_dataset"] = "sound_dataset"
    path: FilePath = Field(description="the folder")
    files: Patterns = Field(("*",), description="which files are taken, as patterns such as *_[0-4].wav")
    exclude: Patterns = Field((), description="which of these are not, likewise")
    classes: tuple[Name, ...] | None = Field(None, min_length=1, description="classes, numbered in this order; none: all, sorted")
    rate_hz: float = Field(48_000.0, ge=1000, le=GREATEST_HZ, description="the rate to resample to, samples/s")
    lead_ms: float = Field(0.0, ge=0, description="silence before each sound")
    tail_ms: float = Field(0.0, ge=0, description="silence after it")

    def check(self) -> Format:
        names, sounds = self.sounds()
        recorded_rate_hz(sounds[0].path)
        return Format("graded", (1,), rate_hz=self.rate_hz, names=names)

    def prepare(self) -> Callable[[State | None], Source]:
        format, sounds = self.check(), self.sounds()[1]
        return lambda state: Samples(self, format, partial(_SoundReader, self, sounds), state)

    def sounds(self) -> tuple[tuple[str, ...], list[LabelledSound]]:
        """The class names, and all sounds in order of class and name."""
        return list_sounds(Path(self.path), self.files, self.exclude, self.classes)


class _SoundReader:
    def __init__(self, config: SoundDatasetConfig, sounds: list[LabelledSound]) -> None:
        self._config, self._sounds = config, sounds
        self._lead, self._tail = (round(ms * config.rate_hz / 1000) for ms in (config.lead_ms, config.tail_ms))
        self.fingerprint = "\n".join(f"{sound.label}/{sound.path.name}" for sound in sounds).encode()

    def __len__(self) -> int:
        return len(self._sounds)

    def label(self, index: int) -> int:
        return self._sounds[index].label

    def read(self, index: int) -> Sample:
        path, rate_hz = self._sounds[index].path, self._config.rate_hz
        events = joined(list(sound_events(read_sound(path, rate_hz), rate_hz, self._lead)))
        if not events.t_us.size:
            raise ValueError(f"{path}: holds no samples")
        end = np.array([self._lead + events.t_us.size + self._tail])
        return Sample(events, int(stamps_us(end, rate_hz)[0]))

    def about(self, index: int) -> dict[str, Any]:
        speaker = self._sounds[index].speaker
        return {} if speaker is None else {"speaker": speaker}

    def close(self) -> None:
        pass
