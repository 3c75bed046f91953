"""Events from the options themselves: a list goes in, packets come out. For tests of pipelines and of the runtime."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer

from pipeline.contract import ReplayConfig, Source, State
from pipeline.packet import NO_VALUES, Format, Packet
from sources.cut import Events, cut

HEARTBEAT_S = 0.02


@dataclass(frozen=True)
class Crash:
    """A mark among packets: here the source fails with this message."""

    message: str = "a crash that was asked for"


@dataclass(frozen=True)
class Pause:
    """A mark among packets: here time stands still for `ms`, and then until a file named `until` exists.

    One packet of zero length is handed out at once and every 20 ms while the pause lasts, so that whoever draws stays in control.
    """

    ms: float = 0.0
    until: str | None = None


@dataclass(frozen=True)
class End:
    """A mark among packets: here the stream ends, whatever follows."""


Item: TypeAlias = Packet | Crash | Pause | End
MARKS: dict[str, type[Crash | Pause | End]] = {"crash": Crash, "pause": Pause, "end": End}
COLUMNS = {"t_us": np.int64, "unit": np.uint32, "value": np.float32}


def _item(value: Any) -> Any:
    """An item from its plain form: {crash: {message}}, {pause: {ms, until}}, {end: {}} or the fields of a packet."""
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and (mark := MARKS.get(name := next(iter(value)))) is not None:
        return _made(mark, value[name] or {}, name)
    columns = {name: _column(name, value.get(name), dtype) for name, dtype in COLUMNS.items() if value.get(name) is not None}
    return _made(Packet, value | columns, "a packet")


def _column(name: str, values: Any, dtype: type) -> np.ndarray:
    try:
        return np.array(values, dtype)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"a packet's {name} must be a list of {np.dtype(dtype).name}, got {values!r:.60}") from None


def _made(cls: type[Any], options: dict[str, Any], name: str) -> Any:
    if unknown := set(options) - {field.name for field in fields(cls)}:
        raise ValueError(f"{name} has no {', '.join(sorted(unknown))}")
    try:
        return cls(**options)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None


def _plain(item: Item) -> dict[str, Any]:
    """The plain form of an item."""
    if isinstance(item, Packet):
        columns = {field.name: getattr(item, field.name) for field in fields(item)}
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in columns.items()}
    return {next(name for name, mark in MARKS.items() if isinstance(item, mark)): asdict(item)}


AnyItem = Annotated[Any, BeforeValidator(_item), PlainSerializer(_plain, when_used="json")]


class MemoryConfig(ReplayConfig):
    """Events written out in the options, as one episode that begins at 0, or packets and marks given by a program.

    Out: spikes of `shape`, graded when the events are [t_us, unit, value], or whatever `format` says. t_us in us, non-decreasing,
    in [0, end_ms); unit is a flat address inside the shape (C order). The events are cut by packet_ms and max_events.
    `items`, instead of events: packets that are handed out as they are, and between them the marks Crash (the source fails),
    Pause (nothing new for some ms, or until a file exists; empty packets meanwhile) and End (the stream ends).
    Errors: events out of order, outside of the interval or of the shape; neither shape nor format; both events and items.

    Example: {type: memory, shape: [2, 4, 4], events: [[1000, 5], [2500, 21]], end_ms: 100, label: 3}

    Source: the mock back ends of network libraries, where a list of messages stands for the network.
    """

    type: Literal["memory"] = "memory"
    shape: Annotated[tuple[int, ...], Field(min_length=1)] | None = Field(None, description="shape of the stream; or give format")
    events: tuple[tuple[int, int] | tuple[int, int, float], ...] = Field((), description="[t_us, unit] or [t_us, unit, value]")
    end_ms: float | None = Field(None, ge=0, description="when the episode ends; none: just after its last event")
    label: int = Field(-1, ge=-1, description="the class that the episode shows; -1: not known")
    format: Format | None = Field(None, description="kind, shape and the rest of the stream's format; instead of shape")
    items: tuple[AnyItem, ...] = Field((), description="packets and marks, instead of events")

    def check(self) -> Format:
        if (self.format is None) == (self.shape is None):
            raise ValueError("memory needs a shape, as in shape: [2, 4, 4], or a format, and not both")
        if self.items and self.events:
            raise ValueError("memory takes events or items, not both")
        for index, item in enumerate(self.items):
            if not isinstance(item, Item):
                raise ValueError(f"items[{index}] must be a packet, a crash, a pause or an end, got {type(item).__name__}")
        format = self._format()
        for place, packet in self._packets(format):
            try:
                packet.check(format)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None
            if format.names and packet.label >= len(format.names):
                raise ValueError(f"{place}: label {packet.label} has no name, there are {len(format.names)}")
        return format

    def prepare(self) -> Callable[[State | None], Source]:
        format = self.check()
        return lambda state: Memory(self, format, state)

    def episode(self, format: Format) -> Packet:
        """The events as one packet."""
        t_us = np.array([event[0] for event in self.events], np.int64)
        unit = np.array([event[1] for event in self.events], np.int64)
        if unit.size and not 0 <= unit.min() <= unit.max() < format.size:
            raise ValueError(f"events: unit {unit.min() if unit.min() < 0 else unit.max()} lies outside of {format}")
        graded = [event[2] for event in self.events if len(event) == 3]
        if len(graded) != (len(self.events) if format.kind != "spikes" else 0):
            raise ValueError(f"events of {format} must all be [t_us, unit{'' if format.kind == 'spikes' else ', value'}]")
        value = None if format.kind == "spikes" else np.array(graded, np.float32)
        end_us = (int(t_us[-1]) + 1 if t_us.size else 0) if self.end_ms is None else round(self.end_ms * 1000)
        return Packet(0, end_us, t_us, unit.astype(np.uint32), value, last=True, label=self.label)

    def _packets(self, format: Format) -> Iterator[tuple[str, Packet]]:
        if not self.items:
            yield "events", self.episode(format)
        yield from ((f"items[{index}]", item) for index, item in enumerate(self.items) if isinstance(item, Packet))

    def _format(self) -> Format:
        if self.format is not None:
            return self.format
        graded = any(len(event) == 3 for event in self.events)
        return Format("graded" if graded else "spikes", self.shape or ())


class Memory:
    """The source: its position is the item that comes next, or how far the one episode of events was handed out."""

    def __init__(self, config: MemoryConfig, format: Format, state: State | None) -> None:
        self.format = format
        self._config = config
        self._next = 0 if state is None else int(state["item"])
        self._at_us = 0 if state is None else int(state["at_us"])

    def packets(self) -> Iterator[Packet]:
        return self._items() if self._config.items else self._episode()

    def snapshot(self) -> State:
        return {"item": np.array(self._next, np.int64), "at_us": np.array(self._at_us, np.int64)}

    def close(self) -> None:
        pass

    def _episode(self) -> Iterator[Packet]:
        if self._next:
            return
        config, whole = self._config, self._config.episode(self.format)
        for packet in cut([Events(whole.t_us, whole.unit, whole.value)], 0, config.packet_us, config.max_events,
                          end_us=whole.end_us, resume_us=self._at_us, label=whole.label):
            self._next, self._at_us = int(packet.last), packet.end_us
            yield packet if packet.value is not None or whole.value is None else replace(packet, value=NO_VALUES)

    def _items(self) -> Iterator[Packet]:
        items = self._config.items
        while self._next < len(items):
            item = items[self._next]
            if isinstance(item, End):
                return
            if isinstance(item, Crash):
                raise RuntimeError(item.message)
            if isinstance(item, Pause):
                yield from self._pause(item)
            self._next += 1
            if isinstance(item, Packet):
                yield item

    def _pause(self, pause: Pause) -> Iterator[Packet]:
        begin_s = time.monotonic()
        silence = self._silence()
        while True:
            if silence is not None:
                yield silence
            left_s = pause.ms / 1e3 - (time.monotonic() - begin_s)
            if left_s <= 0 and (pause.until is None or Path(pause.until).exists()):
                return
            time.sleep(min(left_s, HEARTBEAT_S) if left_s > 0 else HEARTBEAT_S)

    def _silence(self) -> Packet | None:
        """A packet of zero length that fits here: in front of the next packet, or behind the last one of an open episode."""
        items, here = self._config.items, self._next
        value = None if self.format.kind == "spikes" else NO_VALUES
        for item in items[here + 1 :]:
            if isinstance(item, Packet):
                return Packet(item.begin_us, item.begin_us, value=value, episode=item.episode, label=item.label)
        past = [item for item in items[:here] if isinstance(item, Packet)]
        if not past or past[-1].last:
            return None
        return Packet(past[-1].end_us, past[-1].end_us, value=value, episode=past[-1].episode, label=past[-1].label)
