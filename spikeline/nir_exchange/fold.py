"""What stands between two populations of neurons - weights, convolutions, pools, scales - folded into one linear map."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from spikeline.nir_exchange.order import CannotCarry, Step

GREATEST = 1 << 26  # entries of a weight matrix that is made by folding


@dataclass(frozen=True, eq=False)
class Convolution:
    """weight (c_out, c_in / groups, kh, kw) on shape_in (c_in, height, width)."""

    weight: np.ndarray
    shape_in: tuple[int, int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def shape_out(self) -> tuple[int, int, int]:
        height, width = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(
            self.shape_in[1:], self.weight.shape[2:], self.stride, self.padding, self.dilation, strict=True))
        return self.weight.shape[0], height, width


@dataclass(frozen=True, eq=False)
class Map:
    """A linear map from spikes of `shape_in`, and a constant: at most one of dense (n_in, n_out), convolution and pool is set.

    shape: of its result. scale: what the input is multiplied with first. pool: (height, width) of the windows that are summed,
    each times `factor`. bias: of the result's units, or of the convolution's channels.
    """

    shape_in: tuple[int, ...]
    shape: tuple[int, ...]
    dense: np.ndarray | None = None
    convolution: Convolution | None = None
    pool: tuple[int, int] | None = None
    factor: float = 1.0
    scale: np.ndarray | None = field(default=None)
    bias: np.ndarray | None = None

    @property
    def plain(self) -> bool:
        return self.dense is None and self.convolution is None and self.pool is None


def identity(shape: tuple[int, ...]) -> Map:
    return Map(shape, shape)


def folded(map: Map, step: Step) -> Map:
    """The map with a linear node behind it. CannotCarry when one map cannot hold both."""
    kind, node = step.kind, step.node
    if kind in ("Linear", "Affine"):
        return _with_matrix(map, step, np.asarray(node.weight, np.float64), getattr(node, "bias", None))
    if kind in ("Conv1d", "Conv2d"):
        return _with_convolution(map, step)
    if kind in ("SumPool2d", "AvgPool2d"):
        return _with_pool(map, step)
    if kind == "Scale":
        return _with_scale(map, step, np.asarray(node.scale, np.float64))
    assert kind == "Flatten", f"no linear node: {kind}"
    return replace(map, shape=_flattened(map.shape, int(node.start_dim), int(node.end_dim), step))


def _flattened(shape: tuple[int, ...], start: int, end: int, step: Step) -> tuple[int, ...]:
    n = len(shape)
    start, end = start + n * (start < 0), end + n * (end < 0)
    if (start == 1 and n in (1, 3)) or start >= n:  # written for a batch axis that NIR does not have
        start = 0
    if not 0 <= start <= end < n:
        raise CannotCarry(step.name, f"flattens axes {start} to {end} of a shape {shape}")
    return (*shape[:start], int(np.prod(shape[start : end + 1])), *shape[end + 1 :])


def _with_matrix(map: Map, step: Step, weight: np.ndarray, bias: Any) -> Map:
    size = int(np.prod(map.shape))
    if weight.ndim != 2 or weight.shape[1] != size:
        raise CannotCarry(step.name, f"weights of shape {weight.shape} do not fit {size} units")
    if map.convolution is not None:
        raise CannotCarry(step.name, "stands behind a convolution without neurons in between")
    matrix = weight.T
    if map.pool is not None:
        matrix = _unpooled(map, matrix, step)
    elif map.dense is not None:
        matrix = map.dense @ matrix
    elif map.scale is not None:
        matrix = map.scale.ravel()[:, None] * matrix
    own = None if bias is None else np.asarray(bias, np.float64)
    if map.bias is not None:
        own = map.bias @ weight.T + (0 if own is None else own)
    return Map(map.shape_in, (weight.shape[0],), dense=matrix, bias=own)


def _unpooled(map: Map, matrix: np.ndarray, step: Step) -> np.ndarray:
    """The rows of a pooled map's matrix, repeated for every unit of its window."""
    assert map.pool is not None
    channels, height, width = map.shape_in
    if channels * height * width * matrix.shape[1] > GREATEST:
        raise CannotCarry(step.name, f"would need a matrix of {channels * height * width} x {matrix.shape[1]} before its pool")
    high, wide = height // map.pool[0], width // map.pool[1]
    rows = matrix.reshape(channels, high, wide, -1).repeat(map.pool[0], 1).repeat(map.pool[1], 2)
    full = np.zeros((channels, height, width, matrix.shape[1]))
    full[:, : rows.shape[1], : rows.shape[2]] = rows * map.factor
    if map.scale is not None:
        full *= np.broadcast_to(map.scale, map.shape_in)[..., None]
    return full.reshape(-1, matrix.shape[1])


