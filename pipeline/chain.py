"""Chain: operators one behind the other. A packet goes in; the packet that the last of them makes of it comes out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.contract import Operator, OperatorConfig, Reporting, State
from pipeline.packet import Format, Packet, join, with_flags


class Chain:
    """Runs operators in order and ends their episodes.

    On a packet with `last` each operator is given the packet, then finished; the two outputs are joined into one packet
    with `last` for the next operator, so that delays flush layer by layer; then every operator is made anew.
    episode, label, lost, barrier and last are copied from the input packet.

    nodes: (config, the Format it receives) of each operator. state: a snapshot of an equal chain to go on from.
    """

    def __init__(self, nodes: Sequence[tuple[OperatorConfig, Format]], state: State | None = None) -> None:
        self.names = [f"operators[{index}] {config.type}" for index, (config, _) in enumerate(nodes)]
        self._makers = [config.prepare(upstream) for config, upstream in nodes]
        self._operators: list[Operator] = [make(part_of(state, str(i))) for i, make in enumerate(self._makers)]
        # An operator from outside the house is not covered by its tests: a wrong unit would index past a kernel's arrays.
        self._checked = {i: config.check(upstream) for i, (config, upstream) in enumerate(nodes) if _is_foreign(config)}
        self._past: list[dict[str, Any]] = [{} for _ in nodes]  # the figures of the operators of ended episodes
        if state is not None and "past" in state:
            self._past = json.loads(state["past"].tobytes())
        self._ended = False  # the last packet of an episode has gone through
        self.active = 0  # the operator at work, or the one that failed

    def push(self, packet: Packet) -> Packet:
        """What comes out at the end once `packet` has gone through."""
        if self._ended:
            self.begin_episode()
        out = packet
        for index, operator in enumerate(self._operators):
            self.active = index
            made = operator.process(out)
            if packet.last:
                made = join(made, operator.finish())
            if index in self._checked:
                made.check(self._checked[index])
            out = with_flags(made, packet)
        self._ended = packet.last
        return out

    def begin_episode(self) -> None:
        """Make every operator anew: due after an episode's last packet, done before anything else is asked of them, so that
        the episode's last decision need not wait for it."""
        self._past, self._ended = self._figures(), False
        self._operators = [make(None) for make in self._makers]

    def snapshot(self) -> State:
        """The states of all operators, keyed `<index>.<key>`."""
        if self._ended:
            self.begin_episode()
        state = {f"{i}.{key}": array for i, operator in enumerate(self._operators) for key, array in operator.snapshot().items()}
        return state | {"past": np.frombuffer(json.dumps(self._past).encode(), np.uint8)}

    def report(self) -> dict[str, Any]:
        """The figures of the operators that offer some, by name; numbers are summed over all episodes."""
        return {name: figures for name, figures in zip(self.names, self._figures(), strict=True) if figures}

    def _figures(self) -> list[dict[str, Any]]:
        """Past and present figures of each operator."""
        pairs = zip(self._past, self._operators, strict=True)
        return [_sum(past, operator.report()) if isinstance(operator, Reporting) else {} for past, operator in pairs]


def _sum(past: dict[str, Any], present: dict[str, Any]) -> dict[str, Any]:
    """`present` with the numbers of `past` added; what is no number is the latest."""
    return {key: past.get(key, 0) + value if isinstance(value, int | float) else value for key, value in present.items()}


def part_of(state: State | None, prefix: str) -> State | None:
    """The entries of `state` under `<prefix>.`, without it; None of None."""
    if state is None:
        return None
    return {key.removeprefix(prefix + "."): array for key, array in state.items() if key.startswith(prefix + ".")}


def _is_foreign(config: OperatorConfig) -> bool:
    return type(config).__module__.partition(".")[0] != "operators"
