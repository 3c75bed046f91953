"""pool: events of an image go in; those of a smaller one come out, summed, averaged or joined by OR over windows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from operators.addressing import NO_OUT_VALUES, planes
from operators.model_layer import check_input, read_layer
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import PoolSpec
from pipeline.packet import NO_VALUES, Format, Packet

Side = Annotated[PositiveInt | tuple[PositiveInt, PositiveInt], Field(union_mode="left_to_right")]


class PoolConfig(OperatorConfig):
    """Pools each channel over windows: window (y, x) holds the pixels y s .. y s + high - 1 by x s .. x s + wide - 1.

        sum      every event comes out once for each window that it lies in; counts add, values go along
        average  the same with value / (high * wide), a spike counting 1: graded events come out
        max      a window's unit fires once at a time at which any unit of the window fires, the OR of spikes

    The times of `max` are those of the stream: behind a layer on a tick it is the maximum of every tick, else of every
    microsecond. Windows that do not fit into the image are left out, and so are the events that lie in none.

    In: spikes (sum and average also graded events) of shape (channels, height, width), times in us. Out: shape (channels,
    (height - high) // s + 1, (width - wide) // s + 1), sorted by (t, unit), over the same interval and on the same tick.
    State: the time reached. Errors: ValueError if a window does not fit, or the layer of the model is for another stream.

    Example: {type: pool, how: max, size: 2}

    Source: max of spikes as in Y. Fang et al., Max-Former (2025), section 3; sum as in sinabs' SumPool2d.
    """

    type: Literal["pool"] = "pool"
    how: Literal["sum", "average", "max"] | None = Field(None, description="what becomes of the events of a window")
    size: Side | None = Field(None, description="side of a window in pixels, or [vertical, horizontal]")
    stride: Side | None = Field(None, description="distance of windows, or [vertical, horizontal]; default: size")
    model: FilePath | None = Field(None, description="model file (.safetensors) with a pool layer, in place of the options above")
    layer: str | None = Field(None, description="name of the pool layer in the model")

    @model_validator(mode="after")
    def _options_fit(self) -> PoolConfig:
        if (self.model is None) != (self.layer is None):
            raise ValueError("model and layer belong together: give both or none")
        given = [name for name in ("how", "size", "stride") if getattr(self, name) is not None]
        if self.model is not None and given:
            raise ValueError(f"a pool layer of a model has its own {' and '.join(given)}: leave out these or the model")
        if self.model is None and (self.how is None or self.size is None):
            raise ValueError("pool needs how and size, or model and layer")
        return self

    def check(self, upstream: Format) -> Format:
        return out_format(self._spec(upstream), upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], Pool]:
        return make(self._spec(upstream), upstream)

    def _spec(self, upstream: Format) -> PoolSpec:
        if self.model is not None and self.layer is not None:
            card = read_layer(self.model, self.layer, "pool")
            return PoolSpec(**card.settings)
        assert self.how is not None, "checked by _options_fit"
        assert self.size is not None, "checked by _options_fit"
        shape = planes(upstream, self.type, ("spikes",) if self.how == "max" else ("spikes", "graded"))
        return PoolSpec(self.how, shape, self.size, self.stride)  # type: ignore[arg-type]


def out_format(spec: PoolSpec, upstream: Format) -> Format:
    """What comes out; ValueError if `upstream` does not fit."""
    check_input("the pool", spec.n_in, None, upstream)
    if len(upstream.shape) > 1 and upstream.shape != spec.shape_in:
        raise ValueError(f"the pool takes shape {'x'.join(map(str, spec.shape_in))}, got {upstream}; bring the stream to it")
    if spec.how == "max" and upstream.kind != "spikes":
        raise ValueError(f"the maximum of a pool is that of spikes, got {upstream}; sum and average take graded events")
    if spec.how == "max" and spec.tick_us is not None and upstream.tick_us != spec.tick_us:
        raise ValueError(f"the pool takes the maximum over ticks of {spec.tick_us / 1000:g} ms, got {upstream}; place it behind "
                         "a layer on that tick")
    return dataclasses.replace(upstream, kind="graded" if spec.how == "average" else upstream.kind, shape=spec.shape_out)


def make(spec: PoolSpec, upstream: Format) -> Callable[[State | None], Pool]:
    """What `prepare` returns, for a spec at hand instead of a config."""
    out = out_format(spec, upstream)
    from operators.kernels.pool import pool

    (_, high, wide), (_, height, width) = spec.shape_in, spec.shape_out
    starts, belongs = windows_of(spec)
    factor = np.float32(1.0 / (spec.size[0] * spec.size[1])) if spec.how == "average" else np.float32(1)
    fixed = high * wide, height * width, starts, belongs, factor, int(spec.how == "max")
    most = int(np.diff(starts).max())
    return lambda state: Pool(pool, fixed, most, out.kind == "graded", state)


def windows_of(spec: PoolSpec) -> tuple[np.ndarray, np.ndarray]:
    """Of each pixel p of a channel the windows that it lies in: belongs[starts[p] : starts[p + 1]], ascending."""
    assert spec.stride is not None, "set at construction"
    (_, high, wide), (_, height, width) = spec.shape_in, spec.shape_out
    y, x = np.divmod(np.arange(height * width), width)
    inside = (np.arange(spec.size[0])[:, None] * wide + np.arange(spec.size[1])).ravel()
    pixels = ((y * spec.stride[0] * wide + x * spec.stride[1])[:, None] + inside).ravel()
    order = np.argsort(pixels, kind="stable")
    return np.searchsorted(pixels[order], np.arange(high * wide + 1)).astype(np.int64), (order // inside.size).astype(np.int64)


class Pool:
    """Pools packet by packet: events of one time never lie in two. State: `end_us`, the time reached."""

    def __init__(self, kernel: Callable[..., int], fixed: tuple[object, ...], most: int, graded: bool,
                 state: State | None) -> None:
        self._kernel, self._fixed, self._most, self._graded = kernel, fixed, most, graded
        self._end_us = 0 if state is None else int(state["end_us"])

    def process(self, packet: Packet) -> Packet:
        self._end_us = packet.end_us
        room = packet.n * self._most
        t_us, unit = np.empty(room, np.int64), np.empty(room, np.uint32)
        value = np.empty(room, np.float32) if self._graded else NO_OUT_VALUES
        given = NO_VALUES if packet.value is None else packet.value
        n = self._kernel(packet.t_us, packet.unit, given, *self._fixed, t_us, unit, value)
        return Packet(packet.begin_us, packet.end_us, t_us[:n], unit[:n], value[:n] if self._graded else None)

    def finish(self) -> Packet:
        return Packet(self._end_us, self._end_us, value=NO_VALUES if self._graded else None)

    def snapshot(self) -> State:
        return {"end_us": np.array(self._end_us)}
