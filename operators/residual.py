"""residual: runs a body of operators and adds its input to what comes out, a shortcut past the body."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, SerializeAsAny, field_validator

from operators.addressing import NO_OUT_VALUES
from pipeline.chain import part_of
from pipeline.contract import Operator, OperatorConfig, Reporting, State
from pipeline.packet import NO_TIMES, NO_UNITS, NO_VALUES, Format, Packet, join


class ResidualConfig(OperatorConfig):
    """Gives out the events of a body of operators together with the input's own events: y = body(x) + x.

    The events of both are merged in order of (t, unit); of equal ones the input's come first. Counts are natural: a unit that
    fires in both at once fires twice, as layers add it. The output reaches as far as both do: where the body lags (a layer on
    a tick) the input's events are held back, where it runs ahead (a delay) the body's are.

    Takes any spikes or graded events, and the body's output must have the input's kind and shape. The output is on the grid
    that both lie on, if there is one. Times in microseconds. ValueError: a body that gives another kind or shape.

    Example: `{type: residual, body: [{type: refractory, period_ms: 2}, {type: background_activity, window_ms: 5}]}`

    The identity shortcut of K. He et al., "Deep residual learning for image recognition", CVPR 2016, section 3.2; with
    spikes that are added (not gated) W. Fang et al., "Deep residual learning in spiking neural networks", NeurIPS 2021 (ADD).
    """

    type: Literal["residual"] = "residual"
    body: tuple[SerializeAsAny[OperatorConfig], ...] = Field(description="the operators of the body, in order", min_length=1)

    @field_validator("body")
    @classmethod
    def _knows_its_operators(cls, body: tuple[OperatorConfig, ...]) -> tuple[OperatorConfig, ...]:
        for index, config in enumerate(body):
            if type(config) is OperatorConfig:
                raise ValueError(f"body[{index}]: {config.type!r} is not an operator; give a config object, or load it from YAML")
        return body

    def check(self, upstream: Format) -> Format:
        out = self._formats(upstream)[-1]
        if upstream.kind == "decisions" or (out.kind, out.shape) != (upstream.kind, upstream.shape):
            raise ValueError(f"{self.type}: the body turns {upstream} into {out}; the shortcut needs one kind and shape")
        tick_us = None if out.tick_us is None or upstream.tick_us is None else math.gcd(out.tick_us, upstream.tick_us)
        rate_hz = upstream.rate_hz if out.rate_hz == upstream.rate_hz else None
        return dataclasses.replace(upstream, tick_us=tick_us, rate_hz=rate_hz)

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels import residual as kernels

        self.check(upstream)
        formats = self._formats(upstream)
        nodes = zip(self.body, formats[:-1], formats[1:], strict=True)
        parts = [(config.prepare(given), out if _is_foreign(config) else None) for config, given, out in nodes]

        def make(state: State | None) -> Operator:
            body = [(maker(part_of(state, f"body.{index}")), promised) for index, (maker, promised) in enumerate(parts)]
            return Residual(body, kernels.order, kernels.merge, upstream.kind == "graded", state)

        return make

    def _formats(self, upstream: Format) -> list[Format]:
        """What each operator of the body receives, and what comes out at the end."""
        formats = [upstream]
        for index, config in enumerate(self.body):
            try:
                formats.append(config.check(formats[-1]))
            except ValueError as error:
                raise ValueError(f"{self.type}: body[{index}]: {error}") from None
        return formats


def _is_foreign(config: OperatorConfig) -> bool:
    """Whether it comes from outside the house, whose tests do not cover it: a wrong unit would index past a kernel's arrays."""
    return type(config).__module__.partition(".")[0] != "operators"


class Columns(NamedTuple):
    """Events held back; value is empty on spikes."""

    t_us: np.ndarray
    unit: np.ndarray
    value: np.ndarray


NOTHING = Columns(NO_TIMES, NO_UNITS, NO_VALUES)


