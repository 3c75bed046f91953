"""latency: graded values go in; each makes one spike, the sooner the greater it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import NO_TIMES, NO_UNITS, Format, Packet


class LatencyConfig(OperatorConfig):
    """Time-to-first-spike coding: a value at time t fires once, at t + T within a window; small values do not fire.

    With x = min(1, scale * value), and only where x > threshold:

        linear        T = window * (1 - x), at most window - 1 us
        logarithmic   T = tau * ln(x / (x - threshold)): when a membrane of time constant tau, driven by x, reaches the threshold;
                      no spike if T >= window

    T is cut to whole microseconds. Every value is coded by itself, so a picture that is given again fires again.

    Takes graded events of any shape, such as pictures (height, width). Out come spikes of the same shape on no tick, over the
    same interval; at the end of the episode it is prolonged by the window, in which what is still due comes out. Times in us,
    options in ms. ValueError: spikes and decisions; logarithmic without a threshold.

    Example: `{type: latency, window_ms: 20, scale: 0.00392, threshold: 0.1}`

    Source: S. Thorpe, A. Delorme, R. Van Rullen, Spike-based strategies for rapid processing (2001); the logarithmic law:
    J. Eshraghian et al., Training spiking neural networks using lessons from deep learning (2023), latency coding.
    """

    type: Literal["latency"] = "latency"
    window_ms: float = Field(20.0, ge=0.001, description="the time within which a value fires, in ms")
    law: Literal["linear", "logarithmic"] = Field("linear", description="how the time follows from the value")
    scale: float = Field(1.0, gt=0, description="what a value is multiplied with; 0.00392 for pixels of 0 to 255")
    threshold: float = Field(0.0, ge=0, lt=1, description="scaled values at or below it do not fire")
    tau_ms: float = Field(5.0, gt=0, description="time constant of the logarithmic law, in ms")

    @model_validator(mode="after")
    def _has_a_threshold(self) -> LatencyConfig:
        if self.law == "logarithmic" and self.threshold == 0:
            raise ValueError("the logarithmic law needs a threshold above 0")
        return self

    @property
    def window_us(self) -> int:
        return round(self.window_ms * 1000)

    def check(self, upstream: Format) -> Format:
        if upstream.kind != "graded":
            raise ValueError(f"latency takes graded events, got {upstream}")
        return dataclasses.replace(upstream, kind="spikes", tick_us=None, rate_hz=None)

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.latency import LINEAR, LOGARITHMIC, latency

        self.check(upstream)
        law = LINEAR if self.law == "linear" else LOGARITHMIC
        fixed = (law, self.scale, self.threshold, self.tau_ms * 1000, self.window_us)
        return lambda state: Latency(latency, fixed, self.window_us, state)


class Latency:
    """Runs the encoder. State: `due_us`, `due_unit`, the spikes that are still due, sorted; `end_us`, the time reached."""

    def __init__(self, kernel: Callable[..., int], fixed: tuple[float, ...], window_us: int, state: State | None) -> None:
        self._kernel = kernel
        self._fixed = fixed
        self._window_us = window_us
        self._due_us, self._due_unit, self._end_us = NO_TIMES, NO_UNITS, 0
        if state is not None:
            self._due_us, self._due_unit = state["due_us"].copy(), state["due_unit"].copy()
            self._end_us = int(state["end_us"])

    def process(self, packet: Packet) -> Packet:
        self._end_us = packet.end_us
        if packet.n:
            self._add(packet)
        return self._give(packet.begin_us, packet.end_us)

    def finish(self) -> Packet:
        return self._give(self._end_us, self._end_us + self._window_us)

    def snapshot(self) -> State:
        return {"due_us": self._due_us.copy(), "due_unit": self._due_unit.copy(), "end_us": np.array(self._end_us)}

    def _add(self, packet: Packet) -> None:
        due_us, due_unit = np.empty(packet.n, np.int64), np.empty(packet.n, np.uint32)
        n = self._kernel(packet.t_us, packet.unit, packet.value, *self._fixed, due_us, due_unit)
        t_us, unit = np.concatenate((self._due_us, due_us[:n])), np.concatenate((self._due_unit, due_unit[:n]))
        order = np.lexsort((unit, t_us))
        self._due_us, self._due_unit = t_us[order], unit[order]

    def _give(self, begin_us: int, end_us: int) -> Packet:
        """The spikes that are due before `end_us`."""
        if not (n := int(self._due_us.searchsorted(end_us))):
            return Packet(begin_us, end_us)
        out = Packet(begin_us, end_us, self._due_us[:n], self._due_unit[:n])
        self._due_us, self._due_unit = self._due_us[n:], self._due_unit[n:]
        return out
