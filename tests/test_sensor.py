"""What live sensors share: silence that is only their own, their time against that of the stream, and whose waiting it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.packet import Format, Packet
from pipeline.stage import SourceStage
from pipeline.transport import MemoryLink
from sources.sensor import SensorConfig, SensorSource

DVS = Format("spikes", (2, 4, 4))


class ScriptedConfig(SensorConfig):
    """A sensor that does what it is told: `script` gets the source, in its thread."""

    type: str = "scripted"
    script: Callable[[Any], None]

    def check(self) -> Format:
        return DVS

    def prepare(self) -> Any:
        return lambda state: Scripted(self, DVS, state)


class Scripted(SensorSource):
    def listen(self) -> None:
        self._sensor.script(self)  # type: ignore[attr-defined]

    def figures(self) -> dict[str, Any]:
        return {}


def events(*t_us: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array(t_us, np.int64), np.zeros(len(t_us), np.uint32)


def test_the_wait_for_room_in_the_queue_is_not_taken_for_the_sensors_silence() -> None:
    def script(sensor: Any) -> None:
        for k in range(3):
            sensor.take(*events(1000 * k, 1000 * k + 5))  # from the second on each waits until the pipeline takes one
        sensor.silence("nothing came", "look at it")
        time.sleep(0.15)
        sensor.silence("nothing came", "look at it")

    source = ScriptedConfig(script=script, queue_packets=1, idle_timeout_s=0.1, heartbeat_ms=200, lateness_ms=1e6).prepare()(None)
    stream = source.packets()
    next(stream)
    time.sleep(0.3)
    assert sum(next(stream).n for _ in range(2)) == 4
    with pytest.raises(ValueError, match=r"scripted: nothing came for 0.1 s; look at it"):
        list(stream)
    source.close()


def test_the_report_tells_the_sensors_time_of_stream_time_0() -> None:
    def script(sensor: Any) -> None:
        sensor.take(*events(5_000_000, 5_000_007))
        sensor.finished()

    source = ScriptedConfig(script=script).prepare()(None)
    assert source.report()["sensor_us_at_0"] is None
    t_us = np.concatenate([packet.t_us for packet in source.packets()])
    assert (t_us + source.report()["sensor_us_at_0"]).tolist() == [5_000_000, 5_000_007]
    source.close()


def stage_of(config: SensorConfig, outbox: MemoryLink) -> SourceStage:
    return SourceStage("source", config, outbox, wait=lambda _: False, barrier_due=lambda: -1, save=lambda number, state: None)


def test_waiting_for_a_sensor_is_not_counted_as_work() -> None:
    stage = stage_of(ScriptedConfig(script=lambda sensor: time.sleep(0.5), heartbeat_ms=100), MemoryLink())
    for _ in range(3):
        stage.step()
    waited_s = stage._source.waited_s  # type: ignore[attr-defined]
    stage.close()
    assert waited_s >= 0.3
    assert 0 <= stage.report()["busy_s"] < waited_s


def test_waiting_for_the_next_stage_is_told_apart_from_work() -> None:
    class Slow(MemoryLink):
        def send(self, packet: Packet, origin_ns: int) -> None:
            begin_s = time.perf_counter()
            time.sleep(0.05)
            stage.metrics.blocked_s += time.perf_counter() - begin_s

    stage = stage_of(ScriptedConfig(script=lambda sensor: sensor.take(*events(0, 5))), Slow())
    stage.step()
    stage.close()
    report = stage.report()
    assert report["backpressured_s"] >= 0.05
    assert report["busy_s"] >= 0
