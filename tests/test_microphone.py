"""microphone: a device that gives what it is told to, and the errors of having none."""

from __future__ import annotations

import sys
import threading
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.packet import Packet
from sources.microphone import Microphone, MicrophoneConfig

SOUND = np.arange(1, 4001, dtype=np.float32) / 4096


class Device:
    """PortAudio's stream of sounddevice: `sound` is there at once, then nothing. What follows `overflow_at` comes too late."""

    PortAudioError = type("PortAudioError", (Exception,), {})
    sound, overflow_at, opened = SOUND[:, None], -1, {}  # type: ignore[var-annotated]

    def __init__(self, **options: Any) -> None:
        Device.opened = options
        self.at, self.active, self.closed = 0, False, False

    def start(self) -> None:
        self.active = True

    @property
    def read_available(self) -> int:
        return len(self.sound) - self.at

    def read(self, n: int) -> tuple[np.ndarray, bool]:
        self.at += n
        return self.sound[self.at - n : self.at], self.at - n == self.overflow_at

    def close(self) -> None:
        self.active, self.closed = False, True


def device(monkeypatch: pytest.MonkeyPatch, **attributes: Any) -> None:
    made = type("Made", (Device,), attributes)
    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace(InputStream=made, PortAudioError=Device.PortAudioError))


def heard(config: MicrophoneConfig, samples: int, state: Any = None) -> tuple[list[Packet], Microphone]:
    source = config.prepare()(state)
    assert isinstance(source, Microphone)
    packets: list[Packet] = []
    for packet in source.packets():
        assert packet is not None
        packets.append(packet)
        if sum(p.n for p in packets) >= samples:
            break
    return packets, source


def test_samples_come_in_packets_that_meet_at_exact_times(monkeypatch: pytest.MonkeyPatch) -> None:
    device(monkeypatch)
    packets, source = heard(MicrophoneConfig(rate_hz=44_100, packet_ms=10), 3969)
    source.close()
    assert Device.opened == {"samplerate": 44_100, "channels": 1, "device": None, "dtype": "float32", "blocksize": 441}
    assert [p.n for p in packets] == [441] * 9
    assert packets[0].begin_us == 0
    assert all(a.end_us == b.begin_us for a, b in pairwise(packets))
    t_us = np.concatenate([p.t_us for p in packets])
    assert t_us.tolist() == [round(i * 1e6 / 44_100) for i in range(3969)]
    assert np.concatenate([p.value for p in packets]).tolist() == SOUND[:3969].tolist()  # type: ignore[misc]
    assert source.report()["samples"] == 3969


def test_channels_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    device(monkeypatch, sound=np.stack((SOUND, 0 * SOUND), axis=1))
    packets, source = heard(MicrophoneConfig(rate_hz=8000, channels=2), 80)
    source.close()
    assert packets[0].value is not None
    assert packets[0].value.tolist() == (SOUND[:80] / 2).tolist()


def test_samples_that_the_system_dropped_are_silence_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now_s=0.0)
    fake = SimpleNamespace(monotonic=lambda: clock.now_s, sleep=lambda s: threading.Event().wait(s))
    monkeypatch.setattr("sources.microphone.time", fake)
    device(monkeypatch, overflow_at=800, sound=SOUND[:880, None])
    source = MicrophoneConfig(rate_hz=8000, packet_ms=100).prepare()(None)
    stream = source._stream  # type: ignore[attr-defined]
    read = stream.read

    def late(n: int) -> tuple[np.ndarray, bool]:
        clock.now_s = 0.35 if stream.at == 0 else clock.now_s
        return read(n)

    stream.read, stream.overflow_at = late, 0
    packet = next(iter(source.packets()))
    source.close()
    assert packet is not None
    # 0.35 s are 2800 samples; 800 came, 80 wait
    assert (packet.lost, int(packet.t_us[0]), packet.begin_us, packet.end_us) == (1920, 240_000, 0, 340_000)
    assert source.report()["samples_missing"] == 1920  # type: ignore[attr-defined]


def test_a_run_that_resumes_goes_on_where_the_stream_was(monkeypatch: pytest.MonkeyPatch) -> None:
    device(monkeypatch)
    for rate_hz, samples, end_us in ((8000, 160, 20_000), (44_100, 1323, 30_000), (11_025, 220, 19_955)):
        config = MicrophoneConfig(rate_hz=rate_hz)
        packets, source = heard(config, samples)
        state = source.snapshot()
        source.close()
        more, again = heard(config, 10, state)
        again.close()
        assert more[0].begin_us == packets[-1].end_us == int(more[0].t_us[0]) == end_us


def test_a_device_that_stops_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    device(monkeypatch, active=property(lambda self: self.at < 160, lambda self, value: None))
    with pytest.raises(ValueError, match="the default input gives no more sound: is it still plugged in"):
        heard(MicrophoneConfig(rate_hz=8000), 10_000)


def test_a_device_that_is_silent_for_too_long_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    device(monkeypatch, sound=SOUND[:100, None])
    with pytest.raises(ValueError, match=r"nothing from input 'usb' for 0\.05 s"):
        heard(MicrophoneConfig(rate_hz=8000, device="usb", idle_timeout_s=0.05), 10_000)


def test_a_device_that_cannot_be_had_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Device, **options: Any) -> None:
        raise Device.PortAudioError("Error querying device -1")

    device(monkeypatch, __init__=refuse)
    with pytest.raises(ValueError, match=r"the default input cannot be opened \(Error querying device -1\): choose a device"):
        MicrophoneConfig().prepare()(None)


def test_without_package_or_portaudio_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ValueError, match=r"needs sounddevice: pip install 'spikeline\[audio\]'"):
        MicrophoneConfig().prepare()


def test_single_samples_are_not_taken_out_of_sound() -> None:
    with pytest.raises(ValueError, match="rate_cap would take single samples out"):
        MicrophoneConfig(on_overload="rate_cap", max_rate_hz=1000).check()
