"""Pooling of spikes over windows of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.layer_spec.checks import check_tick, put
from pipeline.layer_spec.conv import Pair, pair

How = Literal["sum", "average", "max"]


@dataclass(frozen=True, eq=False)
class PoolSpec:
    """Every channel pooled over windows of `size`, `stride` apart.

    `sum`: a window's unit fires for every event in the window; `average`: the same, each event counting value / (high * wide);
    `max`: it fires once at a tick if any event lies in the window, the OR of spikes.

    shape_in (channels, height, width); size, stride (default: size): (vertical, horizontal) or one number. Windows that do not
    fit are left out. tick_us: the tick of the stream, needed by max in a network.

    >>> PoolSpec("max", (12, 30, 30), 2).shape_out
    (12, 15, 15)
    """

    how: How
    shape_in: tuple[int, int, int]
    size: Pair
    stride: Pair | None = None
    tick_us: int | None = None

    def __post_init__(self) -> None:
        if self.how not in ("sum", "average", "max"):
            raise ValueError(f"how must be sum, average or max, got {self.how!r}")
        shape_in = tuple(int(n) for n in self.shape_in)
        if len(shape_in) != 3 or min(shape_in) < 1:
            raise ValueError(f"shape_in must be (channels, height, width), got {shape_in}")
        put(self, "shape_in", shape_in)
        put(self, "size", pair("size", self.size, 1))
        put(self, "stride", pair("stride", self.size if self.stride is None else self.stride, 1))
        check_tick(self.tick_us)
        if min(self.shape_out) < 1:
            raise ValueError(f"a window of {self.size} does not fit into {shape_in[1:]} pixels")

    @property
    def shape_out(self) -> tuple[int, int, int]:
        assert self.stride is not None, "set at construction"
        sides = zip(self.shape_in[1:], self.size, self.stride, strict=True)
        height, width = ((n - size) // stride + 1 for n, size, stride in sides)
        return self.shape_in[0], height, width

    @property
    def n_in(self) -> int:
        return int(np.prod(self.shape_in))

    @property
    def n_out(self) -> int:
        return int(np.prod(self.shape_out))
