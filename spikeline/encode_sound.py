"""A folder of labelled sounds in, a data set of their spikes in the layout of SHD out: `spikeline encode-sound`, for programs."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from shutil import rmtree
from typing import Any, Literal, NamedTuple
from zlib import crc32

import numpy as np

from operators.cochlea import CochleaConfig
from operators.mel_spikes import MelSpikesConfig
from pipeline.contract import Operator
from pipeline.packet import Format, Packet
from sources.sound_files import list_sounds, read_sound, stamps_us
from spikeline.sound_variants import Variation, background, drawn_factor, varied

TimeType = Literal["float16", "float32", "float64"]
Ear = CochleaConfig | MelSpikesConfig
SILENCE = "silence"  # the class of sounds in which nobody speaks
BATCH = 8  # sounds that a worker takes at a time, and whose spikes become one file of the unfinished set
EXACT_TO_S = {"float16": np.inf, "float32": 4.0, "float64": np.inf}  # up to which time microseconds are told apart, or never


class Encoded(NamedTuple):
    """The spikes of one sound: t_us (n,) int64, unit (n,) uint32, and the sound's length in us."""

    t_us: np.ndarray
    unit: np.ndarray
    length_us: int


class Job(NamedTuple):
    """One sample of the set. path None: a background in which nobody speaks. variant: its number, 0 as recorded."""

    name: str
    path: Path | None
    label: int
    speaker: str
    variant: int


def encode_sounds(
    folder: Path,
    target: Path,
    ear: Ear,
    *,
    rate_hz: float = 48_000.0,
    files: tuple[str, ...] = ("*",),
    exclude: tuple[str, ...] = (),
    times: TimeType = "float32",
    variants: int = 0,
    variation: Variation | None = None,
    silence: int = 0,
    workers: int | None = None,
    force: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Any]:
    """Write the spikes of all sounds of `folder` to `target`; the figures of what was done.

    The order is that of the source sound_dataset. Each sound has random numbers of its own, drawn from the seed and its name, so
    neither their number nor that of `workers` (None: one a core) changes them. What is done so far lies beside the target, in a
    folder of that name and `.parts`; the same call goes on from there. The target appears whole or not at all.

    variants: so many variants of each sound follow it, changed at random as `variation` says; in extra/files they are called
    NAME#1 and so on. silence: so many samples of background noise, called silence_0 and so on, make a class of their own.
    times: the type of spikes/times, in s. float16 is that of the released files, and loses up to 0.5 ms. The others are rounded
    up by less than 0.5 us, so that both rounding and truncating give the whole microsecond.
    """
    if target.is_dir():
        raise ValueError(f"{target}: is a folder, wanted a file")
    if target.exists() and not force:
        raise ValueError(f"{target}: exists already: choose another file, or replace it with --force")
    names, jobs = _jobs(folder, files, exclude, variants, silence)
    shape = ear.check(Format("graded", (1,), rate_hz=rate_hz)).shape
    variation = variation or Variation()
    settings: dict[str, Any] = {ear.type: ear.model_dump(mode="json"), "rate_hz": rate_hz}
    if variants:
        settings["variation"] = variation.model_dump(mode="json")
    batches = [jobs[first : first + BATCH] for first in range(0, len(jobs), BATCH)]
    sizes = [[job.name, job.path.stat().st_size if job.path else 0] for job in jobs]
    parts = _Parts(target, {**settings, "sounds": sizes})
    missing = [number for number in range(len(batches)) if not parts.has(number)]
    resumed = len(jobs) - sum(len(batches[number]) for number in missing)
    worker = _Worker(ear, rate_hz, variation)
    _encode(missing, batches, parts, worker, workers, lambda done: on_progress(resumed + done, len(jobs)))
    encoded = [one for number in range(len(batches)) for one in parts.read(number)]
    _write(target, names, jobs, encoded, shape, times, settings)
    parts.remove()
    return {"sounds": len(jobs), "resumed": resumed, "classes": len(names), "spikes": sum(one.t_us.size for one in encoded),
            "seconds": sum(one.length_us for one in encoded) / 1e6, "bytes": target.stat().st_size}  # fmt: skip


