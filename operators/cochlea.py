"""cochlea: one channel of sound goes in; the spikes that bushy cells of the auditory brainstem make of it come out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from operators.automatic_gain import PEAK_LEVEL, gain_constants
from operators.basilar_membrane import BLOCK, CHANNELS, FilterBank, filter_bank
from operators.sample_blocks import SampleBlocks, first_sample, sound_rate_hz, stamp_us
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import NO_TIMES, NO_UNITS, Format, Packet

HALF = BLOCK // 2  # output samples of a block: the membrane is given out at half the rate
FIBRES = 40  # of each of 700 channels
REFRACTORY_S = 1e-3  # of fibres and of bushy cells
FILE_LEVEL = 0.3  # root mean square that an episode is brought to


class CochleaConfig(OperatorConfig):
    """The inner ear that made the Spiking Heidelberg Digits: basilar membrane, hair cells, auditory nerve and bushy cells.

    The membrane moves at 700 places, unit 0 at the base (22 kHz), 300 at 2.2 kHz, 500 at 0.5 kHz, 699 at 0.1 kHz; with fewer
    `channels` every 5th (140) or 10th (70) of them is there, with as many times the fibres. mode:

        exact    the original's phase: its filters reach into the future, 99.9 % of their energy 80 ms and the last 1e-4 of
                 their amplitude 240 ms, and by these spikes come out later
        causal   their mirror in time (the conjugate of the transfer function): equal gains, nothing of the future, for live use

    Spikes come out in blocks of 512 samples. The membrane's motion s is taken at half the sound's rate, dt apart, by hair cells:

        k = 2000 dt max(0, (s + 5) / (s + 305))         q' = q + 5.05 dt (1 - q) - k q + 66.3 dt w
        c' = c + k q - 9080 dt c                         w' = w + 6580 dt c - 66.3 dt w

    Each of a channel's 40 fibres fires with 50000 dt c' unless it did within the last 1 ms. A bushy cell has
    i' = i e^(-dt / 0.5 ms) + fibres and v' = v e^(-dt / 1 ms) + dt 13000 / 40 i'; at v' >= 1 it fires, and v is held at 0 for
    1 ms. How many fibres fire is drawn from the binomial distribution of those that can; its random number is a hash of
    (seed, sample, unit).

    Its equations have a scale, so the sound must be brought to it. level:

        agc    sound / sqrt(peak) * loudness, peak following the loudest 10 ms and forgotten by exp(-t / release_ms); for live use
        file   the whole episode to a root mean square of `loudness`, the original's way: nothing comes out before its end
        none   as it comes, times `loudness`

    Two options leave the original for what tells one spoken word from another (docs/hearing.md); neither costs time. With
    `emphasis_hz` low tones come softer to the membrane, by a first-order high-pass as the outer and middle ear are: the loud
    first formant then hides less of what lies above it. With `inhibition` each place loses what its neighbours move, so many of
    the 700 places to either side, which sharpens its broad tuning: s'(c) = 2 s(c) - s(c - n) - s(c + n), brought to the
    greatest gain of s(c).

    In: graded events of shape (1,), 22.05 to 96 kHz (the original had 48), times in us; samples that are missing are 0.
    Out: spikes of shape (channels,), stamped with the sample that made them, at half the rate.
    Errors: ValueError for anything but one channel of sampled sound, and for another rate.

    Example: {type: cochlea, mode: causal, channels: 700, seed: 1}

    Source: B. Cramer et al., The Heidelberg spiking data sets (2022), section II; R. Meddis, Simulation of mechanical to neural
    transduction in the auditory receptor (1986), and Simulation of auditory-neural transduction: further studies (1988);
    J. Rothman, E. Young, P. Manis, Convergence of auditory nerve fibers onto bushy cells (1993).
    """

    type: Literal["cochlea"] = "cochlea"
    mode: Literal["exact", "causal"] = Field("causal", description="the original's phase, 240 ms later; or no look-ahead at all")
    channels: Literal[700, 140, 70] = Field(700, description="places along the membrane")
    level: Literal["agc", "file", "none"] = Field("agc", description="how the sound is brought to the scale of the equations")
    loudness: float | None = Field(
        None, gt=0, description="level to bring it to, or a factor; none: 0.3 (file), 0.45 (agc), 1 (none)"
    )
    release_ms: float = Field(700.0, gt=0, description="agc: time constant by which a loud moment's power is forgotten, in ms")
    least_level: float = Field(0.005, gt=0, description="agc: sound of a lower root mean square is not raised further")
    window: Literal["none", "ramp", "hann"] = Field(
        "none", description="level: file only: fade the episode in and out, over 30 ms (ramp) or all of it (hann, the original's)"
    )
    emphasis_hz: float | None = Field(
        None, gt=0, le=8000, description="corner of a high-pass before the membrane, in Hz; none: as it comes"
    )
    inhibition: int = Field(0, ge=0, le=100, description="places from which each is inhibited, to either side; 0: none")
    seed: int = Field(0, ge=0, lt=2**32, description="of the fibres' random numbers")

    @model_validator(mode="after")
    def _windows_a_whole_episode(self) -> CochleaConfig:
        if self.window != "none" and self.level != "file":
            raise ValueError(f"window: {self.window} needs level: file, as the end of the episode must be known")
        return self

    def check(self, upstream: Format) -> Format:
        sound_rate_hz(upstream, "cochlea", 22050, 96000)
        return dataclasses.replace(upstream, kind="spikes", shape=(self.channels,), tick_us=None, rate_hz=None)

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        self.check(upstream)
        law = Law(self, sound_rate_hz(upstream, "cochlea"))
        return lambda state: Cochlea(law, state)


class Law:
    """What all operators of one config share. Nothing of it ever changes."""

    def __init__(self, config: CochleaConfig, rate_hz: float) -> None:
        from operators.kernels.cochlea import filter_block, hear
        from operators.kernels.sound_level import follow_level

        self.filter_block, self.hear, self.follow_level = filter_block, hear, follow_level
        self.config, self.rate_hz, self.channels, self.seed = config, rate_hz, config.channels, config.seed
        causal = config.mode == "causal"
        self.bank: FilterBank = filter_bank(rate_hz, config.channels, causal, config.emphasis_hz, config.inhibition)
        self.fibres = FIBRES * CHANNELS // config.channels
        self.rest = round(REFRACTORY_S * rate_hz / 2)  # samples for which a bushy cell is held at 0
        self.ring = math.ceil(round(REFRACTORY_S * rate_hz / 2, 6))  # the first sample after it fired at which a fibre can again
        self.constants = constants(2 / rate_hz, self.fibres)
        self.loudness = config.loudness or {"file": FILE_LEVEL, "agc": PEAK_LEVEL, "none": 1.0}[config.level]
        self.agc = gain_constants(rate_hz, config.release_ms, config.least_level, self.loudness)


def constants(dt_s: float, fibres: int) -> np.ndarray:
    """(13,) float32, in the order that the kernel names."""
    return np.array([5.05 * dt_s, 66.3 * dt_s, (2500 + 6580) * dt_s, 6580 * dt_s, 50000 * dt_s, 2000 * dt_s, 5, 305, 1,
                     13000 / fibres * dt_s, math.exp(-dt_s / 0.5e-3), math.exp(-dt_s / 1e-3), 2.0**-24], np.float32)  # fmt: skip


def resting() -> tuple[float, float, float]:
    """q, c and w of a hair cell in silence: k q = (l + r) c, y (1 - q) = l c, r c = x w."""
    y, g, l, r, x = 5.05, 2000.0, 2500.0, 6580.0, 66.3  # noqa: E741 - the model's names
    k = g * 5 / (5 + 300)
    c = y * k / (l * k + y * (l + r))
    return c * (l + r) / k, c, c * r / x


class Cochlea:
    """The ear at work on one episode.

    State: the open block of sound; `before`, the block before it; `past_re`, `past_im`, the spectra of the newest blocks; `cell`,
    `count`, as the kernel has them; `power`, of the automatic gain; `held`, the episode so far (level: file); `out_us`.
    """

    def __init__(self, law: Law, state: State | None) -> None:
        self._law = law
        self._blocks = SampleBlocks(law.rate_hz, BLOCK, state)
        self._held: list[np.ndarray] = []
        self._out_us = 0
        self._kept = _fresh(law) if state is None else {key: state[key].copy() for key in _fresh(law)}
        if state is not None:
            self._held, self._out_us = [state["held"].copy()], int(state["out_us"])
        channels = law.channels
        self._total, self._spectra = np.empty((2, BLOCK + 1), np.float32), np.empty((channels, BLOCK + 2), np.float32)
        self._scratch = np.empty((3, channels), np.float32), np.empty((4, channels)), np.empty(channels, np.uint8)
        room = channels * (HALF // (law.rest + 1) + 1)
        self._out_t_us, self._out_unit = np.empty(room, np.int64), np.empty(room, np.uint32)

    def process(self, packet: Packet) -> Packet:
        if self._blocks.start(packet.begin_us):
            self._out_us = packet.begin_us
        if self._law.config.level == "file":
            self._held += [sound for _, sound in self._blocks.put(packet)]
            return Packet(self._out_us, self._out_us)
        return self._given([self._block(number, sound) for number, sound in self._blocks.put(packet)])

    def finish(self) -> Packet:
        blocks = self._blocks
        law, end_us = self._law, blocks.end_us
        begin = blocks.block - sum(map(len, self._held)) // BLOCK
        last = -(-first_sample(end_us, law.rate_hz) // 2)  # the output sample that the episode does not reach any more
        tail = [blocks.close()[1]]
        while (blocks.block - law.bank.ahead) * HALF < last:
            tail.append(blocks.close()[1])
        sounds = np.concatenate([*self._held, *tail]).reshape(-1, BLOCK)
        if law.config.level == "file":
            sounds = self._normalised(sounds, begin)
        parts = [self._block(number, sound, last) for number, sound in enumerate(sounds, begin)]
        self._out_us, begin_us = max(end_us, self._out_us), self._out_us
        return self._packet(begin_us, parts)

    def snapshot(self) -> State:
        held = np.concatenate([np.empty(0, np.float32), *self._held])
        own = {key: array.copy() for key, array in self._kept.items()}
        return {**own, **self._blocks.snapshot(), "held": held, "out_us": np.array(self._out_us, np.int64)}

    def membrane(self, number: int, sound: np.ndarray) -> np.ndarray:
        """The motion (HALF, channels) float32 that block `number` of the sound completes: that of block `number` - ahead."""
        self._take(number, sound)
        return self._motion(number)

    def _take(self, number: int, sound: np.ndarray) -> None:
        kept, place = self._kept, number % self._law.bank.depth
        spectrum = np.fft.rfft(np.concatenate((kept["before"], sound)))
        kept["before"], kept["past_re"][place], kept["past_im"][place] = sound, spectrum.real, spectrum.imag

    def _motion(self, number: int) -> np.ndarray:
        law, kept, bank = self._law, self._kept, self._law.bank
        law.filter_block(bank.re, bank.im, bank.first, bank.delay, kept["past_re"], kept["past_im"], number % bank.depth,
                         np.float32(0.5), self._total, self._spectra)  # fmt: skip
        return np.ascontiguousarray(np.fft.irfft(self._spectra.view(np.complex64), BLOCK, axis=1)[:, HALF:].T)

    def _block(self, number: int, sound: np.ndarray, last: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The spikes that a block completes: of output samples from the episode's begin on, and before `last`."""
        law = self._law
        self._take(number, self._scaled(sound))
        begin = (number - law.bank.ahead) * HALF
        first = max(0, -(-self._blocks.first // 2) - begin)
        past = HALF if last is None else min(HALF, last - begin)
        if first >= past:
            return NO_TIMES, NO_UNITS
        n = law.hear(self._motion(number)[:past], first, begin + first, law.seed, law.rate_hz, self._kept["cell"],
                     self._kept["count"], law.fibres, law.rest, law.constants, *self._scratch, self._out_t_us, self._out_unit)
        return self._out_t_us[:n].copy(), self._out_unit[:n].copy()

    def _scaled(self, sound: np.ndarray) -> np.ndarray:
        law = self._law
        if law.config.level != "agc":
            return sound * np.float32(law.loudness) if law.config.level == "none" else sound
        out = np.empty(BLOCK, np.float32)
        law.follow_level(sound, self._kept["power"], *law.agc, out)
        return out

    def _normalised(self, sounds: np.ndarray, begin: int) -> np.ndarray:
        """The episode's sound at its loudness, and faded."""
        law, first = self._law, self._blocks.first
        at = slice(first - begin * BLOCK, first_sample(self._blocks.end_us, law.rate_hz) - begin * BLOCK)
        flat = sounds.astype(np.float64).ravel()
        episode = flat[at]
        rms = math.sqrt(np.mean(episode**2)) if episode.size else 0.0
        flat[at] = episode * (law.loudness / rms if rms else 1.0) * _window(law.config.window, episode.size, law.rate_hz)
        return flat.astype(np.float32).reshape(sounds.shape)

    def _given(self, parts: list[tuple[np.ndarray, np.ndarray]]) -> Packet:
        begin_us, done = self._out_us, (self._blocks.block - self._law.bank.ahead) * BLOCK
        if done > self._blocks.first:
            self._out_us = max(begin_us, stamp_us(done, self._law.rate_hz))
        return self._packet(begin_us, parts)

    def _packet(self, begin_us: int, parts: list[tuple[np.ndarray, np.ndarray]]) -> Packet:
        if not parts:
            return Packet(begin_us, self._out_us)
        t_us, unit = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return Packet(begin_us, self._out_us, t_us, unit)


def _fresh(law: Law) -> State:
    """Silence, at rest."""
    channels, depth = law.channels, law.bank.depth
    cell = np.zeros((5, channels), np.float32)
    cell[:3] = np.array(resting(), np.float32)[:, None]
    least = law.config.least_level**2
    return {"before": np.zeros(BLOCK, np.float32), "past_re": np.zeros((depth, BLOCK + 1), np.float32),
            "past_im": np.zeros((depth, BLOCK + 1), np.float32), "cell": cell, "power": np.array([0.0, least]),
            "count": np.zeros((2 + law.ring, channels), np.int32)}  # fmt: skip


def _window(name: str, n: int, rate_hz: float) -> np.ndarray:
    if name == "hann":
        return np.hanning(n)
    faded = np.ones(n)
    ramp = min(n // 2, round(0.03 * rate_hz)) if name == "ramp" else 0
    if ramp:
        faded[:ramp] = 0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / ramp)
        faded[-ramp:] = faded[:ramp][::-1]
    return faded
