"""Leaky integrate-and-fire neurons behind a convolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.layer_spec.checks import check_reset, check_tick, checked, decay, put, put_bias, put_times, put_vectors
from pipeline.layer_spec.lif import Reset

Pair = tuple[int, int]  # vertical, horizontal; one number stands for both


@dataclass(frozen=True, eq=False)
class ConvLIFSpec:
    """Leaky integrate-and-fire neurons behind a convolution, with a maximum over windows in between if asked for.

    At every tick, in this order: c = sum of the patches of this tick's input spikes, spike (i, y, x) adding weight[o, i, ky, kx]
    to c[o, oy, ox] wherever y = oy stride - padding + ky dilation, and the same for x; c <- the maximum of c over windows of
    pool_size, pool_stride apart; v <- d v + b + c; where v >= threshold emit a spike and reset: v <- v - threshold
    (`subtract`) or v <- 0 (`to_zero`). d = exp(-tick/tau). This is torch's Conv2d (a cross-correlation), MaxPool2d and a LIF.

    weight (c_out, c_in / groups, kh, kw); tau_ms, threshold (> 0) and bias (c_out,) or one number, shared by the pixels of
    a channel; shape_in (c_in, height, width); stride, padding (zeros), dilation, pool_size and pool_stride (default: pool_size):
    (vertical, horizontal) or one number; groups: c_in of them make the convolution depthwise.
    tick_us: length of a tick, or None for event mode (a tick of 1 us with d over the true gap); a bias needs a tick.
    Without a maximum in between pool_size is (1, 1). Sides are those of torch: windows that do not fit are left out.

    >>> ConvLIFSpec(np.ones((8, 2, 5, 5)), 20.0, 1.0, (2, 34, 34), pool_size=2, tick_us=1000).shape_out
    (8, 15, 15)
    """

    weight: np.ndarray
    tau_ms: np.ndarray
    threshold: np.ndarray
    shape_in: tuple[int, int, int]
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    pool_size: Pair = (1, 1)
    pool_stride: Pair | None = None
    tick_us: int | None = None
    reset: Reset = "subtract"
    bias: np.ndarray | None = None

    def __post_init__(self) -> None:
        self._check_shapes()
        put_times(self, self.c_out, "tau_ms")
        put_vectors(self, self.c_out, "threshold", above=0)
        check_tick(self.tick_us)
        check_reset(self.reset)
        put_bias(self, self.c_out)

    def _check_shapes(self) -> None:
        weight = np.asarray(self.weight, np.float32)
        if weight.ndim != 4 or 0 in weight.shape:
            raise ValueError(f"weight must have shape (c_out, c_in / groups, kh, kw), got {weight.shape}")
        put(self, "weight", checked("weight", weight, -np.inf, True))
        shape_in = tuple(int(n) for n in self.shape_in)
        if len(shape_in) != 3 or min(shape_in) < 1:
            raise ValueError(f"shape_in must be (channels, height, width), got {shape_in}")
        put(self, "shape_in", shape_in)
        for name, least in (("stride", 1), ("padding", 0), ("dilation", 1), ("pool_size", 1), ("pool_stride", 1)):
            given = getattr(self, name)
            put(self, name, pair(name, self.pool_size if given is None else given, least))
        if self.groups < 1 or self.c_out % self.groups or weight.shape[1] * self.groups != shape_in[0]:
            raise ValueError(f"a weight of shape {weight.shape} in {self.groups} groups takes {weight.shape[1] * self.groups} "
                             f"channels and needs c_out divisible by groups; got {shape_in[0]} channels")
        if min(self.shape_conv) < 1 or min(self.shape_out) < 1:
            raise ValueError(f"kernel {weight.shape[2:]} and window {self.pool_size} do not fit into {shape_in[1:]} pixels")

    @property
    def c_out(self) -> int:
        return int(self.weight.shape[0])

    @property
    def shape_conv(self) -> tuple[int, int, int]:
        """(c_out, height, width) of the convolution, before the maximum over windows."""
        height, width = (
            (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for n, kernel, stride, padding, dilation in zip(
                self.shape_in[1:], self.weight.shape[2:], self.stride, self.padding, self.dilation, strict=True)
        )
        return self.c_out, height, width

    @property
    def shape_out(self) -> tuple[int, int, int]:
        """(c_out, height, width) of the neurons."""
        assert self.pool_stride is not None, "set at construction"
        height, width = ((n - size) // stride + 1 for n, size, stride in zip(
            self.shape_conv[1:], self.pool_size, self.pool_stride, strict=True))
        return self.c_out, height, width

    @property
    def pooled(self) -> bool:
        return (self.pool_size, self.pool_stride) != ((1, 1), (1, 1))

    @property
    def n_in(self) -> int:
        return int(np.prod(self.shape_in))

    @property
    def n_out(self) -> int:
        return int(np.prod(self.shape_out))

    def decay(self) -> np.ndarray:
        """(c_out,) float32: what v keeps over one tick (in event mode: over 1 us)."""
        return decay(self.tau_ms, self.tick_us or 1)

    def may_fire_in_silence(self) -> np.ndarray:
        """(c_out,) bool: where the bias alone drives v to the threshold, b / (1 - d) >= threshold."""
        if self.bias is None:
            return np.zeros(self.c_out, bool)
        d, b = self.decay().astype(np.float64), self.bias.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            resting = np.where(b > 0, b / (1.0 - d), 0.0)
        return resting >= self.threshold


def pair(name: str, values: object, least: int) -> Pair:
    given = np.atleast_1d(np.asarray(values))
    if given.shape not in ((1,), (2,)) or not np.issubdtype(given.dtype, np.integer) or given.min() < least:
        raise ValueError(f"{name} must be one or two whole numbers of at least {least}, got {values}")
    return int(given[0]), int(given[-1])
