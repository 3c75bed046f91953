"""Packet and Format: what flows between the parts of a pipeline, and the decisions read from it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["spikes", "graded", "decisions"]

NO_TIMES = np.empty(0, np.int64)
NO_UNITS = np.empty(0, np.uint32)
NO_VALUES = np.empty(0, np.float32)
for _column in (NO_TIMES, NO_UNITS, NO_VALUES):
    _column.setflags(write=False)


@dataclass(frozen=True, slots=True)
class Format:
    """What the events of one stream are: their kind, the space their unit addresses, their time grid.

    `shape` is in C order: (2, 480, 640) is polarity, y, x; (700,) a cochlea; (10,) classes.
    `names` are the class names that labels and decisions of this stream refer to.
    `exit_at` on decisions: a decision of at least this confidence is final (see `decisions`).
    `rate_hz` on sampled signals: sample i is stamped round(i * 1e6 / rate_hz), so i is recovered exactly.

    >>> Format("spikes", (2, 34, 34)).size
    2312
    """

    kind: Kind
    shape: tuple[int, ...]
    tick_us: int | None = None  # the grid all t_us lie on, or None: continuous
    rate_hz: float | None = None
    names: tuple[str, ...] = ()
    exit_at: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "names", tuple(self.names))
        if self.kind not in ("spikes", "graded", "decisions"):
            raise ValueError(f"kind must be spikes, graded or decisions, got {self.kind!r}")
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"shape must hold positive lengths, got {self.shape}")
        if self.size > 2**32:
            raise ValueError(f"shape {self.shape} has more units than a uint32 can address")
        if self.tick_us is not None and self.tick_us < 1:
            raise ValueError(f"tick_us must be at least 1 or None, got {self.tick_us}")

    @property
    def size(self) -> int:
        """The number of units, the product of the shape."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        tick = "" if self.tick_us is None else f" on a {self.tick_us / 1000:g} ms tick"
        return f"{self.kind} of shape {'x'.join(map(str, self.shape))}{tick}"


@dataclass(frozen=True, slots=True, eq=False, init=False)
class Packet:
    """All that happened on one stream in [begin_us, end_us). end_us promises that nothing earlier will follow.

    An empty packet is legal: time passed, nothing happened. So is one of zero length.
    The arrays are made read-only. Types and lengths are checked here; `check` tests what needs a look at every event.

    >>> Packet(0, 10, np.array([3, 7]), np.array([1, 0], np.uint32)).n
    2
    """

    begin_us: int
    end_us: int
    t_us: np.ndarray  # (n,) int64 us, non-decreasing, inside [begin_us, end_us)
    unit: np.ndarray  # (n,) uint32, flat address inside Format.shape
    value: np.ndarray | None = None  # (n,) float32 on graded streams and decisions; None for spikes
    episode: int = 0  # sample number
    last: bool = False  # the episode ends at end_us
    label: int = -1  # ground truth, if the recording knows it
    lost: int = 0  # events known to be missing from this interval
    barrier: int = -1  # >= 0: snapshot after this packet, then pass it on

    # Written out because every operator makes one of each packet: half the time of a generated one with __post_init__.
    def __init__(self, begin_us: int, end_us: int, t_us: np.ndarray = NO_TIMES, unit: np.ndarray = NO_UNITS,
                 value: np.ndarray | None = None, episode: int = 0, last: bool = False, label: int = -1, lost: int = 0,
                 barrier: int = -1) -> None:
        if end_us < begin_us:
            raise ValueError(f"a packet's end_us {end_us} lies before its begin_us {begin_us}")
        if t_us is not NO_TIMES or unit is not NO_UNITS or (value is not None and value is not NO_VALUES):
            _check_columns(t_us, unit, value)
        _put_begin_us(self, begin_us)
        _put_end_us(self, end_us)
        _put_t_us(self, t_us)
        _put_unit(self, unit)
        _put_value(self, value)
        _put_episode(self, episode)
        _put_last(self, last)
        _put_label(self, label)
        _put_lost(self, lost)
        _put_barrier(self, barrier)

    @property
    def n(self) -> int:
        """The number of events."""
        return self.t_us.shape[0]

    def check(self, format: Format) -> None:
        """Raise ValueError unless every event fits the interval and the format: the test for packets from outside."""
        if (self.value is None) != (format.kind == "spikes"):
            raise ValueError(f"a stream of {format.kind} {'needs' if self.value is None else 'has no'} values")
        if self.n == 0:
            return
        t_us = self.t_us
        if t_us[0] < self.begin_us or t_us[-1] >= self.end_us:
            raise ValueError(f"times {t_us[0]}..{t_us[-1]} us leave the interval [{self.begin_us}, {self.end_us})")
        if (t_us[1:] < t_us[:-1]).any():
            raise ValueError(f"times run backwards inside the packet that begins at {self.begin_us} us")
        if (greatest := int(self.unit.max())) >= format.size:
            raise ValueError(f"unit {greatest} lies outside of {format}")


