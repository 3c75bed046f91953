"""An independent writer of wav files: 16-bit PCM, as RIFF has it."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np


def write_wav(path: Path, sound: np.ndarray, rate_hz: int = 8000) -> None:
    """sound: (n,) or (n, channels), -1 to 1 (full scale is 32768)."""
    samples = np.clip(np.rint(np.asarray(sound) * 32768), -32768, 32767).astype("<i2")
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    data = samples.tobytes()
    about = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate_hz, rate_hz * channels * 2, channels * 2, 16)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<4sI4s", b"RIFF", 4 + len(about) + 8 + len(data), b"WAVE") + about
                     + struct.pack("<4sI", b"data", len(data)) + data)  # fmt: skip


def few_sounds(folder: Path) -> None:
    """flat: two classes by name; nested: two classes by folder. Of 30 to 40 ms."""
    for number, name in enumerate(("flat/0_ann_0.wav", "flat/0_ann_1.wav", "flat/1_bob_0.wav", "flat/10_bob_0.wav",
                                   "nested/one/a.wav", "nested/one/b.wav", "nested/two/c.wav")):  # fmt: skip
        rng = np.random.default_rng(number)
        write_wav(folder / name, rng.uniform(-0.5, 0.5, (240 + 10 * number, 2) if number == 1 else 240 + 10 * number))