def _with_convolution(map: Map, step: Step) -> Map:
    node, one = step.node, step.kind == "Conv1d"
    if map.dense is not None or map.convolution is not None:
        raise CannotCarry(step.name, "stands behind other weights without neurons in between")
    weight = np.asarray(node.weight, np.float64)
    shape = (map.shape[0], 1, map.shape[1]) if one and len(map.shape) == 2 else map.shape
    if one:
        weight = weight[:, :, None, :]
    if len(shape) != 3 or weight.ndim != 4 or weight.shape[1] * int(node.groups) != shape[0]:
        raise CannotCarry(step.name, f"weights of shape {np.shape(node.weight)} do not fit a stream of shape {map.shape}")
    stride, dilation = (_pair(value, one) for value in (node.stride, node.dilation))
    padding = _padding(node.padding, weight, stride, dilation, one, step)
    if map.scale is not None:
        weight = weight * _per_channel(map.scale, map.shape, step)[_inputs_of(weight, int(node.groups))][:, :, None, None]
    if map.pool is not None:
        weight, stride, padding = _through_pool(map, weight, stride, padding, dilation, step)
        shape, dilation = map.shape_in, (1, 1)  # type: ignore[assignment]
    convolution = Convolution(weight, shape, stride, padding, dilation, int(node.groups))  # type: ignore[arg-type]
    if min(convolution.shape_out) < 1:
        raise CannotCarry(step.name, f"its kernel does not fit into {shape[1:]} pixels")
    out = convolution.shape_out
    bias = np.asarray(node.bias, np.float64)
    return Map(map.shape_in, out, convolution=convolution, bias=bias if bias.any() else None)


def _inputs_of(weight: np.ndarray, groups: int) -> np.ndarray:
    """(c_out, c_in / groups): the input channel that each slice of the weight listens to."""
    per_group = weight.shape[0] // groups
    first = np.arange(weight.shape[0]) // per_group * weight.shape[1]
    return first[:, None] + np.arange(weight.shape[1])[None, :]


def _through_pool(map: Map, weight: np.ndarray, stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int],
                  step: Step) -> tuple[np.ndarray, tuple[int, int], tuple[int, int]]:
    """The convolution on the units before a pool: each weight stands for all units of its window."""
    assert map.pool is not None
    if any(n % k and p for n, k, p in zip(map.shape_in[1:], map.pool, padding, strict=True)):
        raise CannotCarry(step.name, f"pads behind a pool that leaves rows of {map.shape_in[1:]} pixels over")
    if dilation != (1, 1):
        spread = np.zeros((*weight.shape[:2], *((k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True))))
        spread[:, :, :: dilation[0], :: dilation[1]] = weight
        weight = spread
    weight = weight.repeat(map.pool[0], 2).repeat(map.pool[1], 3) * map.factor
    high, wide = map.pool
    return weight, (stride[0] * high, stride[1] * wide), (padding[0] * high, padding[1] * wide)


def _with_pool(map: Map, step: Step) -> Map:
    node = step.node
    kernel, stride, padding = (_pair(value, False) for value in (node.kernel_size, node.stride, node.padding))
    if len(map.shape) != 3:
        raise CannotCarry(step.name, f"pools a stream of shape {map.shape}, wanted (channels, height, width)")
    if kernel != stride or padding != (0, 0):
        raise CannotCarry(step.name, f"only windows side by side and without padding fold into weights, got kernel {kernel}, "
                          f"stride {stride}, padding {padding}")
    if not map.plain:
        raise CannotCarry(step.name, "pools what weights give before any neuron; put the pool behind the neurons")
    factor = 1.0 if step.kind == "SumPool2d" else 1.0 / (kernel[0] * kernel[1])
    shape = (map.shape[0], map.shape[1] // kernel[0], map.shape[2] // kernel[1])
    if min(shape) < 1:
        raise CannotCarry(step.name, f"its windows {kernel} do not fit into {map.shape[1:]} pixels")
    return replace(map, shape=shape, pool=kernel, factor=factor)


def _with_scale(map: Map, step: Step, scale: np.ndarray) -> Map:
    try:
        scale = np.broadcast_to(scale, map.shape)
    except ValueError:
        raise CannotCarry(step.name, f"a scale of shape {scale.shape} does not fit a stream of shape {map.shape}") from None
    if map.dense is not None:
        flat = scale.ravel()
        return replace(map, dense=map.dense * flat, bias=None if map.bias is None else map.bias * flat)
    if map.convolution is not None:
        channel = _per_channel(scale, map.shape, step)
        scaled = replace(map.convolution, weight=map.convolution.weight * channel[:, None, None, None])
        return replace(map, convolution=scaled, bias=None if map.bias is None else map.bias * channel)
    if map.pool is not None:
        channel = _per_channel(scale, map.shape, step)
        scale = np.broadcast_to(channel.reshape(-1, 1, 1), map.shape_in)
    return replace(map, scale=scale if map.scale is None else map.scale * scale)


def _per_channel(values: np.ndarray, shape: tuple[int, ...], step: Step) -> np.ndarray:
    """(channels,): the value that all pixels of a channel share."""
    rows = np.broadcast_to(values, shape).reshape(shape[0], -1)
    if (rows != rows[:, :1]).any():
        raise CannotCarry(step.name, "the pixels of a channel have different values; a convolution's neurons share theirs")
    return rows[:, 0]


def _pair(value: Any, one: bool) -> tuple[int, int]:
    given = np.atleast_1d(np.asarray(value)).astype(int)
    return (1, int(given[-1])) if one else (int(given[0]), int(given[-1]))


def _padding(padding: Any, weight: np.ndarray, stride: tuple[int, int], dilation: tuple[int, int], one: bool,
             step: Step) -> tuple[int, int]:
    text = str(padding.decode() if isinstance(padding, bytes) else padding)
    if text == "valid":
        return 0, 0
    if text == "same":
        reach = [d * (k - 1) for k, d in zip(weight.shape[2:], dilation, strict=True)]
        if stride != (1, 1) or any(r % 2 for r in reach):
            raise CannotCarry(step.name, "padding 'same' needs a stride of 1 and a kernel that is the same on both sides")
        return reach[0] // 2, reach[1] // 2
    if one:
        return 0, int(np.atleast_1d(padding)[-1])
    return _pair(padding, False)
