"""Independent writers of data sets of labelled samples: SHD's HDF5 layout and idx files."""

from __future__ import annotations

import gzip
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.writers_aedat import aedat3


def write_shd(
    path: Path, times_s: Sequence[Sequence[float]], units: Sequence[Sequence[int]], labels: Sequence[int],
    keys: Sequence[str] = (), speakers: Sequence[int] = (), dtype: str = "f2",
) -> None:  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        rows = file.create_dataset("spikes/times", (len(times_s),), h5py.vlen_dtype(np.dtype(dtype)))
        addresses = file.create_dataset("spikes/units", (len(units),), h5py.vlen_dtype(np.dtype("u2")))
        for i, (t, unit) in enumerate(zip(times_s, units, strict=True)):
            rows[i], addresses[i] = np.array(t, dtype), np.array(unit, "u2")
        file["labels"] = np.array(labels, "u2")
        if keys:
            file["extra/keys"] = np.array([key.encode() for key in keys])
        if speakers:
            file["extra/speaker"] = np.array(speakers, "u2")


def idx(values: np.ndarray, packed: bool = False) -> bytes:
    content = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.astype(np.uint8).tobytes()
    return gzip.compress(content, mtime=0) if packed else content


def few_utterances(folder: Path) -> None:
    """Four of SHD's, of 40 spikes each, in the folder that tonic looks into too."""
    rng = np.random.default_rng(5)
    times = [np.sort(rng.uniform(0, 0.05, 40)) for _ in range(4)]
    units = [rng.integers(0, 700, 40) for _ in range(4)]
    keys = [f"word {number}" for number in range(20)]
    path = folder / "SHD/shd_test.h5"
    write_shd(path, [t.tolist() for t in times], [u.tolist() for u in units], (3, 17, 3, 0), keys, (4, 5, 5, 1))
    with zipfile.ZipFile(path.with_suffix(".h5.zip"), "w"):
        pass


def few_images(folder: Path) -> None:
    images = np.random.default_rng(6).integers(0, 256, (5, 4, 6))
    (folder / "few-images-idx3-ubyte.gz").write_bytes(idx(images, packed=True))
    (folder / "few-labels-idx1-ubyte.gz").write_bytes(idx(np.array([2, 0, 1, 2, 1]), packed=True))


def write_video(path: Path, frames: np.ndarray, frame_hz: float = 25.0) -> None:
    """frames (n, height, width) u8, grey, as a JPEG each."""
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV: pip install 'spikeline[video]'")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), frame_hz, frames.shape[:0:-1])
    for frame in frames:
        writer.write(np.repeat(frame[:, :, None], 3, axis=2))
    writer.release()


def few_frames(folder: Path) -> None:
    """A bright bar on the way to the right, by JPEG's blocks, so that it keeps its edges."""
    frames = np.full((6, 24, 48), 60, np.uint8)
    for number, frame in enumerate(frames):
        frame[:, 8 * number : 8 * number + 8] = 220
    write_video(folder / "few.avi", frames)


def write_gestures(
    folder: Path, name: str, events: Sequence[tuple[int, int, int, int]], lines: Sequence[tuple[int, int, int]],
) -> None:  # fmt: skip
    """A recording of DVS128 Gesture and its table: events (us, x, y, polarity), lines (class, begin us, end us)."""
    (folder / f"{name}.aedat").write_bytes(aedat3(events))
    table = "".join(f"{number},{begin},{end}\n" for number, begin, end in lines)
    (folder / f"{name}_labels.csv").write_text("class,startTime_usec,endTime_usec\n" + table)


def few_gestures(folder: Path) -> None:
    """Two recordings of three and two gestures, listed the other way round."""
    rng = np.random.default_rng(8)
    for name, begin in (("user01_led", 50_000), ("user10_lab", 9_000)):
        t_us = np.sort(rng.integers(begin, begin + 30_000, 90)).tolist()
        places = rng.integers(0, 128, (90, 2)).tolist()
        events = [(t, x, y, int(p)) for t, (x, y), p in zip(t_us, places, rng.integers(0, 2, 90), strict=True)]
        lines = [(1, begin + 500, begin + 7000), (3, begin + 9000, begin + 14_000), (2, begin + 15_000, begin + 40_000)]
        write_gestures(folder, name, events, lines[: 3 if name == "user01_led" else 2])
    (folder / "trials_to_train.txt").write_text("user10_lab.aedat\nuser01_led.aedat\n\n")
