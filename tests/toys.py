"""A sound operator, source and sink in plain numpy, each as small as its contract allows: what the broken ones are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, Operator, OperatorConfig, ReplayConfig, Sink, SinkConfig, Source, State
from pipeline.packet import NO_TIMES, NO_UNITS, Format, Packet, decisions
from sources.cut import Events, cut
from tests.packets import recording

DVS = Format("spikes", (2, 8, 8))
CLASSES = Format("decisions", (3,), names=("left", "right", "none"))


class ToyConfig(OperatorConfig):
    """Gives out every spike a few ms later, on the stream of shape (2, H, W) that it came on.

    Example: {type: toy, delay_ms: 3}
    """

    type: Literal["toy"] = "toy"
    delay_ms: float = Field(3.0, gt=0, description="how much later")

    def check(self, upstream: Format) -> Format:
        if upstream.kind != "spikes":
            raise ValueError(f"toy takes spikes, got {upstream}")
        return upstream

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        return lambda state: Toy(round(self.delay_ms * 1000), state)


class Toy:
    def __init__(self, delay_us: int, state: State | None) -> None:
        self.delay_us = delay_us
        self.t_us = NO_TIMES if state is None else state["t_us"].copy()
        self.unit = NO_UNITS if state is None else state["unit"].copy()
        self.end_us = 0 if state is None else int(state["end_us"])

    def process(self, packet: Packet) -> Packet:
        t_us = np.concatenate((self.t_us, packet.t_us + self.delay_us))
        unit = np.concatenate((self.unit, packet.unit))
        order = np.lexsort((unit, t_us))
        t_us, unit = t_us[order], unit[order]
        due = int(t_us.searchsorted(packet.end_us))
        self.t_us, self.unit, self.end_us = t_us[due:].copy(), unit[due:].copy(), packet.end_us
        return Packet(packet.begin_us, packet.end_us, t_us[:due], unit[:due])

    def finish(self) -> Packet:
        return Packet(self.end_us, self.end_us + self.delay_us, self.t_us, self.unit)

    def snapshot(self) -> State:
        return {"t_us": self.t_us.copy(), "unit": self.unit.copy(), "end_us": np.array(self.end_us)}


class ToySourceConfig(ReplayConfig):
    """Two seeded episodes of 60 ms on shape (2, 8, 8).

    Example: {type: toy_source, packet_ms: 5}
    """

    type: Literal["toy_source"] = "toy_source"
    seed: int = Field(0, ge=0, description="of the events")

    def check(self) -> Format:
        return DVS

    def prepare(self) -> Callable[[State | None], Source]:
        return lambda state: ToySource(self, state)


class ToySource:
    format = DVS

    def __init__(self, config: ToySourceConfig, state: State | None) -> None:
        self.config = config
        self.position = np.array([0, -1]) if state is None else state["position"].copy()  # episode, end of its last packet

    def packets(self) -> Iterator[Packet]:
        for episode in range(int(self.position[0]), 2):
            events = recording(DVS, self.config.seed + episode)
            yield from self.cut(events, episode, None if self.position[1] < 0 else int(self.position[1]))

    def cut(self, events: Packet, episode: int, resume_us: int | None) -> Iterator[Packet]:
        columns, config = Events(events.t_us, events.unit), self.config
        for packet in cut([columns], events.begin_us, config.packet_us, config.max_events,
                          end_us=events.end_us, resume_us=resume_us, episode=episode, label=episode):
            self.position[:] = (episode + 1, -1) if packet.last else (episode, packet.end_us)
            yield packet

    def snapshot(self) -> State:
        return {"position": self.position.copy()}

    def close(self) -> None:
        pass


class ToySinkConfig(SinkConfig):
    """Writes the time (us) of every decision, of a stream of shape (classes,), on a line of its own.

    Example: {type: toy_sink, path: times.txt}
    """

    type: Literal["toy_sink"] = "toy_sink"
    path: FilePath = Field(description="the file")

    def check(self, upstream: Format) -> None:
        if upstream.kind != "decisions":
            raise ValueError(f"toy_sink takes decisions, got {upstream}")

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        return lambda state: ToySink(self, upstream, state)


class ToySink:
    def __init__(self, config: ToySinkConfig, format: Format, state: State | None) -> None:
        self.path, self.format = config.path, format
        kept = b"" if state is None else self.path.read_bytes()[: int(state["offset"])]
        self.path.write_bytes(kept)
        self.offset = np.array(len(kept))

    def write(self, packet: Packet) -> None:
        self.put("".join(f"{decision.t_us}\n" for decision in decisions(packet, self.format)))

    def put(self, text: str) -> None:
        with self.path.open("ab") as file:
            self.offset += file.write(text.encode())

    def snapshot(self) -> State:
        return {"offset": self.offset.copy()}

    def close(self) -> None:
        pass