def _jobs(folder: Path, files: tuple[str, ...], exclude: tuple[str, ...], variants: int,
          silence: int) -> tuple[tuple[str, ...], list[Job]]:
    """The class names, and all samples in order: each sound with its variants behind it, then the backgrounds."""
    names, sounds = list_sounds(folder, files, exclude)
    jobs = [Job(sound.path.name + (f"#{variant}" if variant else ""), sound.path, sound.label, sound.speaker or "", variant)
            for sound in sounds for variant in range(variants + 1)]  # fmt: skip
    if silence and SILENCE in names:
        raise ValueError(f"{folder}: has sounds of class {SILENCE!r}: make none (silence 0), or call that class otherwise")
    jobs += [Job(f"{SILENCE}_{number}", None, len(names), "", 0) for number in range(silence)]
    return (*names, SILENCE) if silence else names, jobs


def encode_sound(path: Path, ear: Callable[[int], Operator], seed: int, rate_hz: float) -> Encoded:
    """The spikes of one file. ear(seed) makes a new operator."""
    return _heard(_read(path, rate_hz), path.name, ear, seed, rate_hz)


def _read(path: Path, rate_hz: float) -> np.ndarray:
    sound = np.concatenate(list(read_sound(path, rate_hz)))
    if not sound.size:
        raise ValueError(f"{path}: holds no samples")
    return sound


def _heard(sound: np.ndarray, name: str, ear: Callable[[int], Operator], seed: int, rate_hz: float) -> Encoded:
    """The spikes of a sound (n,) float32; `name` and `seed` give its random numbers."""
    stamps = stamps_us(np.arange(sound.size + 1), rate_hz)
    end_us = int(stamps[-1])
    operator = ear(crc32(f"{seed}/{name}".encode()))
    packet = Packet(0, end_us, stamps[:-1], np.zeros(sound.size, np.uint32), sound.astype(np.float32, copy=False), last=True)
    outputs = operator.process(packet), operator.finish()
    t_us, unit = (np.concatenate([getattr(out, column) for out in outputs]) for column in ("t_us", "unit"))
    return Encoded(t_us, unit, end_us)


class _Parts:
    """The unfinished set: a folder of one file a batch, and what they were made from, which must be the same to go on."""

    def __init__(self, target: Path, made_from: dict[str, Any]) -> None:
        self._folder = target.with_name(f"{target.name}.parts")
        text = json.dumps(made_from, sort_keys=True)
        about = self._folder / "made_from.json"
        if self._folder.exists() and not (about.exists() and about.read_text() == text):
            rmtree(self._folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        _put(about, text.encode())

    def path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.npz"

    def has(self, number: int) -> bool:
        return self.path(number).exists()

    def read(self, number: int) -> Iterator[Encoded]:
        with np.load(self.path(number), allow_pickle=False) as part:
            ends = np.cumsum(part["n"])
            columns = [np.split(part[column], ends[:-1]) for column in ("t_us", "unit")]
            for t_us, unit, length_us in zip(*columns, part["length_us"].tolist(), strict=True):
                yield Encoded(t_us, unit, length_us)

    def remove(self) -> None:
        rmtree(self._folder)


def _encode(
    missing: list[int], batches: list[list[Job]], parts: _Parts, worker: _Worker, workers: int | None,
    on_progress: Callable[[int], None],
) -> None:  # fmt: skip
    done = 0
    on_progress(done)
    workers = min(workers or os.cpu_count() or 1, len(missing))
    for number in _finished(missing, batches, parts, worker, workers):
        done += len(batches[number])
        on_progress(done)


def _finished(
    missing: list[int], batches: list[list[Job]], parts: _Parts, worker: _Worker, workers: int
) -> Iterator[int]:
    """Encodes; the numbers of the batches as they are done."""
    work = {number: (batches[number], parts.path(number)) for number in missing}
    if workers <= 1:
        for number, (jobs, part) in work.items():
            worker.encode(jobs, part)
            yield number
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker)
    try:
        running = {pool.submit(worker.encode, jobs, part): number for number, (jobs, part) in work.items()}
        for done in as_completed(running):
            done.result()
            yield running[done]
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


