"""What sinks that take decisions say to any other stream."""

from __future__ import annotations

from pipeline.packet import Format


def needs_decisions(sink: str, upstream: Format) -> None:
    """ValueError unless the stream is one of decisions."""
    if upstream.kind != "decisions":
        raise ValueError(f"{sink} takes decisions, got {upstream}: put a readout before it")
