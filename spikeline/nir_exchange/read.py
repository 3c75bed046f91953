"""A NIR graph in, a model out; and of every node what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from pipeline.layer_spec import (
    ConvLIFSpec,
    CubaLIFSpec,
    DelaySpec,
    LayerSpec,
    LIFSpec,
    ReadoutSpec,
    RecurrentLIFSpec,
)
from pipeline.model_file import Model
from pipeline.packet import Format
from spikeline.nir_exchange.fold import Map, folded, identity
from spikeline.nir_exchange.order import CannotCarry, Step, every_node, steps

Method = Literal["exact", "euler"]
Reset = Literal["as-told", "subtract", "to-zero"]
LINEAR = ("Linear", "Affine", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Scale", "Flatten")
NEURONS = ("LIF", "IF", "CubaLIF", "Threshold")
INTEGRATORS = ("LI", "I")
GREATEST_IDENTITY = 4096  # units of neurons without weights that get an identity matrix


@dataclass(frozen=True)
class Options:
    """How continuous time becomes ticks. reset: what a spike leaves of v; as-told: NIR's v_reset, or our own note beside it."""

    tick_us: int
    method: Method = "exact"
    reset: Reset = "as-told"
    names: tuple[str, ...] = ()


@dataclass
class Imported:
    """The layers so far, what became of each node, and the linear map that no neuron has taken up yet."""

    options: Options
    map: Map
    input: tuple[int, ...]
    layers: dict[str, LayerSpec] = field(default_factory=dict)
    fate: dict[str, str] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)

    def add(self, name: str, spec: LayerSpec, shape: tuple[int, ...], kind: str) -> None:
        own = name.replace(".", "_")
        self.layers[own] = spec
        self.fate[name] = f"{kind} {own}"
        for linear in self.waiting:
            self.fate[linear] = f"in the weights of {own}"
        self.waiting, self.map = [], identity(shape)


def import_graph(graph: Any, options: Options) -> tuple[Model, dict[str, str]]:
    """The model of a graph, and what became of each node by name. CannotCarry names the first node that a model cannot hold."""
    chain = steps(graph)
    shape = _input_shape(graph)
    state = Imported(options, identity(shape), shape)
    for place, step in enumerate(chain):
        _take(state, step, place == len(chain) - 1)
    _finish(state)
    first = next(iter(state.layers.values()))
    if isinstance(first, ConvLIFSpec):  # of Conv1d, a picture of one row
        shape = first.shape_in
    return Model(Format("spikes", shape), state.layers, "imported from NIR"), state.fate


def check_graph(graph: Any, options: Options) -> list[tuple[str, str, str, bool]]:
    """(name, kind, what becomes of it, whether it can be carried) of every node of a graph."""
    nodes = list(every_node(graph))
    try:
        _, fate = import_graph(graph, options)
        return [(name, type(node).__name__, fate.get(name, "the shape of the stream"), True) for name, node in nodes]
    except CannotCarry as error:
        rows = []
        for name, node in nodes:
            kind = type(node).__name__
            known = kind in (*LINEAR, *NEURONS, *INTEGRATORS, "Delay")
            reason = error.reason if name == error.node else "can be carried" if known else f"spikeline has no {kind}"
            rows.append((name, kind, reason, known and name != error.node))
        if all(row[3] for row in rows):  # what cannot be carried is the graph's form
            rows.append((error.node, "graph", error.reason, False))
        return rows


def _input_shape(graph: Any) -> tuple[int, ...]:
    node = next(iter(graph.inputs.values()))
    told = next(iter(node.input_type.values()))
    shape = () if told is None else tuple(int(n) for n in np.atleast_1d(told))
    if not shape or min(shape) < 1:
        raise CannotCarry("input", f"wanted the shape of the input, got {told}")
    return shape