_put_begin_us, _put_end_us, _put_t_us, _put_unit, _put_value, _put_episode, _put_last, _put_label, _put_lost, _put_barrier = (
    getattr(Packet, name).__set__ for name in Packet.__slots__
)
_TIME, _UNIT, _VALUE = NO_TIMES.dtype, NO_UNITS.dtype, NO_VALUES.dtype


def _check_columns(t_us: np.ndarray, unit: np.ndarray, value: np.ndarray | None) -> None:
    """Raise unless the columns are of their types and of one length; make them read-only."""
    if t_us.dtype != _TIME or unit.dtype != _UNIT or (value is not None and value.dtype != _VALUE):
        kinds = (t_us.dtype, unit.dtype, None if value is None else value.dtype)
        raise TypeError(f"a packet holds t_us int64, unit uint32 and value float32 or None, got {kinds}")
    if t_us.ndim != 1 or t_us.shape != unit.shape or (value is not None and value.shape != t_us.shape):
        raise ValueError("a packet's t_us, unit and value must be vectors of one length")
    t_us.flags.writeable = False
    unit.flags.writeable = False
    if value is not None:
        value.flags.writeable = False


def with_flags(events: Packet, flags: Packet) -> Packet:
    """The interval and events of one packet under the episode, last, label, lost and barrier of another."""
    if events is flags:
        return events
    packet = object.__new__(Packet)  # past the constructor: the columns were checked when `events` was made
    _put_begin_us(packet, events.begin_us)
    _put_end_us(packet, events.end_us)
    _put_t_us(packet, events.t_us)
    _put_unit(packet, events.unit)
    _put_value(packet, events.value)
    _put_episode(packet, flags.episode)
    _put_last(packet, flags.last)
    _put_label(packet, flags.label)
    _put_lost(packet, flags.lost)
    _put_barrier(packet, flags.barrier)
    return packet


def same_events(a: Packet, b: Packet) -> bool:
    """Whether two packets hold bit-identical intervals and events."""
    if (a.begin_us, a.end_us, a.n, a.value is None) != (b.begin_us, b.end_us, b.n, b.value is None):
        return False
    values_equal = a.value is None or a.value.tobytes() == b.value.tobytes()  # type: ignore[union-attr]
    return np.array_equal(a.t_us, b.t_us) and np.array_equal(a.unit, b.unit) and values_equal


def join(first: Packet, second: Packet) -> Packet:
    """One packet over both intervals; `second` begins where `first` ends. The flags are those of `second`, losses add."""
    if first.end_us != second.begin_us:
        raise ValueError(f"packets do not meet: one ends at {first.end_us} us, the next begins at {second.begin_us} us")
    if first.n == 0 or second.n == 0:
        t_us, unit, value = (second.t_us, second.unit, second.value) if first.n == 0 else (first.t_us, first.unit, first.value)
    else:
        t_us = np.concatenate((first.t_us, second.t_us))
        unit = np.concatenate((first.unit, second.unit))
        value = None if first.value is None or second.value is None else np.concatenate((first.value, second.value))
    return Packet(first.begin_us, second.end_us, t_us, unit, value,
                  second.episode, second.last, second.label, first.lost + second.lost, second.barrier)


@dataclass(slots=True, eq=False)
class Decision:
    """One classification: the class of greatest value (the lowest index on a tie) and how sure it is."""

    t_us: int
    index: int
    name: str
    confidence: float
    scores: np.ndarray  # (classes,) float32, they sum to 1
    final: bool  # the episode's answer: confident enough to exit, or the last one of the episode

    def as_dict(self) -> dict[str, Any]:
        return {"t_us": self.t_us, "class": self.index, "name": self.name, "confidence": self.confidence, "final": self.final}


def decisions(packet: Packet, format: Format) -> Iterator[Decision]:
    """The decisions in a packet of kind "decisions": C events of one t_us each, one per class in order.

    A decision is final when its confidence reaches `format.exit_at`, or when it is the last of a packet that ends its episode.
    """
    classes, n, value = format.size, packet.n, packet.value
    if value is None or n % classes:
        raise ValueError(f"{n} events are not whole decisions over {classes} classes")
    # A confidence becomes a Python float exactly, so exit_at is rounded to float32 to be compared as the readout compares it.
    exit_at = math.inf if format.exit_at is None else float(np.float32(format.exit_at))
    for first in range(0, n, classes):
        scores = value[first : first + classes]
        index = int(scores.argmax())
        confidence = scores.item(index)
        final = confidence >= exit_at or (packet.last and first + classes == n)
        name = format.names[index] if format.names else str(index)
        yield Decision(packet.t_us.item(first), index, name, confidence, scores, final)
