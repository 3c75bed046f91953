"""Two pipelines of one camera: the first records all that comes, the second infers and takes the latest only."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.contract import OperatorConfig, State
from pipeline.packet import Format, Packet
from pipeline.runner import run
from sources.recorded import RecordedConfig
from spikeline import load

UNITS = 2 * 4 * 4


class SlowConfig(OperatorConfig):
    """Passes everything on, 5 ms a packet."""

    type: Literal["tests.test_live_pipelines:SlowConfig"] = "tests.test_live_pipelines:SlowConfig"

    def check(self, upstream: Format) -> Format:
        return upstream

    def prepare(self, upstream: Format) -> Callable[[State | None], Any]:
        return lambda state: Slow(0 if state is None else int(state["end_us"]))


class Slow:
    def __init__(self, end_us: int) -> None:
        self._end_us = end_us

    def process(self, packet: Packet) -> Packet:
        time.sleep(0.005)
        self._end_us = packet.end_us
        return packet

    def finish(self) -> Packet:
        return Packet(self._end_us, self._end_us)

    def snapshot(self) -> State:
        return {"end_us": np.array(self._end_us)}


def test_a_recording_stays_complete_while_inference_takes_the_latest(tmp_path: Path) -> None:
    endpoint, go = f"ipc://{tmp_path}/camera", tmp_path / "go"
    frames = [{"begin_us": 1000 * k, "end_us": 1000 * (k + 1), "t_us": [1000 * k + 7 * j for j in range(10)],
               "unit": [(k + j) % UNITS for j in range(10)], "last": k == 199} for k in range(200)]
    camera = {"source": {"type": "memory", "format": {"kind": "spikes", "shape": [2, 4, 4]},
                         "items": [{"pause": {"until": str(go)}}, *frames]},
              "sinks": [{"type": "record", "path": str(tmp_path / "all.spkl")}, {"type": "zmq_publish", "bind": endpoint}]}
    inference = {"source": {"type": "zmq_receive", "connect": endpoint, "shape": [2, 4, 4], "on_overload": "latest"},
                 "operators": [{"type": "tests.test_live_pipelines:SlowConfig"}],
                 "sinks": [{"type": "record", "path": str(tmp_path / "latest.spkl")}]}
    for name, document in (("camera", camera), ("inference", inference)):
        (tmp_path / f"{name}.yaml").write_text(json.dumps(document))
    recording = threading.Thread(target=run, args=(load(tmp_path / "camera.yaml"),), kwargs={"inline": True})
    recording.start()
    summary = run(load(tmp_path / "inference.yaml"), inline=True,
                  on_update=lambda reports: go.touch() if reports["source"]["packets_out"] else None)
    recording.join()
    source = summary["stages"][0]["source"]
    assert source["received"] == source["sent"] + source["discarded"] + source["queued"] == 2000
    assert source["discarded"] == summary["lost"] > 0
    assert counted(tmp_path / "latest.spkl") == (source["sent"], source["discarded"])
    assert counted(tmp_path / "all.spkl") == (2000, 0)


def counted(path: Path) -> tuple[int, int]:
    """Events of a recording, and those known to be lost."""
    packets = list(RecordedConfig(path=path).prepare()(None).packets())
    return sum(packet.n for packet in packets if packet), sum(packet.lost for packet in packets if packet)