def _take(state: Imported, step: Step, last: bool) -> None:
    if step.loop and step.kind != "LIF":
        raise CannotCarry(step.name, f"a {step.kind} that hears itself; only a LIF can")
    if step.kind in LINEAR:
        state.map = folded(state.map, step)
        state.waiting.append(step.name)
    elif step.kind == "Delay":
        _delay(state, step)
    elif step.kind in INTEGRATORS:
        if not last:
            raise CannotCarry(step.name, f"a {step.kind} inside the network; its values are no spikes: only the last can be one")
        _readout(state, step)
    elif step.kind in NEURONS:
        _neurons(state, step)
    else:
        raise CannotCarry(step.name, f"spikeline has no {step.kind}")


def _delay(state: Imported, step: Step) -> None:
    if state.waiting and not (state.map.plain and state.map.scale is None):
        raise CannotCarry(step.name, "stands behind weights; a delay moves spikes: put it behind neurons")
    size = int(np.prod(state.map.shape))
    delay_us = np.rint(np.broadcast_to(np.asarray(step.node.delay, np.float64), state.map.shape).ravel() * 1e6)
    if not np.isfinite(delay_us).all() or delay_us.min() < 0:
        raise CannotCarry(step.name, "its delays must be finite and at least 0")
    assert delay_us.size == size
    state.add(step.name, DelaySpec(delay_us.astype(np.int64)), state.map.shape, "delay")


@dataclass(frozen=True, eq=False)
class Leak:
    """What neurons keep over a tick (as tau_ms), what they take in of their drive, and the constant that a leak voltage adds."""

    tau_ms: np.ndarray
    gain: np.ndarray
    constant: np.ndarray


def _leak(tau_s: Any, r: Any, v_leak: Any, step: Step, options: Options) -> Leak:
    tau_ms, r, v_leak = (np.asarray(value, np.float64) for value in (np.asarray(tau_s, np.float64) * 1e3, r, v_leak))
    tick_ms = options.tick_us / 1e3
    if not (np.isfinite(tau_ms) & (tau_ms > 0)).all():
        raise CannotCarry(step.name, "its time constants must be above 0 and finite")
    keep = 1 - tick_ms / tau_ms if options.method == "euler" else np.exp(-tick_ms / tau_ms)
    if (keep < 0).any():
        raise CannotCarry(step.name, f"Euler's method needs ticks no longer than its time constant of {tau_ms.min():g} ms, "
                          f"got {tick_ms:g} ms")
    if options.method == "euler":
        with np.errstate(divide="ignore"):
            tau_ms = np.where(keep > 0, -tick_ms / np.log(keep), 0.0)
    return Leak(tau_ms, r * (1 - keep), v_leak * (1 - keep))


def _neurons(state: Imported, step: Step) -> None:
    node, kind, options = step.node, step.kind, state.options
    threshold = np.asarray(node.threshold if kind == "Threshold" else node.v_threshold, np.float64)
    if kind == "Threshold":
        leak = Leak(np.zeros_like(threshold), np.ones_like(threshold), np.zeros_like(threshold))
    elif kind == "IF":
        r = np.asarray(node.r, np.float64)
        leak = Leak(np.full_like(r, np.inf), r * options.tick_us / 1e6, np.zeros_like(r))
    elif kind == "LIF":
        leak = _leak(node.tau, node.r, node.v_leak, step, options)
    else:
        leak = _leak(node.tau_mem, node.r, node.v_leak, step, options)
    reset: Any = "to_zero" if kind == "Threshold" else _reset(step, options)
    map = _at_neurons(state, step)
    synapse = _leak(node.tau_syn, node.w_in, np.zeros_like(threshold), step, options) if kind == "CubaLIF" else None
    if map.convolution is not None:
        if synapse is not None:
            raise CannotCarry(step.name, "current-based neurons behind a convolution: spikeline's are behind dense weights")
        spec: LayerSpec = _conv_lif(map, leak, threshold, reset, step, options)
        state.add(step.name, spec, map.shape, "conv_lif")
        return
    leak, threshold = Leak(*(_flat(a, map.shape, step) for a in (leak.tau_ms, leak.gain, leak.constant))), _flat(
        threshold, map.shape, step)
    assert map.dense is not None
    if synapse is not None:
        gain = leak.gain * _flat(synapse.gain, map.shape, step)
        if (leak.constant != 0).any():
            raise CannotCarry(step.name, "a leak voltage that is not 0 of current-based neurons")
        bias = None if map.bias is None else map.bias * gain
        spec = CubaLIFSpec(map.dense * gain, leak.tau_ms, _flat(synapse.tau_ms, map.shape, step), threshold, options.tick_us,
                           reset, bias)
        state.add(step.name, spec, map.shape, "cuba_lif")
        return
    bias = _drive(map.bias, leak)
    weight = map.dense * leak.gain
    if step.loop:
        recurrent, delay_us = _recurrent(step, leak.gain, options)
        spec = RecurrentLIFSpec(weight, recurrent, delay_us, leak.tau_ms, threshold, options.tick_us, reset, bias)
        for name, _ in step.loop:
            state.fate[name] = f"in the recurrent weights of {step.name.replace('.', '_')}"
        state.add(step.name, spec, map.shape, "recurrent_lif")
    else:
        state.add(step.name, LIFSpec(weight, leak.tau_ms, threshold, options.tick_us, reset, bias), map.shape, "lif")