class Residual:
    """Runs the body and merges. `body` holds operators, each with the Format to check its output against, or None.

    State: `own.*` and `given.*`, the events of the input and of the body that are held back, in order; `clock_us`, how far
    input and body have come; `reached_us`, how far the output, (0,) before the first packet; `body.<index>.*`, the body's states.
    """

    def __init__(
        self,
        body: Sequence[tuple[Operator, Format | None]],
        order: Callable[..., None],
        merge: Callable[..., None],
        graded: bool,
        state: State | None,
    ) -> None:
        self._body = body
        self._order = order
        self._merge = merge
        self._graded = graded
        self._own = self._given = NOTHING
        self._clock_us = (0, 0)
        self._reached_us: int | None = None
        if state is not None:
            self._own = Columns(*(state[f"own.{key}"].copy() for key in Columns._fields))
            self._given = Columns(*(state[f"given.{key}"].copy() for key in Columns._fields))
            self._clock_us = (int(state["clock_us"][0]), int(state["clock_us"][1]))
            self._reached_us = int(state["reached_us"][0]) if state["reached_us"].size else None

    def process(self, packet: Packet) -> Packet:
        given = packet
        for operator, promised in self._body:
            given = operator.process(given)
            if promised is not None:
                given.check(promised)
        if self._reached_us is None:
            self._reached_us = min(packet.begin_us, given.begin_us)
        self._clock_us = (packet.end_us, given.end_us)
        self._own = _append(self._own, self._in_order(packet))
        self._given = _append(self._given, self._columns(given))
        return self._until(min(self._clock_us))

    def finish(self) -> Packet:
        given: Packet | None = None
        for operator, promised in self._body:
            given = operator.finish() if given is None else join(operator.process(given), operator.finish())
            if promised is not None:
                given.check(promised)
        assert given is not None, "a body holds an operator at least"
        if self._reached_us is None:
            self._reached_us = given.begin_us
        self._clock_us = (self._clock_us[0], given.end_us)
        self._given = _append(self._given, self._columns(given))
        return self._until(max(self._reached_us, *self._clock_us))

    def snapshot(self) -> State:
        state = {f"own.{key}": column.copy() for key, column in self._own._asdict().items()}
        state |= {f"given.{key}": column.copy() for key, column in self._given._asdict().items()}
        state["clock_us"] = np.array(self._clock_us, np.int64)
        state["reached_us"] = np.array([] if self._reached_us is None else [self._reached_us], np.int64)
        for index, (operator, _) in enumerate(self._body):
            state |= {f"body.{index}.{key}": array for key, array in operator.snapshot().items()}
        return state

    def report(self) -> dict[str, Any]:
        figures = [operator.report() if isinstance(operator, Reporting) else {} for operator, _ in self._body]
        return {f"body[{index}].{key}": value for index, report in enumerate(figures) for key, value in report.items()}

    def _until(self, reached_us: int) -> Packet:
        """Gives out what is held of the time before reached_us, and holds the rest."""
        assert self._reached_us is not None
        begin_us, self._reached_us = self._reached_us, max(self._reached_us, reached_us)
        own, self._own = _split(self._own, self._reached_us)
        given, self._given = _split(self._given, self._reached_us)
        n = own.t_us.size + given.t_us.size
        if n == 0:
            return Packet(begin_us, self._reached_us, value=NO_VALUES if self._graded else None)
        out = (np.empty(n, np.int64), np.empty(n, np.uint32), np.empty(n, np.float32) if self._graded else NO_OUT_VALUES)
        self._merge(*own, *given, *out)
        return Packet(begin_us, self._reached_us, out[0], out[1], out[2] if self._graded else None)

    def _columns(self, packet: Packet) -> Columns:
        return Columns(packet.t_us, packet.unit, NO_VALUES if packet.value is None else packet.value)

    def _in_order(self, packet: Packet) -> Columns:
        """The packet's events sorted by (t, unit): recordings keep the sensor's order within a microsecond."""
        if (n := packet.n) == 0:
            return NOTHING
        out = Columns(np.empty(n, np.int64), np.empty(n, np.uint32), np.empty(n, np.float32) if self._graded else NO_OUT_VALUES)
        self._order(*self._columns(packet), *out)
        return out


def _append(held: Columns, new: Columns) -> Columns:
    if new.t_us.size == 0:
        return held
    return new if held.t_us.size == 0 else Columns(*(np.concatenate(pair) for pair in zip(held, new, strict=True)))


def _split(held: Columns, at_us: int) -> tuple[Columns, Columns]:
    """The events before at_us, and the others."""
    if held.t_us.size == 0 or held.t_us[-1] < at_us:
        return held, NOTHING
    at = int(np.searchsorted(held.t_us, at_us))
    return Columns(*(column[:at] for column in held)), Columns(*(column[at:] for column in held))
