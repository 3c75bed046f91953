"""Every destination of one run's decisions holds the same, also when the sinks' process was killed and the run resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from pipeline.config import StagesConfig
from pipeline.contract import Sink, SinkConfig, State
from pipeline.graph import Graph, Node, SinkNode
from pipeline.packet import Format, Packet
from pipeline.runner import RunError, run
from sinks.json_lines import JsonLinesConfig
from sinks.mqtt import MqttConfig
from sinks.parquet import ParquetConfig
from sinks.postgres import PostgresConfig
from sinks.sqlite import SqliteConfig, read_rows
from sinks.webhook import WebhookConfig
from tests.runtime_parts import CountingConfig, SummingConfig
from tests.seen_files import parquet
from tests.servers import broker, by_seq, database, receiver

COLUMNS = ("episode", "t_us", "class", "name", "confidence", "scores", "final", "label")


class DyingConfig(SinkConfig):
    """Kills its process at the first packet of an episode, as long as `fault` exists."""

    type: Literal["dying"] = "dying"
    episode: int = 1
    fault: Path

    def check(self, upstream: Format) -> None:
        pass

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        return lambda state: Dying(self)


class Dying:
    def __init__(self, config: DyingConfig) -> None:
        self.config = config

    def write(self, packet: Packet) -> None:
        if packet.episode == self.config.episode and self.config.fault.exists():
            os.kill(os.getpid(), 9)

    def snapshot(self) -> State:
        return {}

    def close(self) -> None:
        pass


@pytest.fixture
def pipeline(tmp_path: Path) -> Graph:
    """A source and an operator, six destinations, and among them a sink that kills their process."""
    source, operator = CountingConfig(packets=40), SummingConfig()
    sinks: list[SinkConfig] = [
        SqliteConfig(path=tmp_path / "d.sqlite"),
        PostgresConfig(port=database().port, user="tester", table="destinations"),
        WebhookConfig(url=f"http://127.0.0.1:{receiver().port}/{tmp_path.name}"),
        DyingConfig(fault=tmp_path / "fault"),
        MqttConfig(port=broker()[0], topic=f"all/{tmp_path.name}"),
        JsonLinesConfig(path=tmp_path / "d.jsonl"),
        ParquetConfig(path=tmp_path / "d.parquet"),
    ]
    upstream = source.check()
    node = Node("operators[0]", operator, upstream, operator.check(upstream))
    nodes = tuple(SinkNode(f"sinks[{index}]", sink) for index, sink in enumerate(sinks))
    stages = StagesConfig(checkpoint_every_s=1e-9, checkpoints=tmp_path / "checkpoints")
    return Graph("cam", source, upstream, (node,), nodes, node.format, stages)


def held(tmp_path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What each destination holds, in order; numbers that were float32 as such."""
    lines = [json.loads(line) for line in (tmp_path / "d.jsonl").read_text().splitlines()]
    messages = by_seq(broker()[1].messages(f"all/{tmp_path.name}"))
    posted = by_seq(receiver().taken(f"/{tmp_path.name}"))
    for numbered in (messages, posted):
        assert [item["seq"] for item in numbered] == list(range(len(numbered)))
    rows = read_rows(tmp_path / "d.sqlite")
    in_sqlite = [(*row[2:7], json.loads(row[7]), bool(row[8]), row[9]) for row in rows]
    in_postgres = database().rows("destinations")
    for table in (rows, in_postgres):
        assert [row[:2] for row in table] == [("cam", seq) for seq in range(len(table))]
    in_parquet = [item | {"label": None if item["label"] < 0 else item["label"]} for item in parquet("d.parquet")(tmp_path)]
    objects = {"json_lines": lines, "mqtt": messages, "webhook": posted, "parquet": in_parquet}
    found = {name: [tuple(item[column] for column in COLUMNS) for item in items] for name, items in objects.items()}
    found |= {"sqlite": in_sqlite, "postgres": [row[2:] for row in in_postgres]}
    return {name: [as_float32(row) for row in rows] for name, rows in found.items()}


def as_float32(row: tuple[Any, ...]) -> tuple[Any, ...]:
    episode, t_us, index, name, confidence, scores, *rest = row
    return episode, t_us, index, name, np.float32(confidence), np.float32(scores).tobytes(), *rest


def test_decisions_are_equal_in_every_destination(pipeline: Graph, tmp_path: Path) -> None:
    run(pipeline, inline=True)
    found = held(tmp_path)
    assert len(found["json_lines"]) == 3 * 40
    assert all(rows == found["json_lines"] for rows in found.values()), {name: len(rows) for name, rows in found.items()}


def test_after_kill_9_and_resume_no_row_is_missing_or_twice(pipeline: Graph, tmp_path: Path) -> None:
    run(pipeline, inline=True)
    undisturbed = held(tmp_path)["json_lines"]
    receiver().requests.clear()
    broker()[1].heard.clear()
    (tmp_path / "fault").touch()
    with pytest.raises(RunError, match="was killed by SIGKILL"):
        run(pipeline)
    (tmp_path / "fault").unlink()
    run(pipeline, resume=tmp_path / "checkpoints")
    found = held(tmp_path)
    assert all(rows == undisturbed for rows in found.values()), {name: len(rows) for name, rows in found.items()}
