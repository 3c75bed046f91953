"""What sinks that reach over a network share: who may be told in plain text, and a decision as a JSON object."""

from __future__ import annotations

import json
import re

from pipeline.packet import Decision, Format, Packet, decisions

LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|\[?::1\]?|/.*")  # or the path of a socket


def is_local(host: str) -> bool:
    """Whether what is sent to `host` stays on this machine."""
    return LOOPBACK.fullmatch(host) is not None


def needs_cover(sink: str, host: str, insecure: bool, remedy: str) -> None:
    """ValueError when plain text would leave this machine, unless the user said that it may."""
    if not (insecure or is_local(host)):
        raise ValueError(f"{sink}: plain text to {host} can be read and changed on the way: {remedy}say insecure: true")


class DecisionJson:
    """Decisions of one stream as JSON objects: those of the sink json_lines, and `seq`, the number of the decision.

    >>> import numpy as np
    >>> packet = Packet(0, 10, np.array([9, 9]), np.array([0, 1], np.uint32), np.array([0.25, 0.75], np.float32))
    >>> DecisionJson(Format("decisions", (2,), names=("a", "b")), "cam").texts(packet, 7)[0][:60]
    '{"stream": "cam", "seq": 7, "episode": 0, "t_us": 9, "class"'
    """

    def __init__(self, format: Format, stream: str) -> None:
        self._format = format
        self._head = f'{{"stream": {json.dumps(stream)}, "seq": '

    def texts(self, packet: Packet, seq: int) -> list[str]:
        """One text a decision, numbered from `seq`."""
        if packet.n == 0:
            return []
        return [self._text(decision, packet, number) for number, decision in enumerate(decisions(packet, self._format), seq)]

    def _text(self, decision: Decision, packet: Packet, seq: int) -> str:
        scores = [str(score) if abs(score) < float("inf") else "null" for score in decision.scores]  # JSON has no nan, no inf
        return (f'{self._head}{seq}, "episode": {packet.episode}, "t_us": {decision.t_us}, "class": {decision.index}, '
                f'"name": {json.dumps(decision.name)}, "confidence": {scores[decision.index]}, '
                f'"scores": [{", ".join(scores)}], "final": {"true" if decision.final else "false"}, '
                f'"label": {packet.label if packet.label >= 0 else "null"}}}')
