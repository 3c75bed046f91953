"""What specs have in common: sizes, the checks of their arrays, and the one place where a time constant becomes a coefficient."""

from __future__ import annotations

from typing import Any

import numpy as np


class Dense:
    """The sizes of a layer whose every input has a weight to every neuron: weight (n_in, n_out)."""

    weight: np.ndarray

    @property
    def n_in(self) -> int:
        return self.weight.shape[0]

    @property
    def n_out(self) -> int:
        return self.weight.shape[1]


def decay(tau_ms: np.ndarray, step_us: float) -> np.ndarray:
    """The factor that a state keeps over a step: d = exp(-step / tau), in float64, stored as float32.

    tau_ms: any shape, ms, 0 <= tau <= inf (inf: never forgets, d = 1; 0: keeps nothing, d = 0). step_us: > 0, us.

    >>> float(decay(np.array([10.0]), 10_000)[0])
    0.3678794503211975
    """
    tau_us = np.asarray(tau_ms, np.float64) * 1000.0
    with np.errstate(divide="ignore"):
        return np.exp(-np.float64(step_us) / tau_us).astype(np.float32)


def vector(name: str, values: object, n: int, *, least: float = -np.inf, above: float = -np.inf,
           finite: bool = True) -> np.ndarray:
    """`values` as a read-only float32 vector of length n; a single number is repeated."""
    array = np.asarray(values, np.float32)
    if array.ndim == 0:
        array = np.full(n, array, np.float32)
    if array.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), got {array.shape}")
    if (array <= above).any() and above > -np.inf:
        raise ValueError(f"{name} must be above {above:g}, got {array.min():g}")
    return checked(name, array, least, finite)


def put(spec: object, name: str, value: object) -> None:
    """Set a field of a spec that is under construction: specs are frozen."""
    object.__setattr__(spec, name, value)


def put_vectors(spec: object, n: int, *names: str, least: float = -np.inf, above: float = -np.inf, finite: bool = True) -> None:
    """Replace fields by what `vector` makes of them."""
    for name in names:
        put(spec, name, vector(name, getattr(spec, name), n, least=least, above=above, finite=finite))


def put_times(spec: object, n: int, *names: str) -> None:
    """Replace time constants, 0 to infinity, by vectors of length n."""
    put_vectors(spec, n, *names, least=0, finite=False)


def put_bias(spec: Any, n: int) -> None:
    """Replace the bias, if there is one, by a vector of length n."""
    if spec.bias is None:
        return
    if spec.tick_us is None:
        raise ValueError("a bias is an input of every tick: event mode (tick_us None) has none")
    put_vectors(spec, n, "bias")


def check_reset(reset: str) -> None:
    if reset not in ("subtract", "to_zero"):
        raise ValueError(f"reset must be subtract or to_zero, got {reset!r}")


def matrix(name: str, values: object) -> np.ndarray:
    array = np.asarray(values, np.float32)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must have shape (n_in, n_out), got {array.shape}")
    return checked(name, array, -np.inf, True)


def checked(name: str, array: np.ndarray, least: float, finite: bool) -> np.ndarray:
    if np.isnan(array).any() or (finite and np.isinf(array).any()):
        raise ValueError(f"{name} holds values that are not finite numbers")
    if (array < least).any():
        raise ValueError(f"{name} must be at least {least:g}, got {array.min():g}")
    array = np.array(array, np.float32, order="C")
    array.setflags(write=False)
    return array


def delays(name: str, values: object, shapes: tuple[tuple[int, ...], ...], tick_us: int) -> np.ndarray:
    """`values` as read-only int64 microseconds of one of `shapes`, none negative, all whole ticks."""
    array = np.array(values)
    if array.shape not in shapes or not np.issubdtype(array.dtype, np.integer):
        wanted = " or ".join(map(str, shapes))
        raise ValueError(f"{name} must be whole microseconds of shape {wanted}, got {array.dtype} of shape {array.shape}")
    array = array.astype(np.int64, order="C")
    if array.min() < 0:
        raise ValueError(f"{name} must be at least 0, got {array.min()}")
    if (array % tick_us).any():
        raise ValueError(f"{name} must be whole ticks of {tick_us} us, got {array[array % tick_us > 0][0]} us")
    array.setflags(write=False)
    return array


def check_tick(tick_us: int | None, *, needed: bool = False) -> None:
    if needed and tick_us is None:
        raise ValueError("this kind of layer needs a tick, got tick_us None (event mode)")
    if tick_us is not None and tick_us < 1:
        raise ValueError(f"tick_us must be at least 1 or None (event mode), got {tick_us}")
