"""What a trained layer IS: its physics, with shapes and units checked at construction.

Trainer and runtime both build from these specs. Arrays are float32, C-contiguous and read-only; times are held as
physics (tau in ms, delays in us), never as coefficients: a coefficient is computed in one place, `decay`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

Reset = Literal["subtract", "to_zero"]
Score = Literal["spike_count", "membrane", "softmax_sum"]


def decay(tau_ms: np.ndarray, step_us: float) -> np.ndarray:
    """The factor that a state keeps over a step: d = exp(-step / tau), in float64, stored as float32.

    tau_ms: any shape, ms, 0 <= tau <= inf (inf: never forgets, d = 1; 0: keeps nothing, d = 0). step_us: > 0, us.

    >>> float(decay(np.array([10.0]), 10_000)[0])
    0.3678794503211975
    """
    tau_us = np.asarray(tau_ms, np.float64) * 1000.0
    with np.errstate(divide="ignore"):
        return np.exp(-np.float64(step_us) / tau_us).astype(np.float32)


def _vector(name: str, values: object, n: int, *, least: float = -np.inf, finite: bool = True) -> np.ndarray:
    """`values` as a read-only float32 vector of length n; a single number is repeated."""
    array = np.asarray(values, np.float32)
    if array.ndim == 0:
        array = np.full(n, array, np.float32)
    if array.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), got {array.shape}")
    return _checked(name, array, least, finite)


def _matrix(name: str, values: object) -> np.ndarray:
    array = np.asarray(values, np.float32)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must have shape (n_in, n_out), got {array.shape}")
    return _checked(name, array, -np.inf, True)


def _checked(name: str, array: np.ndarray, least: float, finite: bool) -> np.ndarray:
    if np.isnan(array).any() or (finite and np.isinf(array).any()):
        raise ValueError(f"{name} holds values that are not finite numbers")
    if (array < least).any():
        raise ValueError(f"{name} must be at least {least:g}, got {array.min():g}")
    array = np.array(array, np.float32, order="C")
    array.setflags(write=False)
    return array


def _check_tick(tick_us: int | None) -> None:
    if tick_us is not None and tick_us < 1:
        raise ValueError(f"tick_us must be at least 1 or None (event mode), got {tick_us}")


@dataclass(frozen=True, eq=False)
class LIFSpec:
    """Leaky integrate-and-fire neurons behind a dense weight matrix.

    At every tick, in this order: v <- d v + sum of w[i] over this tick's input spikes i (+ bias); where v >= threshold emit
    a spike and reset: v <- v - threshold (`subtract`) or v <- 0 (`to_zero`). d = exp(-tick/tau).

    weight (n_in, n_out); tau_ms (n_out,) or one number, 0..inf; threshold (n_out,) or one number, > 0;
    tick_us: length of a tick, or None for event mode (a tick of 1 us with d over the true gap);
    bias (n_out,) or None: a constant input of every tick (needs a tick).

    Source: Gerstner and Kistler, Spiking Neuron Models (2002), section 4.1, discretised with an instantaneous synapse.
    """

    weight: np.ndarray
    tau_ms: np.ndarray
    threshold: np.ndarray
    tick_us: int | None = None
    reset: Reset = "subtract"
    bias: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _matrix("weight", self.weight))
        object.__setattr__(self, "tau_ms", _vector("tau_ms", self.tau_ms, self.n_out, least=0, finite=False))
        object.__setattr__(self, "threshold", _vector("threshold", self.threshold, self.n_out))
        if (self.threshold <= 0).any():
            raise ValueError("threshold must be above 0, or silent neurons would fire")
        _check_tick(self.tick_us)
        if self.reset not in ("subtract", "to_zero"):
            raise ValueError(f"reset must be subtract or to_zero, got {self.reset!r}")
        if self.bias is not None:
            if self.tick_us is None:
                raise ValueError("a bias is an input of every tick: event mode (tick_us None) has none")
            object.__setattr__(self, "bias", _vector("bias", self.bias, self.n_out))

    @property
    def n_in(self) -> int:
        return self.weight.shape[0]

    @property
    def n_out(self) -> int:
        return self.weight.shape[1]

    def decay(self) -> np.ndarray:
        """(n_out,) float32: what v keeps over one tick (in event mode: over 1 us)."""
        return decay(self.tau_ms, self.tick_us or 1)

    def may_fire_in_silence(self) -> np.ndarray:
        """(n_out,) bool: where the bias alone drives v to the threshold, b / (1 - d) >= threshold."""
        if self.bias is None:
            return np.zeros(self.n_out, bool)
        d, b = self.decay().astype(np.float64), self.bias.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            resting = np.where(b > 0, b / (1.0 - d), 0.0)
        return resting >= self.threshold


@dataclass(frozen=True, eq=False)
class DelaySpec:
    """Axonal delays: every spike of unit i leaves delay_us[i] later. delay_us (n,) int64 us, >= 0."""

    delay_us: np.ndarray

    def __post_init__(self) -> None:
        array = np.array(self.delay_us)
        if array.ndim != 1 or not array.size or not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f"delay_us must be a vector of whole microseconds, got {array.dtype} of shape {array.shape}")
        if array.min() < 0:
            raise ValueError(f"delay_us must be at least 0, got {array.min()}")
        array = array.astype(np.int64)
        array.setflags(write=False)
        object.__setattr__(self, "delay_us", array)

    @property
    def n_in(self) -> int:
        return self.delay_us.shape[0]

    @property
    def n_out(self) -> int:
        return self.delay_us.shape[0]


@dataclass(frozen=True, eq=False)
class ReadoutSpec:
    """How class scores come from spikes; a decision's values are softmax(score / temperature).

    `spike_count`: score = weight^T counts + bias, the counts being the spikes of each input unit so far.
    `membrane`: v <- d v + sum of w[i] + bias at every tick, score = v after the last closed tick.
    `softmax_sum`: the same v; score = sum over all ticks so far of softmax(v)
    (Hammouamri, Khalfaoui-Hassani, Masquelier 2024, "Learning delays in SNNs using DCLS").

    weight (n_in, classes); None means the identity: input unit c is class c. tau_ms (classes,) or one number and tick_us
    are needed by membrane and softmax_sum, and are None for spike_count. temperature > 0. names: classes names.
    """

    score: Score
    names: tuple[str, ...]
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    tau_ms: np.ndarray | None = None
    tick_us: int | None = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if not self.names or len(set(self.names)) != len(self.names):
            raise ValueError(f"names must be different class names, got {self.names}")
        if self.weight is not None:
            object.__setattr__(self, "weight", _matrix("weight", self.weight))
            if self.weight.shape[1] != self.n_out:
                raise ValueError(f"weight has {self.weight.shape[1]} columns for {self.n_out} classes")
        if self.bias is not None:
            object.__setattr__(self, "bias", _vector("bias", self.bias, self.n_out))
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        _check_tick(self.tick_us)
        self._check_integrator()

    def _check_integrator(self) -> None:
        if self.score == "spike_count":
            if self.tau_ms is not None or self.tick_us is not None:
                raise ValueError("a spike_count readout has no tau_ms and no tick_us")
        elif self.score in ("membrane", "softmax_sum"):
            if self.tau_ms is None or self.tick_us is None:
                raise ValueError(f"a {self.score} readout needs tau_ms and tick_us")
            object.__setattr__(self, "tau_ms", _vector("tau_ms", self.tau_ms, self.n_out, least=0, finite=False))
        else:
            raise ValueError(f"score must be spike_count, membrane or softmax_sum, got {self.score!r}")

    @property
    def n_in(self) -> int:
        return self.n_out if self.weight is None else self.weight.shape[0]

    @property
    def n_out(self) -> int:
        return len(self.names)

    def decay(self) -> np.ndarray:
        """(classes,) float32: what v keeps over one tick."""
        if self.tau_ms is None or self.tick_us is None:
            raise ValueError("a spike_count readout has no decay")
        return decay(self.tau_ms, self.tick_us)


LayerSpec: TypeAlias = LIFSpec | DelaySpec | ReadoutSpec
SPECS: dict[str, type] = {"lif": LIFSpec, "delay": DelaySpec, "readout": ReadoutSpec}


def spec_type(spec: LayerSpec) -> str:
    """The name of a spec's kind in a model card."""
    return next(name for name, cls in SPECS.items() if isinstance(spec, cls))
