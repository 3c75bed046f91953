"""mel_spikes: sound goes in; a spike comes out when the loudness of a mel band has moved by so much, up or down."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from operators.automatic_gain import PEAK_LEVEL, gain_constants
from operators.sample_blocks import SampleBlocks, sound_rate_hz, stamp_us
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format, Packet

Gain = Callable[[np.ndarray, np.ndarray], np.ndarray]  # sound and the power so far, which moves on: sound of one level


class MelSpikesConfig(OperatorConfig):
    """The loudness of mel bands, sent by their changes: a light ear, to compare the cochlea with.

    Every hop the last `window_ms` of sound get a Hann window, and the power of their spectrum X is summed over each band:

        L = 10 log10(max(floor, sum_f weight(f) |X(f)|^2)),      0 dB being a sine of full scale

    level: agc brings the sound to one loudness first, as that of `cochlea` does: sound / sqrt(peak) * 0.45, peak following the
    power of the loudest 10 ms and forgotten by exp(-t / release_ms). The floor then lies so far below the loudest moments, and
    weak voices and far microphones give the spikes of near ones.

    The bands are triangles that overlap by half, evenly spread from low_hz to high_hz on the mel scale 2595 log10(1 + f / 700).
    A band sends floor(|L - s| / delta) spikes, up where L > s and down where L < s, and s moves as many deltas towards L; it
    begins at the floor. Spikes are stamped with the last sample of their window; hops are counted from sample 0.

    In: graded events of shape (1,), sampled, times in us; samples that are missing are 0.
    Out: spikes of shape (2, channels), down at index 0 and up at index 1; band 0 is the lowest.
    Errors: ValueError for anything but one channel of sampled sound, and for bands narrower than what the window can tell apart.

    Example: {type: mel_spikes, channels: 40, hop_ms: 5, delta_db: 3}

    Source: S. Davis, P. Mermelstein, Comparison of parametric representations (1980), the mel bands; M. Miskowicz, Send-on-delta
    concept (2006).
    """

    type: Literal["mel_spikes"] = "mel_spikes"
    channels: int = Field(40, ge=1, le=512, description="mel bands")
    window_ms: float = Field(25.0, gt=0, le=1000, description="how much sound is looked at, ms")
    hop_ms: float = Field(5.0, gt=0, le=1000, description="how often, ms")
    low_hz: float = Field(80.0, ge=0, description="where the lowest band begins, Hz")
    high_hz: float | None = Field(None, gt=0, description="where the highest band ends, Hz; none: 8000, or half the rate")
    delta_db: float = Field(3.0, gt=0, description="by how much a band must change, dB")
    floor_db: float = Field(-60.0, lt=0, description="loudness below which a band counts as silent, dB of full scale")

    level: Literal["none", "agc"] = Field("none", description="the sound as it comes, or brought to one loudness as it goes on")
    release_ms: float = Field(700.0, gt=0, description="agc: time constant by which a loud moment's power is forgotten, in ms")
    least_level: float = Field(0.005, gt=0, description="agc: sound of a lower root mean square is not raised further")

    @model_validator(mode="after")
    def _hops_within_windows(self) -> MelSpikesConfig:
        if self.hop_ms > self.window_ms:
            raise ValueError(f"hop_ms {self.hop_ms:g} leaves out sound between windows of {self.window_ms:g} ms")
        return self

    def check(self, upstream: Format) -> Format:
        self.bands(sound_rate_hz(upstream, "mel_spikes"))
        return dataclasses.replace(upstream, kind="spikes", shape=(2, self.channels), tick_us=None, rate_hz=None)

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        self.check(upstream)
        rate_hz = sound_rate_hz(upstream, "mel_spikes")
        bands, gain = self.bands(rate_hz), None
        if self.level == "agc":
            from operators.kernels.sound_level import follow_level

            constants = gain_constants(rate_hz, self.release_ms, self.least_level, PEAK_LEVEL)
            gain = partial(_levelled, follow_level, constants)
        return lambda state: MelSpikes(self, rate_hz, bands, gain, state)

    def bands(self, rate_hz: float) -> np.ndarray:
        """(window // 2 + 1, channels) float64: the weight of each frequency of the spectrum in each band."""
        n, high_hz = self.window(rate_hz), self.high_hz or min(8000.0, rate_hz / 2)
        if not self.low_hz < high_hz <= rate_hz / 2:
            raise ValueError(f"mel_spikes: bands from {self.low_hz:g} to {high_hz:g} Hz in sound of {rate_hz:g} samples/s: "
                             f"high_hz must lie above low_hz, up to {rate_hz / 2:g} Hz")
        edges = 700 * (10 ** (np.linspace(_mel(self.low_hz), _mel(high_hz), self.channels + 2) / 2595) - 1)
        f_hz = np.arange(n // 2 + 1)[:, None] * (rate_hz / n)
        low, middle, high = edges[:-2], edges[1:-1], edges[2:]
        weights = np.maximum(0, np.minimum((f_hz - low) / (middle - low), (high - f_hz) / (high - middle)))
        if not weights.any(axis=0).all():
            raise ValueError(f"mel_spikes: band {int(np.argmin(weights.any(axis=0)))} lies between two frequencies of a window "
                             f"of {self.window_ms:g} ms: take fewer channels or a longer window")
        return weights

    def window(self, rate_hz: float) -> int:
        return max(2, round(self.window_ms * rate_hz / 1000))

    def hop(self, rate_hz: float) -> int:
        return max(1, round(self.hop_ms * rate_hz / 1000))


class MelSpikes:
    """The operator. State: the open hop; `past`, the samples of the newest window; `power`, of the automatic gain; `sent_db`,
    (channels,) float64; `out_us`."""

    def __init__(self, config: MelSpikesConfig, rate_hz: float, bands: np.ndarray, gain: Gain | None,
                 state: State | None) -> None:
        n = config.window(rate_hz)
        self._blocks = SampleBlocks(rate_hz, config.hop(rate_hz), state)
        self._rate_hz, self._hop, self._bands, self._gain = rate_hz, config.hop(rate_hz), bands, gain
        self._delta_db, self._floor = config.delta_db, 10 ** (config.floor_db / 10)
        self._window = np.hanning(n + 1)[:n]
        self._scale = 4 / self._window.sum() ** 2
        self._units = np.arange(2 * config.channels, dtype=np.uint32)
        self._past = np.zeros(n) if state is None else state["past"].copy()
        self._power = np.zeros(2) if state is None else state["power"].copy()
        self._sent_db = np.full(config.channels, config.floor_db) if state is None else state["sent_db"].copy()
        self._out_us = 0 if state is None else int(state["out_us"])

    def process(self, packet: Packet) -> Packet:
        if self._blocks.start(packet.begin_us):
            self._out_us = packet.begin_us
        begin_us = self._out_us
        hops = [self._hear(number, sound) for number, sound in self._blocks.put(packet)]
        if not hops:
            return Packet(begin_us, begin_us)
        self._out_us = stamp_us(self._blocks.block * self._hop, self._rate_hz)
        t_us, unit = (np.concatenate(columns) for columns in zip(*hops, strict=True))
        return Packet(begin_us, self._out_us, t_us, unit)

    def finish(self) -> Packet:
        return Packet(self._out_us, max(self._out_us, self._blocks.end_us))

    def snapshot(self) -> State:
        own = {"past": self._past, "power": self._power, "sent_db": self._sent_db, "out_us": np.array(self._out_us, np.int64)}
        return {**self._blocks.snapshot(), **{key: array.copy() for key, array in own.items()}}

    def _hear(self, number: int, sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The spikes of one hop: t_us and unit."""
        if self._gain is not None:
            sound = self._gain(sound, self._power)
        self._past = np.concatenate((self._past[len(sound) :], sound))
        power = np.abs(np.fft.rfft(self._past * self._window)) ** 2 * self._scale
        total = (power[:, None] * self._bands).sum(axis=0)  # in the same order everywhere, which a product of matrices is not
        change = 10 * np.log10(np.maximum(self._floor, total)) - self._sent_db
        steps = np.trunc(change / self._delta_db)
        self._sent_db += steps * self._delta_db
        unit = self._units.repeat(np.concatenate((np.maximum(0, -steps), np.maximum(0, steps))).astype(np.int64))
        return np.full(unit.size, stamp_us((number + 1) * self._hop - 1, self._rate_hz), np.int64), unit


def _levelled(follow_level: Callable[..., None], constants: tuple[float, ...], sound: np.ndarray,
              power: np.ndarray) -> np.ndarray:
    out = np.empty(len(sound), np.float32)
    follow_level(sound, power, *constants, out)
    return out


def _mel(f_hz: float) -> float:
    return float(2595 * np.log10(1 + f_hz / 700))