class _Worker(NamedTuple):
    """What a process needs to encode. The filters are computed once in each."""

    ear: Ear
    rate_hz: float
    variation: Variation

    def make(self, seed: int) -> Operator:
        seeded = self.ear.model_copy(update={"seed": seed}) if isinstance(self.ear, CochleaConfig) else self.ear
        return seeded.prepare(Format("graded", (1,), rate_hz=self.rate_hz))(None)

    @property
    def seed(self) -> int:
        return self.ear.seed if isinstance(self.ear, CochleaConfig) else 0

    def one(self, job: Job) -> Encoded:
        rng = np.random.default_rng([job.variant, crc32(job.name.encode())])
        sound = background(self.rate_hz, rng) if job.path is None else _read(job.path, self.rate_hz)
        if not job.variant:
            return _heard(sound, job.name, self.make, self.seed, self.rate_hz)
        sound, slower = varied(sound, self.rate_hz, self.variation, rng), drawn_factor(self.variation.tempo, rng)
        found = _heard(sound, job.name, self.make, self.seed, self.rate_hz)
        return Encoded(np.rint(found.t_us * slower).astype(np.int64), found.unit, int(np.ceil(found.length_us * slower)) + 1)

    def encode(self, jobs: list[Job], part: Path) -> None:
        encoded = [self.one(job) for job in jobs]
        unfinished = part.with_suffix(f".{os.getpid()}.npz")
        t_us, unit, length_us = zip(*encoded, strict=True)
        n = np.array([times.size for times in t_us])
        np.savez(unfinished, t_us=np.concatenate(t_us), unit=np.concatenate(unit), n=n, length_us=np.array(length_us))
        os.replace(unfinished, part)


def _write(
    target: Path, names: tuple[str, ...], jobs: list[Job], encoded: list[Encoded], shape: tuple[int, ...], times: TimeType,
    settings: dict[str, Any],
) -> None:  # fmt: skip
    import h5py

    latest_s = max((int(one.t_us[-1]) for one in encoded if one.t_us.size), default=0) / 1e6
    if latest_s >= EXACT_TO_S[times]:
        raise ValueError(f"{target}: a spike at {latest_s:g} s; {times} tells microseconds apart up to {EXACT_TO_S[times]:g} s: "
                         "take --times float64")  # fmt: skip
    speakers = sorted({job.speaker for job in jobs})
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with h5py.File(unfinished, "w") as file:
            file.attrs["channels"] = int(np.prod(shape))
            if len(shape) > 1:
                file.attrs["shape"] = shape
            file.attrs["made_with"] = json.dumps(settings, sort_keys=True)
            n = len(jobs)
            rows_t = file.create_dataset("spikes/times", (n,), h5py.vlen_dtype(np.dtype(times)))
            rows_unit = file.create_dataset("spikes/units", (n,), h5py.vlen_dtype(np.uint16))
            for i, one in enumerate(encoded):
                rows_t[i], rows_unit[i] = seconds(one.t_us, times), one.unit.astype(np.uint16)
            file["labels"] = np.array([job.label for job in jobs], np.int64)
            file["extra/keys"] = np.array([name.encode() for name in names])
            file["extra/speaker"] = np.array([speakers.index(job.speaker) for job in jobs], np.int64)
            file["extra/speakers"] = np.array([speaker.encode() for speaker in speakers])
            file["extra/files"] = np.array([job.name.encode() for job in jobs])
            file["extra/length_us"] = np.array([one.length_us for one in encoded], np.int64)
        os.replace(unfinished, target)
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()


def seconds(t_us: np.ndarray, times: TimeType) -> np.ndarray:
    """Times (n,) int64 us as seconds; of float32 and float64 the least value that is not below the microsecond."""
    out = (t_us / 1e6).astype(times)
    if times == "float16":
        return out
    below = out.astype(np.float64) * 1e6 < t_us
    out[below] = np.nextafter(out[below], out.dtype.type(np.inf))
    return out


def _put(path: Path, content: bytes) -> None:
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)
