"""Sound files: a path goes in, its samples come out, one channel at the rate that is asked for, in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BeforeValidator, Field

from sources.cut import Events
from sources.dvs_dataset import natural

SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64", ".caf"}
CHUNK = 1 << 16  # samples, as recorded, that are read at a time
GREATEST_HZ = 1e6 / 2  # two samples never share a microsecond


Patterns = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]


class LabelledSound(NamedTuple):
    """One file of a data set, the place of its class in the names, and who speaks: the name's second part, if it has three."""

    path: Path
    label: int
    speaker: str | None


def recorded_rate_hz(path: Path) -> float:
    """The sampling rate of a file; ValueError if it is none that can be read, or holds nothing."""
    with _opened(path) as file:
        if not file.frames:
            raise ValueError(f"{path}: holds no samples")
        if file.samplerate > GREATEST_HZ:
            raise ValueError(f"{path}: {file.samplerate} samples/s, at most {GREATEST_HZ:g} can be stamped apart")
        return float(file.samplerate)


def read_sound(path: Path, rate_hz: float | None = None) -> Iterator[np.ndarray]:
    """Chunks (n,) float32 of the mean of all channels, full scale being 1, resampled to rate_hz (None: as recorded).

    Resampling is that of the SoX Resampler at its high quality, with no delay. Source: soxr (R. Sykes).
    """
    with _opened(path) as file:
        resample = _resampler(path, float(file.samplerate), rate_hz)
        at = 0
        while True:
            block = file.read(CHUNK, dtype="float32", always_2d=True)
            sound = block[:, 0].copy() if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
            if not np.isfinite(sound).all():
                raise ValueError(f"{path}: sample {at + int(np.argmin(np.isfinite(sound)))} is not a number")
            at += len(sound)
            last = len(sound) < CHUNK
            yield sound if resample is None else resample.resample_chunk(sound, last=last)
            if last:
                return


def sound_events(chunks: Iterator[np.ndarray], rate_hz: float, first: int = 0) -> Iterator[Events]:
    """Sample i as an event of unit 0 at round(i 1e6 / rate_hz) us, `first` being the number of the first sample."""
    for sound in chunks:
        t_us = stamps_us(np.arange(first, first + len(sound)), rate_hz)
        first += len(sound)
        yield Events(t_us, np.zeros(len(sound), np.uint32), sound.astype(np.float32, copy=False))


def stamps_us(samples: np.ndarray, rate_hz: float) -> np.ndarray:
    return np.rint(samples * 1e6 / rate_hz).astype(np.int64)


def list_sounds(
    folder: Path, files: tuple[str, ...] = ("*",), exclude: tuple[str, ...] = (), classes: tuple[str, ...] | None = None
) -> tuple[tuple[str, ...], list[LabelledSound]]:
    """The class names, sorted (numbers as numbers) or as `classes` has them, and all sounds in order of class and name.

    A flat folder: a file's class is its name up to the first `_`. A folder of folders: these are the classes.
    files, exclude: patterns of file names that are taken, and of those that are not.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    found = [(path.name.split("_")[0], path) for path in _sounds_in(folder)]
    if not found:
        inner = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        found = [(within.name, path) for within in inner for path in _sounds_in(within)]
    wanted = [(name, path) for name, path in found if matches(path.name, files) and not matches(path.name, exclude)]
    if not wanted:
        what = "holds no sound files" if not found else f"none of its {len(found)} sound files is asked for"
        raise ValueError(f"{folder}: {what} (files: {', '.join(files)}; exclude: {', '.join(exclude) or 'none'})")
    # Of all files, not of those asked for: parts of a data set number their classes alike.
    names = tuple(sorted({name for name, _ in found}, key=natural)) if classes is None else classes
    unknown = [name for name in names if name not in {name for name, _ in found}]
    if unknown:
        raise ValueError(f"{folder}: no sounds of class {unknown[0]!r}; there are {', '.join(sorted({n for n, _ in found}))}")
    sounds = [LabelledSound(path, names.index(name), _speaker(path)) for name, path in wanted if name in names]
    if not sounds:
        raise ValueError(f"{folder}: no sound of the classes {', '.join(names)} is asked for")
    return names, sorted(sounds, key=lambda sound: (sound.label, natural(sound.path.name)))


def _sounds_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()]  # fmt: skip


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _speaker(path: Path) -> str | None:
    parts = path.stem.split("_")
    return parts[1] if len(parts) > 2 else None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The opened file; whatever libsndfile finds wrong with it is one line."""
    if not path.is_file():
        raise ValueError(f"{path}: {'is a folder, wanted a sound file' if path.is_dir() else 'no such file'}")
    try:
        import soundfile
    except ImportError:
        raise ValueError(f"{path}: sound files need the package soundfile: pip install 'spikeline[audio]'") from None
    except OSError as error:
        raise ValueError(f"{path}: soundfile lacks its library libsndfile ({' '.join(str(error).split())})") from None
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except soundfile.SoundFileError as error:
        raise ValueError(f"{path}: not a sound file, or damaged ({' '.join(str(error).split())})") from None


def _resampler(path: Path, from_hz: float, to_hz: float | None) -> Any:
    if to_hz is None or to_hz == from_hz:
        return None
    try:
        import soxr
    except ImportError:
        raise ValueError(f"{path}: {from_hz:g} samples/s become {to_hz:g} by the package soxr: "
                         "pip install 'spikeline[audio]'") from None  # fmt: skip
    return soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
