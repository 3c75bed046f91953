"""video and webcam: what the pixels make of frames, worked out by hand, and files and cameras read by OpenCV."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.packet import Packet
from sources.frame_camera import FramePixelConfig
from sources.frame_pixels import LOG_INTENSITY, FramePixels
from sources.video import VideoConfig
from sources.webcam import WebcamConfig
from tests.writers_samples import few_frames, write_video

cv2 = pytest.importorskip("cv2", reason="needs OpenCV: pip install 'spikeline[video]'")
EXACT = {"mismatch": 0.0, "refractory_us": 0}


def grey(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.uint8)


def naive(frames: list[tuple[int, np.ndarray]], on: float, off: float) -> list[tuple[int, int]]:
    """(t_us, unit) by the definition, pixel by pixel, without refractoriness."""
    out = []
    pixels = frames[0][1].size
    reference = [logarithm(int(y)) for y in frames[0][1].ravel()]
    for (begin_us, first), (end_us, second) in pairwise(frames):
        for pixel in range(pixels):
            was, now = logarithm(int(first.flat[pixel])), logarithm(int(second.flat[pixel]))
            slope = (now - was) / (end_us - begin_us)
            while now >= reference[pixel] + on or now <= reference[pixel] - off:
                rises = now >= reference[pixel] + on
                reference[pixel] += on if rises else -off
                out.append((min(begin_us + math.floor((reference[pixel] - was) / slope), end_us - 1), rises * pixels + pixel))
    return sorted(out)


def logarithm(y: int) -> float:
    return math.log(y) if y > 20 else y * math.log(20) / 20


def test_the_mapping_is_logarithmic_above_20_and_linear_below() -> None:
    assert LOG_INTENSITY.tolist() == pytest.approx([logarithm(y) for y in range(256)])


def test_a_pixel_that_brightens_fires_on_at_each_crossing_and_one_that_darkens_off() -> None:
    pixels = FramePixels(FramePixelConfig(width=2, height=1, threshold_on=0.5, threshold_off=0.6, **EXACT))  # type: ignore[arg-type]
    assert pixels.see(grey([30, 200]), 0).t_us.size == 0
    events = pixels.see(grey([200, 30]), 1000)
    rise = math.log(200 / 30)
    on = [(math.floor(k * 0.5 / rise * 1000), 2) for k in (1, 2, 3)]
    off = [(math.floor(k * 0.6 / rise * 1000), 1) for k in (1, 2, 3)]
    assert list(zip(events.t_us.tolist(), events.unit.tolist(), strict=True)) == sorted(on + off)


def test_random_frames_give_the_events_of_the_definition() -> None:
    rng = np.random.default_rng(3)
    frames = [(5_003 * k, rng.integers(0, 256, (5, 7), np.uint8)) for k in range(6)]
    pixels = FramePixels(FramePixelConfig(width=7, height=5, threshold_on=0.31, threshold_off=0.23, **EXACT))  # type: ignore[arg-type]
    events = [pixels.see(frame, t_us) for t_us, frame in frames]
    got = [pair for part in events for pair in zip(part.t_us.tolist(), part.unit.tolist(), strict=True)]
    assert got == naive(frames, 0.31, 0.23)
    assert len(got) > 200


def test_a_frame_like_the_one_before_gives_no_event() -> None:
    pixels = FramePixels(FramePixelConfig(width=3, height=1))
    assert sum(pixels.see(grey([10, 100, 255]), t_us).t_us.size for t_us in (0, 40_000, 80_000)) == 0


def test_a_pixel_is_blind_after_an_event() -> None:
    options: dict[str, Any] = {"width": 1, "height": 1, "threshold_on": 0.1, "mismatch": 0.0}
    counts = []
    for refractory_us in (0, 5000):
        pixels = FramePixels(FramePixelConfig(**options, refractory_us=refractory_us))
        pixels.see(grey([30]), 0)
        t_us = pixels.see(grey([200]), 20_000).t_us
        assert (np.diff(t_us) >= refractory_us).all()
        counts.append(t_us.size)
    assert counts[1] < counts[0]


# --- a file ---


def config(path: Path, **options: Any) -> VideoConfig:
    return VideoConfig(**{"path": path, "width": 48, "height": 24, **options})


def read(config: VideoConfig) -> list[Packet]:
    source = config.prepare()(None)
    packets = list(source.packets())
    source.close()
    return packets  # type: ignore[return-value]


def test_a_bar_that_moves_right_fires_on_where_it_comes_and_off_where_it_was(tmp_path: Path) -> None:
    few_frames(tmp_path)
    packets = read(config(tmp_path / "few.avi", packet_ms=40))
    second = next(packet for packet in packets if packet.begin_us == 40_000)  # from the second frame to the third
    on, _, x = np.unravel_index(second.unit, (2, 24, 48))
    assert ({*x[on == 1].tolist()}, {*x[on == 0].tolist()}) == ({*range(16, 24)}, {*range(8, 16)})
    assert packets[-1].last
    assert packets[-1].end_us <= 5 * 40_000


def test_the_rate_of_frames_may_be_told(tmp_path: Path) -> None:
    few_frames(tmp_path)
    at_25, at_100 = (np.concatenate([p.t_us for p in read(config(tmp_path / "few.avi", **options, refractory_us=0))])
                     for options in ({}, {"frame_hz": 100.0}))
    assert at_25.size == at_100.size
    assert (np.abs(at_25 / 4 - at_100) <= 1).all()


def test_frames_are_scaled_to_the_sensor(tmp_path: Path) -> None:
    few_frames(tmp_path)
    packets = read(config(tmp_path / "few.avi", width=8, height=6))
    assert max(int(packet.unit.max()) for packet in packets if packet.n) < 2 * 8 * 6


@pytest.mark.parametrize(("content", "options", "says"), [
    (None, {}, r"nothing.avi: no such file"),
    (b"no video", {}, r"nothing.avi: OpenCV cannot read it as a video"),
    (1, {}, r"nothing.avi: holds 1 frames that can be read"),
], ids=["missing", "another file", "one frame"])
def test_what_is_no_video_is_one_clear_error(tmp_path: Path, content: Any, options: dict[str, Any], says: str) -> None:
    path = tmp_path / "nothing.avi"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        write_video(path, np.zeros((content, 24, 32), np.uint8))
    with pytest.raises(ValueError, match=says):
        read(config(path, **options))


def test_a_truncated_video_gives_fewer_frames_or_a_clear_error(tmp_path: Path) -> None:
    few_frames(tmp_path)
    whole = (tmp_path / "few.avi").read_bytes()
    for size in range(0, len(whole), len(whole) // 15):
        (tmp_path / "cut.avi").write_bytes(whole[:size])
        try:
            packets = read(config(tmp_path / "cut.avi"))
        except ValueError as error:
            if not str(error).startswith("video: "):
                raise
            continue
        assert packets[-1].last


# --- a webcam ---


class Capture:
    """As cv2.VideoCapture of a camera that gives these frames."""

    def __init__(self, frames: list[np.ndarray] | None) -> None:
        self._frames, self.released = frames, False

    def isOpened(self) -> bool:
        return self._frames is not None

    def read(self) -> tuple[bool, np.ndarray | None]:
        return (True, self._frames.pop(0)) if self._frames else (False, None)

    def release(self) -> None:
        self.released = True


def test_a_webcams_frames_become_events_between_their_arrivals(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [np.full((48, 64, 3), level, np.uint8) for level in (30, 200, 200, 30)]
    capture = Capture(frames)
    monkeypatch.setattr(cv2, "VideoCapture", lambda device: capture)
    source = WebcamConfig(width=4, height=3, device=1, **EXACT).prepare()(None)  # type: ignore[arg-type]
    packets: list[Any] = []
    with pytest.raises(ValueError, match=r"webcam: camera 1 sends no more frames: is it still plugged in\?"):
        for packet in source.packets():
            packets.append(packet)
    source.close()
    assert [p.begin_us for p in packets] == [0, *[p.end_us for p in packets[:-1]]]
    units = [{*(p.unit // 12).tolist()} for p in packets if p.n]
    assert units == [{1}, {0}]  # all ON, then all OFF
    assert all(p.t_us[0] >= p.begin_us and p.t_us[-1] < p.end_us for p in packets if p.n)
    assert source.report()["frames"] == 4  # type: ignore[attr-defined]
    assert capture.released


def test_a_webcam_that_cannot_be_had_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda device: Capture(None))
    with pytest.raises(ValueError, match="webcam: camera 7 cannot be opened: plug it in"):
        WebcamConfig(width=4, height=3, device=7).prepare()(None)


@pytest.mark.parametrize("kind", ["video", "webcam"])
def test_opencv_that_is_not_installed_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    (tmp_path / "a.avi").touch()
    made: Any = config(tmp_path / "a.avi") if kind == "video" else WebcamConfig(width=4, height=3)
    with pytest.raises(ValueError, match=rf"{kind}: needs OpenCV: pip install 'spikeline\[video\]'"):
        made.prepare()