def _reset(step: Step, options: Options) -> Any:
    if options.reset != "as-told":
        return options.reset.replace("-", "_")
    note = step.node.metadata.get("reset") if isinstance(step.node.metadata, dict) else None
    note = note.decode() if isinstance(note, bytes) else note
    if note in ("subtract", "to_zero"):
        return note
    v_reset = np.asarray(step.node.v_reset)
    if (v_reset != 0).any():
        raise CannotCarry(step.name, f"resets to {float(v_reset.max()):g}; spikeline resets to 0 or subtracts the threshold: say "
                          "--reset subtract or --reset to-zero")
    return "to_zero"


def _at_neurons(state: Imported, step: Step) -> Map:
    """The map in front of neurons, with weights: the identity where the graph has none."""
    map = state.map
    if map.dense is not None or map.convolution is not None:
        return map
    size = int(np.prod(map.shape))
    if len(map.shape) == 3:
        kernel = np.ones((map.shape[0], 1, 1, 1))
        node = _Bare(weight=kernel, stride=1, padding=0, dilation=1, groups=map.shape[0], bias=np.zeros(map.shape[0]))
        return folded(map, Step(step.name, _as(node, "Conv2d")))
    if size > GREATEST_IDENTITY:
        raise CannotCarry(step.name, f"{size} neurons without weights in front of them, {GREATEST_IDENTITY} is the most")
    return replace(map, dense=np.diag(np.ones(size) if map.scale is None else map.scale.ravel()))


class _Bare:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


def _as(node: Any, kind: str) -> Any:
    """The node under the name of another kind."""
    return type(kind, (_Bare,), {})(**node.__dict__)


def _conv_lif(map: Map, leak: Leak, threshold: np.ndarray, reset: Any, step: Step, options: Options) -> ConvLIFSpec:
    convolution = map.convolution
    assert convolution is not None
    shape = convolution.shape_out
    tau_ms, gain, constant, limit = (_per_channel(a, shape, map.shape, step)
                                     for a in (leak.tau_ms, leak.gain, leak.constant, threshold))
    bias = _drive(map.bias, Leak(tau_ms, gain, constant))
    return ConvLIFSpec(convolution.weight * gain[:, None, None, None], tau_ms, limit, convolution.shape_in, convolution.stride,
                       convolution.padding, convolution.dilation, convolution.groups, tick_us=options.tick_us, reset=reset,
                       bias=bias)


def _drive(bias: np.ndarray | None, leak: Leak) -> np.ndarray | None:
    """What a tick adds to v without any spike."""
    total = leak.constant + (0 if bias is None else bias * leak.gain)
    return total if (total != 0).any() else None


def _flat(values: np.ndarray, shape: tuple[int, ...], step: Step) -> np.ndarray:
    if values.size == np.prod(shape):  # a row of channels x length is the same as channels x 1 x length
        return values.ravel().copy()
    try:
        return np.broadcast_to(values, shape).ravel().copy()
    except ValueError:
        raise CannotCarry(step.name, f"its parameters of shape {values.shape} do not fit a stream of shape {shape}") from None


