"""voxel: tells of each window of time which voxels had an event."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.addressing import NEVER, NO_OUT_VALUES
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import NO_VALUES, Format, Packet


class VoxelConfig(OperatorConfig):
    """Presence in a voxel grid: at most one spike for each window, bin and unit, however many events fell there.

    Window k holds [k * window, (k+1) * window) of stream time and is divided into `bins` bins of equal length:
    bin = floor((t - k * window) * bins / window). A voxel is a bin and a unit. The voxels of window k that had an event come
    out as spikes stamped k * window, once the window is over.

    Takes spikes of any shape (n, ...), such as (2, height, width). Out come spikes of shape (bins * n, ...), the first n
    entries being those of the first bin, on a tick of one window; with one bin the shape stays, and the stream is brought onto
    a tick with one spike a unit and tick. The output clock lags to the last window that is over; at the end of the episode the
    open window counts. Times in us, the window in ms. ValueError: graded streams and decisions, a window of fewer microseconds
    than bins.

    Example: `{type: voxel, window_ms: 50, bins: 5}`

    After A. Zhu et al., Unsupervised event-based learning of optical flow, depth, and egomotion (2019), section 3.1, with
    presence instead of sums.
    """

    type: Literal["voxel"] = "voxel"
    window_ms: float = Field(10.0, ge=0.001, description="length of a window, in ms")
    bins: int = Field(1, ge=1, description="into how many bins of time a window is divided; each makes channels of its own")

    @property
    def window_us(self) -> int:
        return round(self.window_ms * 1000)

    def check(self, upstream: Format) -> Format:
        if upstream.kind != "spikes":
            raise ValueError(f"voxel takes spikes, got {upstream}")
        if self.bins > self.window_us:
            raise ValueError(f"voxel: a window of {self.window_us} us cannot be divided into {self.bins} bins")
        first, *others = upstream.shape
        return dataclasses.replace(upstream, shape=(self.bins * first, *others), tick_us=self.window_us)

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.voxel import first_of_voxels

        self.check(upstream)
        fixed = (self.window_us, self.bins, upstream.size)
        return lambda state: Voxel(first_of_voxels, fixed, state)


class Voxel:
    """Runs the grid.

    State: `held_t_us`, `held_unit`, the voxels of the open window in the order of arrival; `clock`: started, the time reached,
    where the next output begins.
    """

    def __init__(self, kernel: Callable[..., int], fixed: tuple[int, int, int], state: State | None) -> None:
        self._kernel = kernel
        self._fixed = fixed
        window_us, bins, units = fixed
        self._window_us = window_us
        self._window_of = np.full(bins * units, NEVER)
        self._held_t_us: list[np.ndarray] = []
        self._held_unit: list[np.ndarray] = []
        self._started, self._end_us, self._out_us = 0, 0, 0
        if state is not None:
            self._started, self._end_us, self._out_us = state["clock"].tolist()
            self._hold(state["held_t_us"].copy(), state["held_unit"].copy())
            self._window_of[state["held_unit"]] = state["held_t_us"] // window_us

    def process(self, packet: Packet) -> Packet:
        if not self._started:
            self._started = 1
            self._out_us = packet.begin_us // self._window_us * self._window_us
        self._end_us = packet.end_us
        if n := packet.n:
            t_us, unit = np.empty(n, np.int64), np.empty(n, np.uint32)
            out = t_us, unit, NO_OUT_VALUES
            n = self._kernel(packet.t_us, packet.unit, NO_VALUES, *self._fixed, self._window_of, *out)
            self._hold(t_us[:n], unit[:n])
        return self._close(packet.end_us // self._window_us * self._window_us)

    def finish(self) -> Packet:
        return self._close(-(-self._end_us // self._window_us) * self._window_us)

    def snapshot(self) -> State:
        t_us, unit = self._joined()
        clock = np.array([self._started, self._end_us, self._out_us], np.int64)
        return {"held_t_us": t_us.copy(), "held_unit": unit.copy(), "clock": clock}

    def _hold(self, t_us: np.ndarray, unit: np.ndarray) -> None:
        self._held_t_us.append(t_us)
        self._held_unit.append(unit)

    def _joined(self) -> tuple[np.ndarray, np.ndarray]:
        if not self._held_t_us:
            return np.empty(0, np.int64), np.empty(0, np.uint32)
        t_us, unit = np.concatenate(self._held_t_us), np.concatenate(self._held_unit)
        self._held_t_us, self._held_unit = [t_us], [unit]
        return t_us, unit

    def _close(self, until_us: int) -> Packet:
        """Gives out the windows before `until_us`."""
        begin_us, self._out_us = self._out_us, until_us
        if begin_us == until_us or not self._held_t_us:
            return Packet(begin_us, until_us)
        t_us, unit = self._joined()
        n = int(t_us.searchsorted(until_us))
        self._held_t_us, self._held_unit = ([t_us[n:]], [unit[n:]]) if n < t_us.shape[0] else ([], [])
        if not n:
            return Packet(begin_us, until_us)
        return Packet(begin_us, until_us, *self._in_order(t_us[:n], unit[:n]))

    def _in_order(self, t_us: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sorted by (t_us, unit): as one number each, unless the windows are too many for that."""
        window = (t_us - t_us[0]) // self._window_us
        if window[-1] >= 2**31:
            order = np.lexsort((unit, t_us))
            return t_us[order], unit[order]
        keys = np.sort(window << 32 | unit)
        return t_us[0] + (keys >> 32) * self._window_us, (keys & 0xFFFFFFFF).astype(np.uint32)
