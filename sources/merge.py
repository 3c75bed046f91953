"""Several sources as one: their streams go in side by side, one stream with a new first axis comes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field, SerializeAsAny, field_validator

from pipeline.chain import part_of
from pipeline.contract import ReplayConfig, Reporting, Source, SourceConfig, State
from pipeline.packet import NO_TIMES, NO_UNITS, NO_VALUES, Format, Packet
from sources.live import LiveConfig


class MergeConfig(ReplayConfig):
    """Stacks the streams of several sources along a new first axis: n streams of shape S become one of shape (n, *S).

    unit' = source * size(S) + unit; events in order of (t_us, source), within one source as it gave them. Each packet reaches to
    the least end_us of the sources (and no further than packet_ms and max_events allow); events beyond are held back.

    Episodes advance together: one ends when the longest of its parts does, shorter ones are silent until then; its number is
    the first source's, its label the one that all agree on, else -1. `lost` adds up. The stream ends with the first source that
    has no further episode. Times in us.
    Errors: shapes, kinds or class names that differ; a pace or gap_ms on one of the sources, as the merge sets the pace; a source
    that is live.

    Example: {type: merge, sources: [{type: dvs_scene, seed: 1}, {type: dvs_scene, seed: 1, camera_seed: 7}], pace: realtime}

    Source: the merge of sorted lists by least head; watermarks joined by their minimum as in Akidau et al., The Dataflow Model
    (2015), section 2.3.
    """

    type: Literal["merge"] = "merge"
    sources: tuple[SerializeAsAny[SourceConfig], ...] = Field(min_length=1, description="the sources, in order of the new axis")

    @field_validator("sources")
    @classmethod
    def _are_sources(cls, sources: tuple[SourceConfig, ...]) -> tuple[SourceConfig, ...]:
        for index, config in enumerate(sources):
            if type(config) is SourceConfig:
                raise ValueError(f"sources[{index}]: {config.type!r} is not a source; give a config object, or load it from YAML")
            if isinstance(config, LiveConfig):
                raise ValueError(f"sources[{index}]: {config.type} is live: only sources that replay or simulate are merged")
            for option in ("pace", "gap_ms"):
                if isinstance(config, ReplayConfig) and getattr(config, option) != ReplayConfig.model_fields[option].default:
                    raise ValueError(f"sources[{index}]: {option} is the merge's to set; give it to the merge")
        return sources

    def check(self) -> Format:
        formats = []
        for index, config in enumerate(self.sources):
            try:
                formats.append(config.check())
            except (ValueError, OSError) as error:
                raise ValueError(f"sources[{index}]: {error}") from None
        first = formats[0]
        names = next((format.names for format in formats if format.names), ())
        for index, format in enumerate(formats):
            if (format.kind, format.shape) != (first.kind, first.shape):
                raise ValueError(f"sources[{index}] gives {format}, sources[0] {first}: to merge, kind and shape must be equal")
            if format.names not in ((), names):
                raise ValueError(f"sources[{index}] names other classes ({', '.join(format.names)}) than {', '.join(names)}")
        ticks = [format.tick_us for format in formats if format.tick_us is not None]
        tick_us = math.gcd(*ticks) if len(ticks) == len(formats) else None
        rate_hz = first.rate_hz if len({format.rate_hz for format in formats}) == 1 else None
        return replace(first, shape=(len(formats), *first.shape), tick_us=tick_us, rate_hz=rate_hz, names=names)

    def prepare(self) -> Callable[[State | None], Source]:
        format = self.check()
        makers = [config.prepare() for config in self.sources]
        return lambda state: Merge(self, format, [make(part_of(state, f"{i}.source")) for i, make in enumerate(makers)], state)


class Merge:
    """The source: its position is that of every part, with the events drawn from it and not yet handed out."""

    def __init__(self, config: MergeConfig, format: Format, sources: list[Source], state: State | None) -> None:
        self.format = format
        self._packet_us, self._max_events = config.packet_us, config.max_events
        self._parts = [_Part(source, part_of(state, str(index))) for index, source in enumerate(sources)]
        self._open = state is not None and bool(state["open"])  # an episode is under way
        self._now_us = 0 if state is None else int(state["now_us"])

    def packets(self) -> Iterator[Packet]:
        while self._open or self._begin():
            yield self._next()

    def snapshot(self) -> State:
        state: State = {"open": np.array(self._open), "now_us": np.array(self._now_us, np.int64)}
        for index, part in enumerate(self._parts):
            state |= {f"{index}.{key}": array for key, array in part.snapshot().items()}
        return state

    def close(self) -> None:
        for part in self._parts:
            part.source.close()

    def report(self) -> dict[str, Any]:
        sources = [(f"sources[{index}]", part.source) for index, part in enumerate(self._parts)]
        return {name: source.report() for name, source in sources if isinstance(source, Reporting)}

    def _begin(self) -> bool:
        """Open the next episode; False when one of the parts has none."""
        for part in self._parts:
            if not part.draw():
                return False
        self._now_us = min(part.begin_us for part in self._parts)
        self._open = True
        return True

    def _next(self) -> Packet:
        for part in self._parts:
            if not part.done and part.end_us <= self._now_us:
                part.draw()
        running = [part.end_us for part in self._parts if not part.done]
        whole_us = max(part.end_us for part in self._parts)
        end_us = self._within_cap(min(*running, self._now_us + self._packet_us, whole_us))
        t_us, unit, value = self._taken(end_us)
        begin_us, self._now_us = self._now_us, end_us
        last = not running and end_us == whole_us
        self._open = not last
        labels = {part.label for part in self._parts}
        label = labels.pop() if len(labels) == 1 else -1
        lost = sum(part.take_lost() for part in self._parts)
        return Packet(begin_us, end_us, t_us, unit, value, self._parts[0].episode, last, label, lost)

    def _within_cap(self, end_us: int) -> int:
        """Where a packet that should reach to end_us has to end so as not to exceed max_events."""
        counts = [part.count(end_us) for part in self._parts]
        if sum(counts) <= self._max_events:
            return end_us
        t_us = np.sort(np.concatenate([part.t_us[:n] for part, n in zip(self._parts, counts, strict=True)]))
        return max(int(t_us[self._max_events]), int(t_us[0]) + 1)

    def _taken(self, end_us: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """The events before end_us, no longer held."""
        size = self.format.size // len(self._parts)
        taken = [part.take(part.count(end_us)) for part in self._parts]
        t_us = np.concatenate([events[0] for events in taken])
        unit = np.concatenate([events[1] + np.uint32(index * size) for index, events in enumerate(taken)])
        value = None if self.format.kind == "spikes" else np.concatenate([events[2] for events in taken])
        order = t_us.argsort(kind="stable")  # the parts stand in order, so equal times stay in the order of the parts
        return t_us[order], unit[order], None if value is None else value[order]


class _Part:
    """One of the sources: what was drawn from it and not yet handed out, and how far it has come."""

    def __init__(self, source: Source, state: State | None) -> None:
        self.source = source
        self._packets = iter(source.packets())
        self.t_us, self._unit, self._value = NO_TIMES, NO_UNITS, NO_VALUES
        self.begin_us = self.end_us = self.episode = self._lost = 0
        self.label = -1
        self.done = False  # its episode has ended, at end_us
        if state is not None:
            self.t_us, self._unit, self._value = state["t_us"].copy(), state["unit"].copy(), state["value"].copy()
            self.end_us, self.episode, self.label = int(state["end_us"]), int(state["episode"]), int(state["label"])
            self.done = bool(state["done"])

    def draw(self) -> bool:
        """Hold the next packet too. A stream that stops within an episode ends it there; False when there was no packet."""
        packet = next(self._packets, None)
        self.done = packet is None or packet.last
        if packet is None:
            return False
        self.begin_us, self.end_us, self.episode, self.label = packet.begin_us, packet.end_us, packet.episode, packet.label
        self._lost += packet.lost
        held = self.t_us.size > 0
        self.t_us = np.concatenate((self.t_us, packet.t_us)) if held else packet.t_us
        self._unit = np.concatenate((self._unit, packet.unit)) if held else packet.unit
        if packet.value is not None:
            self._value = np.concatenate((self._value, packet.value)) if held else packet.value
        return True

    def count(self, end_us: int) -> int:
        """The number of held events before end_us."""
        return int(self.t_us.searchsorted(end_us))

    def take(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The first n of the held events, no longer held."""
        taken = self.t_us[:n], self._unit[:n], self._value[:n]
        self.t_us, self._unit, self._value = self.t_us[n:], self._unit[n:], self._value[n:]
        return taken

    def take_lost(self) -> int:
        lost, self._lost = self._lost, 0
        return lost

    def snapshot(self) -> State:
        figures = {"end_us": self.end_us, "episode": self.episode, "label": self.label, "done": self.done}
        held: State = {"t_us": self.t_us.copy(), "unit": self._unit.copy(), "value": self._value.copy()}
        own: State = {key: np.array(figure) for key, figure in figures.items()}
        source = {f"source.{key}": array for key, array in self.source.snapshot().items()}
        return held | own | source
