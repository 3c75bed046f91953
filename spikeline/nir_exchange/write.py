"""A model in, a NIR graph out."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.layer_spec import (
    ConvLIFSpec,
    CubaLIFSpec,
    DelaySpec,
    LayerSpec,
    LIFSpec,
    ReadoutSpec,
    RecurrentLIFSpec,
    spec_type,
)
from pipeline.model_file import Model
from spikeline.nir_exchange.order import CannotCarry


def export_model(model: Model) -> tuple[Any, list[str]]:
    """The graph of a model, and a line for each thing that NIR cannot say. CannotCarry for a layer that it cannot hold.

    Leaks are written for the exact solution over a tick: r = 1 / (1 - d), so that a spike adds its weight to v. The tick is a
    note in the graph's metadata, and so is a reset that subtracts: NIR knows only resets to a voltage.
    """
    import nir

    writer = _Writer(nir, tuple(model.input.shape))
    for name, spec in model.layers.items():
        writer.add(name, spec)
    return writer.graph(), writer.notes


class _Writer:
    def __init__(self, nir: Any, shape: tuple[int, ...]) -> None:
        self._nir, self._shape = nir, shape
        self._nodes: dict[str, Any] = {"input": nir.Input(input_type={"input": np.array(shape)})}
        self._edges: list[tuple[str, str]] = []
        self._last = "input"
        self._tick_us = 0
        self.notes: list[str] = []

    def add(self, name: str, spec: LayerSpec) -> None:
        if isinstance(spec, DelaySpec):
            self._chain(name, self._nir.Delay(spec.delay_us.reshape(self._shape) / 1e6))
            return
        tick_us = getattr(spec, "tick_us", None)
        if isinstance(spec, LIFSpec | CubaLIFSpec | ConvLIFSpec) and tick_us is None:
            raise CannotCarry(name, "runs event by event (tick none); a graph is written for a tick")
        self._tick_us = tick_us or self._tick_us
        if isinstance(spec, ConvLIFSpec):
            self._convolution(name, spec)
        elif isinstance(spec, LIFSpec | RecurrentLIFSpec | CubaLIFSpec):
            self._matrix(f"{name}_weight", spec.weight, spec.bias)
            self._chain(name, self._cuba(spec) if isinstance(spec, CubaLIFSpec) else self._neurons(name, spec, (spec.n_out,)))
            if isinstance(spec, RecurrentLIFSpec):
                self._loop(name, spec)
            self._say_reset(name, spec.reset)
        elif isinstance(spec, ReadoutSpec):
            self._readout(name, spec)
        else:
            raise CannotCarry(name, f"NIR has no {spec_type(spec)}")

    def graph(self) -> Any:
        nodes = self._nodes | {"output": self._nir.Output(output_type={"output": np.array(self._shape)})}
        note = {"tick_us": self._tick_us} if self._tick_us else {}
        return self._nir.NIRGraph(nodes, [*self._edges, (self._last, "output")], metadata=note, type_check=False)

    def _chain(self, name: str, node: Any) -> None:
        self._nodes[name] = node
        self._edges.append((self._last, name))
        self._last = name

    def _flat(self, n: int) -> None:
        if len(self._shape) > 1:
            self._chain(f"flatten_{len(self._nodes)}", self._nir.Flatten({"input": np.array(self._shape)}, 0, -1))
            self._shape = (n,)

    def _matrix(self, name: str, weight: np.ndarray, bias: np.ndarray | None) -> None:
        self._flat(weight.shape[0])
        linear = self._nir.Linear(weight.T.copy()) if bias is None else self._nir.Affine(weight.T.copy(), bias.copy())
        self._chain(name, linear)
        self._shape = (weight.shape[1],)

    def _neurons(self, name: str, spec: LIFSpec | RecurrentLIFSpec | ConvLIFSpec, shape: tuple[int, ...]) -> Any:
        def full(values: np.ndarray) -> np.ndarray:
            return np.broadcast_to(values.astype(np.float64).reshape(-1, *(1,) * (len(shape) - 1)), shape).copy()

        threshold, zero = full(spec.threshold), np.zeros(shape)
        kinds = {"inf": np.isinf(spec.tau_ms).all(), "zero": (spec.tau_ms == 0).all()}
        assert spec.tick_us is not None
        if kinds["inf"]:
            return self._nir.IF(r=np.full(shape, 1e6 / spec.tick_us), v_threshold=threshold, v_reset=zero)
        if kinds["zero"]:
            return self._nir.Threshold(threshold)
        if np.isinf(spec.tau_ms).any() or (spec.tau_ms == 0).any():
            raise CannotCarry(name, "neurons that never forget, or keep nothing, beside others: a NIR node has one kind")
        keep = np.exp(-spec.tick_us / (spec.tau_ms.astype(np.float64) * 1e3))
        return self._nir.LIF(tau=full(spec.tau_ms) / 1e3, r=1 / (1 - full(keep)), v_leak=zero, v_threshold=threshold,
                             v_reset=zero)

    def _cuba(self, spec: CubaLIFSpec) -> Any:
        tau, syn = (values.astype(np.float64) for values in (spec.tau_ms, spec.tau_syn_ms))
        if not (np.isfinite(tau) & np.isfinite(syn) & (tau > 0) & (syn > 0)).all():
            raise CannotCarry("cuba_lif", "time constants of 0 or inf; NIR's are above 0 and finite")
        assert spec.tick_us is not None
        keep, held = (np.exp(-spec.tick_us / (values * 1e3)) for values in (tau, syn))
        zero = np.zeros_like(tau)
        return self._nir.CubaLIF(tau_syn=syn / 1e3, tau_mem=tau / 1e3, r=1 / (1 - keep), v_leak=zero, v_reset=zero,
                                 v_threshold=spec.threshold.astype(np.float64), w_in=1 / (1 - held))

    def _convolution(self, name: str, spec: ConvLIFSpec) -> None:
        if spec.pooled:
            raise CannotCarry(name, "takes the maximum over windows between convolution and neurons; NIR has no such pool")
        if self._shape != spec.shape_in:
            raise CannotCarry(name, f"takes a stream of shape {spec.shape_in} behind one of shape {self._shape}")
        bias = np.zeros(spec.c_out, np.float32) if spec.bias is None else spec.bias.copy()
        self._chain(f"{name}_weight", self._nir.Conv2d(
            input_shape=spec.shape_in[1:], weight=spec.weight.copy(), stride=spec.stride, padding=spec.padding,
            dilation=spec.dilation, groups=spec.groups, bias=bias))
        self._shape = spec.shape_out
        self._chain(name, self._neurons(name, spec, spec.shape_out))
        self._say_reset(name, spec.reset)

    def _loop(self, name: str, spec: RecurrentLIFSpec) -> None:
        """neurons -> (delay ->) weights -> neurons; the tick that every recurrent spike takes is the reader's to add."""
        back = f"{name}_recurrent"
        self._nodes[back] = self._nir.Linear(spec.recurrent.T.copy())
        if spec.delay_us.any():
            self._nodes[f"{name}_delay"] = self._nir.Delay((spec.delay_us + spec.tick_us) / 1e6)
            self._edges += [(name, f"{name}_delay"), (f"{name}_delay", back), (back, name)]
        else:
            self._edges += [(name, back), (back, name)]

    def _readout(self, name: str, spec: ReadoutSpec) -> None:
        if spec.score == "spike_count":
            if spec.bias is not None:
                raise CannotCarry(name, "counts spikes and adds a bias once; NIR has no such node")
            if spec.weight is not None:
                self._matrix(f"{name}_weight", spec.weight, None)
            return
        weight = np.eye(spec.n_in, dtype=np.float32) if spec.weight is None else spec.weight
        self._matrix(f"{name}_weight", weight, spec.bias)
        assert spec.tau_ms is not None
        assert spec.tick_us is not None
        tau = spec.tau_ms.astype(np.float64)
        if np.isinf(tau).all():
            self._chain(name, self._nir.I(r=np.full(tau.shape, 1e6 / spec.tick_us)))
        elif (np.isfinite(tau) & (tau > 0)).all():
            keep = np.exp(-spec.tick_us / (tau * 1e3))
            self._chain(name, self._nir.LI(tau=tau / 1e3, r=1 / (1 - keep), v_leak=np.zeros_like(tau)))
        else:
            raise CannotCarry(name, "time constants of 0, or of inf beside others; NIR's are above 0")
        if spec.score != "membrane":
            self.notes.append(f"{name}: NIR holds its membranes, not that the score is {spec.score}")

    def _say_reset(self, name: str, reset: str) -> None:
        if reset == "subtract" and type(self._nodes[name]).__name__ != "Threshold":
            self._nodes[name].metadata["reset"] = "subtract"
            self.notes.append(f"{name}: a spike subtracts the threshold; NIR can only note that beside the node, and other "
                              "readers may reset to 0")
