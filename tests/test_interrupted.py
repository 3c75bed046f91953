"""A stream that is told to stop ends as any other: with an empty packet that closes the episode and fits the format."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.packet import Format, Kind, Packet
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
    assert (first.end_us, closing.begin_us, closing.end_us, closing.n, closing.last, closing.label) == (10, 10, 10, 0, True, 2)
    closing.check(format)
