"""Small components for the tests of the runtime: a source that counts, an operator that sums, a sink that writes lines."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.contract import OperatorConfig, ReplayConfig, SinkConfig, State
from pipeline.packet import Format, Packet


class CountingConfig(ReplayConfig):
    """Packets of 1 ms with one event each, whose unit counts up modulo 10."""

    type: Literal["counting"] = "counting"
    episodes: int = 3
    packets: int = 5  # of an episode
    crash_at: int | None = None  # packets handed out before it raises, as long as `fault` exists
    fault: Path = Path(__file__)
    skip_at: int | None = None  # a packet whose begin leaves a hole

    def check(self) -> Format:
        return Format("spikes", (10,))

    def prepare(self) -> Callable[[State | None], Counting]:
        return lambda state: Counting(self, 0 if state is None else int(state["done"]))


class Counting:
    def __init__(self, config: CountingConfig, done: int) -> None:
        self.config, self.done, self.format = config, done, config.check()

    def packets(self) -> Iterator[Packet]:
        config = self.config
        while self.done < config.episodes * config.packets:
            if self.done == config.crash_at and config.fault.exists():
                raise ValueError("the sensor was unplugged; plug it in again")
            episode, k = divmod(self.done, config.packets)
            begin_us = k * 1000 + (500 if self.done == config.skip_at else 0)
            self.done += 1
            yield Packet(begin_us, k * 1000 + 1000, np.array([k * 1000 + 700]), np.array([self.done % 10], np.uint32),
                         episode=episode, last=k == config.packets - 1, label=episode % 2)

    def snapshot(self) -> State:
        return {"done": np.array(self.done)}

    def close(self) -> None:
        pass


class SummingConfig(OperatorConfig):
    """Decides at the end of every packet: class 1 if the units so far sum to an odd number, else 0."""

    type: Literal["summing"] = "summing"
    die_in_episode: int | None = None  # as long as `fault` exists
    die_how: Literal["raise", "kill"] = "raise"
    fault: Path = Path(__file__)
    work_ms: float = 0

    def check(self, upstream: Format) -> Format:
        return Format("decisions", (2,), names=("even", "odd"))

    def prepare(self, upstream: Format) -> Callable[[State | None], Summing]:
        return lambda state: Summing(self, 0 if state is None else int(state["sum"]))


class Summing:
    def __init__(self, config: SummingConfig, total: int) -> None:
        self.config, self.total, self.end_us = config, total, 0

    def process(self, packet: Packet) -> Packet:
        self.end_us = packet.end_us
        if packet.episode == self.config.die_in_episode and self.config.fault.exists():
            if self.config.die_how == "kill":
                os.kill(os.getpid(), 9)
            raise ZeroDivisionError("boom")
        if self.config.work_ms:
            time.sleep(self.config.work_ms / 1e3)
        self.total += int(packet.unit.sum())
        if packet.begin_us == packet.end_us:
            return Packet(packet.begin_us, packet.end_us, value=np.empty(0, np.float32))
        value = np.array([0.1, 0.9] if self.total % 2 else [0.9, 0.1], np.float32)
        t_us = np.full(2, packet.end_us - 1)
        return Packet(packet.begin_us, packet.end_us, t_us, np.array([0, 1], np.uint32), value)

    def finish(self) -> Packet:
        return Packet(self.end_us, self.end_us, value=np.empty(0, np.float32))

    def snapshot(self) -> State:
        return {"sum": np.array(self.total)}

    def report(self) -> dict[str, int]:
        return {"sum": self.total}


class LinesConfig(SinkConfig):
    """Writes every packet as a line; goes on at the byte where its snapshot was taken."""

    type: Literal["lines"] = "lines"
    path: Path

    def check(self, upstream: Format) -> None:
        pass

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Lines]:
        return lambda state: Lines(self.path, 0 if state is None else int(state["offset"]))


class Lines:
    def __init__(self, path: Path, offset: int) -> None:
        self.file = path.open("r+b" if offset else "wb", buffering=0)
        self.file.truncate(offset)
        self.file.seek(offset)

    def write(self, packet: Packet) -> None:
        values = None if packet.value is None else packet.value.tolist()
        fields = replace(packet, barrier=-1)
        line = f"{fields.episode} {fields.begin_us} {fields.end_us} {fields.unit.tolist()} {values} {fields.last}\n"
        self.file.write(line.encode())

    def snapshot(self) -> State:
        return {"offset": np.array(self.file.tell())}

    def close(self) -> None:
        self.file.close()
