"""A microphone's sound in, by PortAudio; its samples out, live, at exact times."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pipeline.contract import Source, State
from pipeline.packet import Format, Packet
from sources.live import LiveConfig, LiveSource, report_of
from sources.sound_files import GREATEST_HZ, stamps_us

INSTALL = "pip install 'spikeline[audio]'"


class MicrophoneConfig(LiveConfig):
    """A microphone, or any other input of sound that PortAudio knows, live (extra `audio`).

    Out: graded events of shape (1,), full scale being 1, at rate_hz samples/s; several channels are averaged. Stream time begins
    at 0 with the first sample, and the device's clock leads: sample i is stamped round(i * 1e6 / rate_hz) us. Where the system
    dropped samples because nobody took them in time, as many as the host's clock says are missing are silence, and counted in
    `lost`. A packet is `packet_ms` long. A run that resumes goes on with what is heard then.
    Errors: no PortAudio; no such device, one that another program uses, or one that cannot sample at that rate; one that is
    unplugged; nothing from it for `idle_timeout_s`.

    Example: {type: microphone, rate_hz: 48000, packet_ms: 10, on_overload: drop_oldest}

    Source: PortAudio (R. Bencina, P. Burk), by the package sounddevice.
    """

    type: Literal["microphone"] = "microphone"
    device: int | str | None = Field(None, description="number, or part of the name, of the input; none: the system's default")
    rate_hz: float = Field(48_000.0, ge=1000, le=GREATEST_HZ, description="samples/s")
    channels: int = Field(1, ge=1, le=64, description="channels of the device, which are averaged")
    packet_ms: float = Field(10.0, gt=0, le=1000, description="length of a packet, ms")

    def check(self) -> Format:
        format = Format("graded", (1,), rate_hz=self.rate_hz)
        self.check_overload(format)
        if self.on_overload == "rate_cap":
            raise ValueError("microphone: rate_cap would take single samples out of the sound; take latest or drop_oldest")
        return format

    def prepare(self) -> Callable[[State | None], Source]:
        format, sounddevice = self.check(), _sounddevice()
        return lambda state: Microphone(self, format, sounddevice, state)


class Microphone(LiveSource):
    """The source. The device is open, but not yet listening, from the start."""

    def __init__(self, config: MicrophoneConfig, format: Format, sounddevice: Any, state: State | None) -> None:
        super().__init__(config, format, state)
        self._config, self._errors = config, (sounddevice.PortAudioError, ValueError)
        self._position.open = True
        self._samples = self._overflows = self._missing = 0
        self._n = max(1, round(config.packet_ms * config.rate_hz / 1000))
        try:
            self._stream = sounddevice.InputStream(samplerate=config.rate_hz, channels=config.channels, device=config.device,
                                                   dtype="float32", blocksize=self._n)  # fmt: skip
        except self._errors as error:
            raise ValueError(f"microphone: {self._device} cannot be opened ({_line(error)}): choose a device or a rate "
                             "that it has; `python -m sounddevice` lists them") from None  # fmt: skip

    def receive(self) -> None:
        end_us = self._position.end_us
        sample = round(end_us * self._config.rate_hz / 1e6)
        sample += int(stamps_us(np.array([sample]), self._config.rate_hz)[0]) < end_us
        self._stream.start()
        begin_s, first = time.monotonic(), sample
        while self._wait():
            try:
                block, overflowed = self._stream.read(self._n)
            except self._errors as error:
                raise ValueError(f"microphone: {self._device} gives no more sound ({_line(error)}): is it still plugged "
                                 "in?") from None  # fmt: skip
            missing = 0
            if overflowed:
                heard = round((time.monotonic() - begin_s) * self._config.rate_hz)
                missing = max(0, heard - (sample - first) - self._n - int(self._stream.read_available))
                self._overflows, self._missing = self._overflows + 1, self._missing + missing
            sample += missing
            sound = block[:, 0].copy() if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
            t_us = stamps_us(np.arange(sample, sample + len(sound) + 1), self._config.rate_hz)
            packet = Packet(end_us, int(t_us[-1]), t_us[:-1], np.zeros(len(sound), np.uint32), np.nan_to_num(sound), lost=missing)
            if not self._queue.put(packet):
                return
            sample, end_us, self._samples = sample + len(sound), packet.end_us, self._samples + len(sound)

    def report(self) -> dict[str, Any]:
        """Samples received, sent, discarded, queued; and those that the system dropped, in how many places."""
        return report_of(self._queue, samples=self._samples, overflows=self._overflows, samples_missing=self._missing)

    def close(self) -> None:
        super().close()
        self._stream.close()

    @property
    def _device(self) -> str:
        return "the default input" if self._config.device is None else f"input {self._config.device!r}"

    def _wait(self) -> bool:
        """Until a packet's samples are there; False when the source is closed."""
        limit_s, begin_s = self._config.idle_timeout_s, time.monotonic()
        while not self._queue.closed:
            if not self._stream.active:
                raise ValueError(f"microphone: {self._device} gives no more sound: is it still plugged in?")
            if self._stream.read_available >= self._n:
                return True
            if limit_s is not None and time.monotonic() - begin_s > limit_s:
                raise ValueError(f"microphone: nothing from {self._device} for {limit_s:g} s; is it switched on?")
            time.sleep(self._config.packet_ms / 5000)
        return False


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise ValueError(f"microphone: needs sounddevice: {INSTALL}") from None
    except OSError as error:
        raise ValueError(f"microphone: sounddevice finds no PortAudio ({_line(error)}): install it, on Debian as "
                         "libportaudio2") from None  # fmt: skip
    return sounddevice


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


