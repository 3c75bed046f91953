"""For benchmarks of live pipelines: a sink that notes when packets arrive, by the clock that all processes share, and a brake."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, Operator, OperatorConfig, Sink, SinkConfig, State
from pipeline.packet import NO_VALUES, Format, Packet


class LagConfig(SinkConfig):
    """Writes a row of int64 for each packet to a .npy file at the end: end_us, events, lost, CLOCK_MONOTONIC in us.

    Example: {type: "benchmarks.lag:LagConfig", path: out/lag.npy}
    """

    type: Literal["benchmarks.lag:LagConfig"] = "benchmarks.lag:LagConfig"
    path: FilePath = Field(description="the file; one beside it, ending in .begun, is made with the first packet")

    def check(self, upstream: Format) -> None:
        pass

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        return lambda state: Lag(self)


class Lag:
    def __init__(self, config: LagConfig) -> None:
        self._path = config.path
        self._rows: list[tuple[int, int, int, int]] = []

    def write(self, packet: Packet) -> None:
        if not self._rows:
            self._path.with_suffix(".begun").touch()
        self._rows.append((packet.end_us, packet.n, packet.lost, time.monotonic_ns() // 1000))

    def snapshot(self) -> State:
        return {}

    def close(self) -> None:
        np.save(self._path, np.array(self._rows, np.int64).reshape(-1, 4))


class HeldUpConfig(OperatorConfig):
    """An operator that passes everything on, `hold_ms` later: a pipeline too slow for its source.

    Example: {type: "benchmarks.lag:HeldUpConfig", hold_ms: 3}
    """

    type: Literal["benchmarks.lag:HeldUpConfig"] = "benchmarks.lag:HeldUpConfig"
    hold_ms: float = Field(gt=0, description="for each packet")

    def check(self, upstream: Format) -> Format:
        return upstream

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        return lambda state: HeldUp(self.hold_ms / 1e3, upstream, 0 if state is None else int(state["end_us"]))


class HeldUp:
    def __init__(self, hold_s: float, format: Format, end_us: int) -> None:
        self._hold_s, self._end_us = hold_s, end_us
        self._value = None if format.kind == "spikes" else NO_VALUES

    def process(self, packet: Packet) -> Packet:
        time.sleep(self._hold_s)
        self._end_us = packet.end_us
        return packet

    def finish(self) -> Packet:
        return Packet(self._end_us, self._end_us, value=self._value)

    def snapshot(self) -> State:
        return {"end_us": np.array(self._end_us)}