def _per_channel(values: np.ndarray, shape: tuple[int, ...], told: tuple[int, ...], step: Step) -> np.ndarray:
    rows = _flat(values, told, step).reshape(shape[0], -1)
    if (rows != rows[:, :1]).any():
        raise CannotCarry(step.name, "the neurons of a channel have different parameters; behind a convolution they share them")
    return rows[:, 0]


def _recurrent(step: Step, gain: np.ndarray, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """The recurrent weights, and the delays beyond the tick that every recurrent spike takes."""
    n = gain.size
    map, delay_us = identity((n,)), np.zeros(n, np.int64)
    for name, node in step.loop:
        inner = Step(name, node)
        if inner.kind == "Delay" and map.plain and map.scale is None:
            ticks = np.rint(np.broadcast_to(np.asarray(node.delay, np.float64), (n,)) * 1e6 / options.tick_us) - 1
            delay_us += np.maximum(ticks, 0).astype(np.int64) * options.tick_us
        elif inner.kind in ("Linear", "Affine", "Scale"):
            map = folded(map, inner)
        else:
            raise CannotCarry(name, f"a {inner.kind} on the way of neurons back to themselves")
    if map.bias is not None and map.bias.any():
        raise CannotCarry(step.loop[-1][0], "recurrent weights with a bias; put it into the weights in front of the neurons")
    matrix = map.dense if map.dense is not None else np.diag(np.ones(n) if map.scale is None else map.scale)
    if matrix.shape != (n, n):
        raise CannotCarry(step.loop[-1][0], f"recurrent weights of shape {matrix.shape[::-1]} for {n} neurons")
    return matrix * gain, delay_us


def _readout(state: Imported, step: Step) -> None:
    node, options = step.node, state.options
    if step.kind == "I":
        r = np.asarray(node.r, np.float64)
        leak = Leak(np.full_like(r, np.inf), r * options.tick_us / 1e6, np.zeros_like(r))
    else:
        leak = _leak(node.tau, node.r, node.v_leak, step, options)
    if state.map.convolution is not None or len(state.map.shape) == 3:
        raise CannotCarry(step.name, "reads out a convolution; flatten it into Linear weights, one row a class")
    map = _at_neurons(state, step)
    assert map.dense is not None
    leak = Leak(*(_flat(a, map.shape, step) for a in (leak.tau_ms, leak.gain, leak.constant)))
    names = _names(options.names, map.shape[0])
    spec = ReadoutSpec("membrane", names, map.dense * leak.gain, _drive(map.bias, leak), leak.tau_ms, options.tick_us)
    state.add(step.name, spec, map.shape, "readout")


def _finish(state: Imported) -> None:
    """A network whose end is no integrator gets a readout of its own: it counts the spikes, or the sum of the last weights."""
    if state.layers and isinstance(list(state.layers.values())[-1], ReadoutSpec):
        return
    map = state.map
    if map.convolution is not None or map.pool is not None:
        raise CannotCarry(state.waiting[-1], "the graph ends in it; flatten it into Linear weights, one row a class")
    if map.bias is not None:
        raise CannotCarry(state.waiting[-1], "the graph ends in a bias that counts every tick; end it in an LI node")
    names = _names(state.options.names, int(np.prod(map.shape)))
    weight = map.dense if map.dense is not None or map.scale is None else np.diag(map.scale.ravel())
    name = "readout"
    while name in state.layers:
        name += "_"
    state.layers[name] = ReadoutSpec("spike_count", names, weight)
    for linear in state.waiting:
        state.fate[linear] = f"in the weights of {name}"


def _names(names: Sequence[str], classes: int) -> tuple[str, ...]:
    if names and len(names) != classes:
        raise ValueError(f"--names: {len(names)} names for {classes} classes")
    return tuple(names) or tuple(str(number) for number in range(classes))
