"""A stream that is told to stop ends as any other: with an empty packet that closes the episode and fits the format."""

from __future__ import annotations

import numpy as np
import pytest

from operators import readout
from pipeline.layer_spec import ReadoutSpec
from pipeline.packet import Format, Kind, Packet, decisions, join, with_flags
from pipeline.stage import SourceStage
from pipeline.transport import MemoryLink, Message
from sources.memory import MemoryConfig


@pytest.mark.parametrize("kind", ["spikes", "graded"])
def test_stopped_stream_ends_with_an_empty_packet_of_its_kind(kind: Kind) -> None:
    format = Format(kind, (4,))
    value = None if kind == "spikes" else np.ones(1, np.float32)
    packets = [Packet(k * 10, k * 10 + 10, np.array([k * 10]), np.zeros(1, np.uint32), value, label=2) for k in range(3)]
    config = MemoryConfig.model_validate({"format": format, "items": packets})
    link, asked = MemoryLink(), iter([False, True])

    stage = SourceStage("source", config, link, wait=lambda _: next(asked), barrier_due=lambda: -1, save=lambda n, state: None)

    assert [stage.step(), stage.step()] == [True, False]
    first, closing = (message.packet for message in (link.receive(), link.receive()) if isinstance(message, Message))
    assert (first.end_us, closing.begin_us, closing.end_us, closing.n, closing.last, closing.label) == (10, 10, 11, 0, True, 2)
    closing.check(format)


@pytest.mark.parametrize("end_us", [10, 15])
def test_episode_closed_by_a_packet_of_no_length_has_a_final_decision(end_us: int) -> None:
    format = Format("spikes", (2,))
    event = np.array([3]), np.ones(1, np.uint32)
    packets = [Packet(0, end_us, *event, label=1), Packet(end_us, end_us, label=1, last=True)]
    link = MemoryLink()
    config = MemoryConfig.model_validate({"format": format, "items": packets})
    stage = SourceStage("source", config, link, wait=lambda _: False, barrier_due=lambda: -1, save=lambda n, state: None)
    operator = readout.make(ReadoutSpec("spike_count", ("a", "b")), format, every_us=10)(None)

    while stage.step():
        pass
    first, closing = (message.packet for message in (link.receive(), link.receive()) if isinstance(message, Message))
    operator.process(first)
    out = with_flags(join(operator.process(closing), operator.finish()), closing)

    assert closing.label == 1
    assert [(decision.index, decision.final) for decision in decisions(out, Format("decisions", (2,)))] == [(1, True)]


def test_an_episode_of_no_length_at_all_stays_so() -> None:
    link = MemoryLink()
    config = MemoryConfig.model_validate({"format": Format("spikes", (2,)), "items": [Packet(0, 0, last=True)]})
    SourceStage("source", config, link, wait=lambda _: False, barrier_due=lambda: -1, save=lambda n, state: None).step()
    message = link.receive()
    assert isinstance(message, Message)
    assert message.packet.end_us == 0
