"""arbiter_lines: removes whole rows or columns that fire at once, an artefact of a sensor's readout."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from pydantic import Field

from operators.addressing import NO_OUT_VALUES
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import NO_TIMES, NO_UNITS, Format, Packet

ALL_US = 2**62  # before this is everything
NEVER_SO_MANY = 2**62  # pixels; the limit of an axis that is not looked at


class ArbiterLinesConfig(OperatorConfig):
    """Drops the events of a row (or column) at moments when so large a share of its pixels fires together that no scene does it.

    Event (t, x, y) is dropped if at least share * W of the W pixels of row y had an event, of either polarity, within
    [t - window, t + window]; with `lines: columns` the same of column x and its H pixels, with `both` either. Every event
    counts, dropped or not. `dropped` of the report says how many were. A straight edge in line with the rows fires rows too:
    a `share` near 1 and a short window spare more of them.

    Takes spikes of shape (channels, H, W), such as (2, H, W) of an event camera. Out come fewer of them; the output clock lags
    by the window, for an event is judged once its window has passed. Times in us, the window in ms. ValueError: other streams.

    Example: `{type: arbiter_lines, window_ms: 0.05, share: 0.6, lines: rows}`

    The artefact: events of one line share the arbiter's row request and its time stamp (Prophesee EVT3, AER readouts:
    K. Boahen, Point-to-point connectivity between neuromorphic chips using address events, 2000).
    """

    type: Literal["arbiter_lines"] = "arbiter_lines"
    window_ms: float = Field(0.05, ge=0.001, description="how far apart the events of a line may be, to either side, in ms")
    share: float = Field(0.6, gt=0, le=1, description="the share of a line's pixels that makes it an artefact")
    lines: Literal["rows", "columns", "both"] = Field("rows", description="what is looked at")

    @property
    def window_us(self) -> int:
        return round(self.window_ms * 1000)

    def check(self, upstream: Format) -> Format:
        if upstream.kind != "spikes" or len(upstream.shape) != 3:
            raise ValueError(f"arbiter_lines takes spikes of shape (channels, height, width), got {upstream}")
        return upstream

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.arbiter_lines import arbiter_lines

        self.check(upstream)
        _, height, width = upstream.shape
        most_in_row = max(1, math.ceil(self.share * width)) if self.lines != "columns" else NEVER_SO_MANY
        most_in_column = max(1, math.ceil(self.share * height)) if self.lines != "rows" else NEVER_SO_MANY
        fixed = (width, height * width, self.window_us, most_in_row, most_in_column)
        return lambda state: ArbiterLines(arbiter_lines, fixed, height, state)


class ArbiterLines:
    """Runs the filter.

    State: `held_t_us`, `held_unit`, the events that are still counted or not yet judged; `marks`, where among them the kernel
    stands; `dropped`, (1,); `clock`: started, the time reached, where the next output begins.
    """

    def __init__(self, kernel: Callable[..., int], fixed: tuple[int, ...], height: int, state: State | None) -> None:
        width, pixels, self._window_us, *_ = fixed
        self._kernel = kernel
        self._fixed = fixed
        self._t_us, self._unit = NO_TIMES, NO_UNITS
        self._marks, self._dropped = np.zeros(3, np.int64), np.zeros(1, np.int64)
        self._started, self._end_us, self._out_us = 0, 0, 0
        if state is not None:
            self._t_us, self._unit = state["held_t_us"].copy(), state["held_unit"].copy()
            self._marks, self._dropped = state["marks"].copy(), state["dropped"].copy()
            self._started, self._end_us, self._out_us = state["clock"].tolist()
        counted = self._unit[self._marks[0] : self._marks[1]].astype(np.int64) % pixels
        events_of = np.bincount(counted, minlength=pixels).astype(np.int64)
        picture = events_of.reshape(height, width) > 0
        self._counts = events_of, picture.sum(1, dtype=np.int64), picture.sum(0, dtype=np.int64)

    def process(self, packet: Packet) -> Packet:
        if not self._started:
            self._started, self._out_us = 1, packet.begin_us
        self._end_us = packet.end_us
        if packet.n:
            waiting = self._t_us.shape[0] > 0
            self._t_us = np.concatenate((self._t_us, packet.t_us)) if waiting else packet.t_us
            self._unit = np.concatenate((self._unit, packet.unit)) if waiting else packet.unit
        until_us = max(self._out_us, packet.end_us - self._window_us)
        return self._judge(until_us, until_us)

    def finish(self) -> Packet:
        return self._judge(ALL_US, self._end_us)

    def snapshot(self) -> State:
        clock = np.array([self._started, self._end_us, self._out_us], np.int64)
        held: State = {"held_t_us": self._t_us.copy(), "held_unit": self._unit.copy()}
        return held | {"marks": self._marks.copy(), "dropped": self._dropped.copy(), "clock": clock}

    def report(self) -> dict[str, Any]:
        return {"dropped": int(self._dropped[0])}

    def _judge(self, until_us: int, out_us: int) -> Packet:
        """Gives out what passes of the events before `until_us`; the output ends at `out_us`."""
        begin_us, self._out_us = self._out_us, out_us
        _, _, first = self._marks.tolist()
        n = int(self._t_us.searchsorted(until_us)) - first
        if n == 0:
            return Packet(begin_us, out_us)
        t_us, unit = np.empty(n, np.int64), np.empty(n, np.uint32)
        kept = self._kernel(self._t_us, self._unit, self._marks, until_us, *self._fixed, *self._counts, self._dropped,
                            t_us, unit, NO_OUT_VALUES)  # fmt: skip
        oldest = int(self._marks[0])
        self._t_us, self._unit = self._t_us[oldest:], self._unit[oldest:]
        self._marks -= oldest
        return Packet(begin_us, out_us, t_us[:kept], unit[:kept])
