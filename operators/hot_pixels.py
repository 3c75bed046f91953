"""hot_pixels: silences pixels that fire too often, and pixels named in a mask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, model_validator

from operators.addressing import NEVER, NO_OUT_VALUES, padded_rows, planes
from pipeline.contract import FilePath, Operator, OperatorConfig, State
from pipeline.packet import Format, Packet


class HotPixelsConfig(OperatorConfig):
    """Silences a pixel that fired too often, alone among its neighbours, for as long as it goes on.

    The stream is divided into windows [k * window, (k+1) * window) from stream time 0. A pixel that had more than
    max_rate_hz * window events in one window, while over_neighbours times the events of most of its 8 neighbours stayed below
    its own, is hot: all its events are dropped from the next window on. It passes again after a window of at most
    release_rate_hz * window events (half of max_rate_hz unless given). Counted are the events that come in; the polarities
    of a pixel count and are silenced together. A pixel is judged at the end of a window, so it is heard for up to two.

    `mask` silences pixels for good: a list of [x, y], or a .npy file that holds such a list, (n, 2) integers, or a picture of
    truths, (height, width). On a stream of shape (n,), y is 0. Masked pixels count as silent neighbours.

    Takes spikes of shape (channels, height, width) or (n,). Out come fewer spikes of the same shape, over the same interval.
    Times in microseconds, windows in ms, rates in events/s. ValueError: graded streams, other shapes, a mask that does not fit.

    Example: `{type: hot_pixels, max_rate_hz: 200, mask: [[17, 4], [300, 12]]}`

    The comparison with the neighbours is common practice, so that edges, which many pixels see at once, pass.
    """

    type: Literal["hot_pixels"] = "hot_pixels"
    window_ms: float = Field(100.0, gt=0, description="over how long the events of a pixel are counted, in ms")
    max_rate_hz: float = Field(200.0, gt=0, description="a pixel above this rate may be hot, in events/s")
    release_rate_hz: float | None = Field(
        None, ge=0, description="a hot pixel passes again after a window at or below it, in events/s; default half of max_rate_hz"
    )
    over_neighbours: float = Field(
        3.0, ge=0, description="how many times most of its neighbours a hot pixel must exceed; 0: the rate alone decides"
    )
    mask: tuple[tuple[NonNegativeInt, NonNegativeInt], ...] | FilePath | None = Field(
        None, description="pixels always silent: a list of [x, y], or a .npy file of such a list or of truths (height, width)"
    )

    @model_validator(mode="after")
    def _releases_below_max(self) -> HotPixelsConfig:
        if self.release_rate_hz is not None and self.release_rate_hz > self.max_rate_hz:
            raise ValueError(f"release_rate_hz {self.release_rate_hz:g} must not exceed max_rate_hz {self.max_rate_hz:g}")
        return self

    def check(self, upstream: Format) -> Format:
        _, height, width = planes(upstream, self.type)
        if isinstance(self.mask, tuple):
            _refuse_outside(np.array(self.mask, np.int64).reshape(-1, 2), height, width, f"{self.type}: mask")
        return upstream

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.hot_pixels import FIXED, hot_pixels

        self.check(upstream)
        channels, height, width = planes(upstream, self.type)
        row_start, length = padded_rows(channels, height, width, apart=False)
        window_us = max(1, round(self.window_ms * 1000))
        release_rate_hz = self.max_rate_hz / 2 if self.release_rate_hz is None else self.release_rate_hz
        most, release = (int(rate_hz * window_us / 1e6) for rate_hz in (self.max_rate_hz, release_rate_hz))
        fixed = (np.uint32(width), row_start, height, window_us, most, release, self.over_neighbours)
        mode = np.zeros(length, np.uint8)
        pixels = _masked(self.mask, height, width)
        mode[row_start[pixels[:, 1]] + pixels[:, 0]] = FIXED
        return lambda state: HotPixels(hot_pixels, fixed, mode, state)


MAPS = ("window_of", "now", "before", "mode", "found")  # in the order in which the kernel takes them


class HotPixels:
    """Runs the filter.

    State, maps with a border: `window_of`, the window of a pixel's last event; `now` and `before`, its events in that window
    and the one before; `mode`, whether it is silenced. `found`, how often a pixel turned hot; `end_us`, the time reached.
    """

    def __init__(self, kernel: Callable[..., int], fixed: tuple[Any, ...], mode: np.ndarray, state: State | None) -> None:
        self._kernel = kernel
        self._fixed = fixed
        fresh = {
            "window_of": np.full(mode.shape, NEVER),
            "now": np.zeros(mode.shape, np.int64),
            "before": np.zeros(mode.shape, np.int64),
            "mode": mode,
            "found": np.zeros(1, np.int64),
            "end_us": np.array(0),
        }
        self._maps = tuple((state or fresh)[key].copy() for key in MAPS)
        self._end_us = int((state or fresh)["end_us"])

    def process(self, packet: Packet) -> Packet:
        self._end_us = packet.end_us
        if (n := packet.n) == 0:
            return packet
        t_us, unit = np.empty(n, np.int64), np.empty(n, np.uint32)
        kept = self._kernel(packet.t_us, packet.unit, *self._fixed, *self._maps, t_us, unit, NO_OUT_VALUES)
        return Packet(packet.begin_us, packet.end_us, t_us[:kept], unit[:kept])

    def finish(self) -> Packet:
        return Packet(self._end_us, self._end_us)

    def snapshot(self) -> State:
        maps = {key: array.copy() for key, array in zip(MAPS, self._maps, strict=True)}
        return maps | {"end_us": np.array(self._end_us)}

    def report(self) -> dict[str, Any]:
        return {"pixels_found_hot": int(self._maps[4][0])}


def _masked(mask: tuple[tuple[int, int], ...] | Path | None, height: int, width: int) -> np.ndarray:
    """The masked pixels, (n, 2) int64 of x, y."""
    if not isinstance(mask, Path):
        return np.array(mask or (), np.int64).reshape(-1, 2)
    try:
        content = np.load(mask, allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"hot_pixels: {mask}: no such mask file") from None
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"hot_pixels: {mask}: not a .npy file of numbers ({error})") from None
    if not isinstance(content, np.ndarray):
        raise ValueError(f"hot_pixels: {mask}: a mask is one .npy array, not an archive of several")
    if content.dtype == bool and content.shape == (height, width):
        return np.argwhere(content)[:, ::-1].astype(np.int64)
    if content.dtype.kind in "iu" and content.ndim == 2 and content.shape[1] == 2:
        pixels = content.astype(np.int64)
        _refuse_outside(pixels, height, width, f"hot_pixels: {mask}")
        return pixels
    raise ValueError(
        f"hot_pixels: {mask}: a mask is (n, 2) integers x, y or {(height, width)} truths, got {content.shape} {content.dtype}"
    )


def _refuse_outside(pixels: np.ndarray, height: int, width: int, where: str) -> None:
    outside = (pixels < 0).any(axis=1) | (pixels[:, 0] >= width) | (pixels[:, 1] >= height)
    if outside.any():
        x, y = pixels[outside][0]
        raise ValueError(f"{where}: pixel [{x}, {y}] lies outside of the {width} x {height} sensor")
