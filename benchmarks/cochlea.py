"""Speed of the cochlea on one thread: how many seconds of sound it hears in a second, live, in packets of 10 ms.

The sound is made here: a voice of 120 Hz and its harmonics, syllables of 250 ms, and noise between, at 48 kHz. `realtime_factor`:
seconds of sound by seconds of processor time, median of the rounds; `p50_ms`, `p99_ms`: wall-clock time for a packet of 10 ms
(sound is taken in blocks of 512 samples, so most packets end one). `spikes_s`: spikes a second. `equal`: the membrane moves as
the slow truth of tests/naive_cochlea.py has it to 1e-4 of its peak (exact), or by the gain of the model to 1 % (causal);
and the sound in one packet gives the same spikes.

python -m benchmarks.cochlea [--seconds S] [--json FILE]
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # read when the libraries below are imported

import statistics
import time
from typing import Literal

import numpy as np

from benchmarks.report import Row, arguments, publish
from operators.basilar_membrane import displacement
from operators.cochlea import BLOCK, Cochlea, CochleaConfig, filter_bank
from pipeline.packet import Format, Packet, same_events
from tests import naive_cochlea as naive
from tests.packets import glue, recut

RATE_HZ = 48_000.0
SOUND = Format("graded", (1,), rate_hz=RATE_HZ)
ROUNDS = 3
Mode = Literal["causal", "exact"]


def voice(seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    harmonics = sum(np.cos(2 * np.pi * 120 * k * t) / k for k in range(1, 60))
    syllables = np.maximum(0, np.sin(2 * np.pi * 2 * t)) ** 2
    noise = np.random.default_rng(0).standard_normal(t.size)
    sound = syllables * harmonics + 0.3 * np.roll(syllables, t.size // 7) * noise + 0.003 * noise
    return (0.1 * sound / np.sqrt(np.mean(sound**2))).astype(np.float32)


def episode(sound: np.ndarray) -> Packet:
    t_us = np.rint(np.arange(sound.size + 1) * 1e6 / RATE_HZ).astype(np.int64)
    return Packet(0, int(t_us[-1]), t_us[:-1], np.zeros(sound.size, np.uint32), sound)


def measure(channels: Literal[700, 140, 70], mode: Mode, whole: Packet) -> Row:
    make = CochleaConfig(channels=channels, mode=mode).prepare(SOUND)
    packets = recut(whole, [*range(10_000, whole.end_us, 10_000)])
    seconds, times_s, wall_ns, outputs = whole.end_us / 1e6, [], [], []
    for _ in range(ROUNDS + 1):  # the first warms up
        operator, outputs = make(None), []
        begin_s = time.process_time()
        for packet in packets:
            began_ns = time.perf_counter_ns()
            outputs.append(operator.process(packet))
            wall_ns.append(time.perf_counter_ns() - began_ns)
        times_s.append(time.process_time() - begin_s)
    wall_ms = np.array(wall_ns[len(packets) :]) / 1e6
    at_once, live = make(None).process(whole), glue(outputs)
    return {"channels": channels, "mode": mode, "realtime_factor": seconds / statistics.median(times_s[1:]),
            "p50_ms": float(np.median(wall_ms)), "p99_ms": float(np.quantile(wall_ms, 0.99)), "spikes_s": live.n / seconds,
            "equal": same_events(at_once, live) and is_true(channels, mode)}  # fmt: skip


def is_true(channels: Literal[700, 140, 70], mode: Mode) -> bool:
    """Of three channels, after the definition."""
    config = CochleaConfig(channels=channels, mode=mode, level="none")
    operator = config.prepare(SOUND)(None)
    assert isinstance(operator, Cochlea)
    ahead = filter_bank(RATE_HZ, channels, mode == "causal").ahead
    t = np.arange(0, 0.25, 1 / RATE_HZ)
    sound = np.concatenate((np.zeros(13_000), np.sin(2 * np.pi * 1000 * t) * np.hanning(t.size), np.zeros(13_000)))
    if mode == "causal":
        sound = np.sin(2 * np.pi * 1000 * np.arange(24_064) / RATE_HZ)
    blocks = np.concatenate((sound, np.zeros(ahead * BLOCK - sound.size % -BLOCK))).astype(np.float32).reshape(-1, BLOCK)
    motion = np.concatenate([operator.membrane(*block) for block in enumerate(blocks)])[ahead * BLOCK // 2 :]
    for channel in (channels // 2, channels * 4 // 7, channels * 3 // 5):
        place = channel * (700 // channels)
        if mode == "exact":
            truth = naive.membrane(sound, RATE_HZ, place)
            if np.abs(motion[: truth.size, channel] - truth).max() > 1e-4 * np.abs(truth).max():
                return False
        else:
            gain = np.abs(displacement(np.array([1001 - 1000 / 24_000]), np.array([place])))[0, 0]
            if abs(np.sqrt(2 * np.mean(motion[7200:9600, channel] ** 2)) / gain - 1) > 0.01:
                return False
    return True


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of the sound")
    options = parser.parse_args()
    whole = episode(voice(options.seconds))
    wanted: list[tuple[Literal[700, 140, 70], Mode]] = [
        (700, "causal"), (140, "causal"), (70, "causal"), (700, "exact"), (140, "exact")]  # fmt: skip
    rows = [measure(channels, mode, whole) for channels, mode in wanted]
    publish("cochlea: one thread, packets of 10 ms", rows, options.json)
    if not all(row["equal"] for row in rows):
        raise SystemExit("the cochlea differs from the plain truth")


if __name__ == "__main__":
    main()
