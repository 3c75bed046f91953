"""A chain of lif operators as the benchmarks run it: a packet goes in, every layer's whole output comes out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.yardstick import DECAY, THRESHOLD
from operators import lif
from pipeline.contract import Operator
from pipeline.layer_spec import LIFSpec
from pipeline.packet import Format, Packet, join

TICK_US = 1000


def spec_layers(weights: Sequence[np.ndarray]) -> list[LIFSpec]:
    specs = [LIFSpec(w, 20.0, THRESHOLD, TICK_US) for w in weights]
    assert all((spec.decay() == DECAY).all() for spec in specs), "the yardstick's decay is exp(-1 / 20)"
    return specs


def whole(x: np.ndarray) -> Packet:
    """x (ticks, n_in) of 0 and 1 as one packet, every spike at the begin of its tick."""
    ticks, units = np.nonzero(x)
    return Packet(0, x.shape[0] * TICK_US, ticks * TICK_US, units.astype(np.uint32))


class Chain:
    """Dense layers one behind the other, prepared once, made anew for each sample."""

    def __init__(self, specs: Sequence[LIFSpec], module: Any = lif) -> None:
        formats = [Format("spikes", (spec.n_in,), TICK_US) for spec in specs]
        self.makers = [module.make(spec, format) for spec, format in zip(specs, formats, strict=True)]

    def fresh(self) -> list[Operator]:
        return [make(None) for make in self.makers]

    def outputs(self, packet: Packet) -> list[Packet]:
        """What each layer makes of a whole sample."""
        found = []
        for operator in self.fresh():
            packet = join(operator.process(packet), operator.finish())
            found.append(packet)
        return found

    def run(self, packets: Sequence[Packet]) -> None:
        """A sample in packets, each through all layers before the next."""
        operators = self.fresh()
        for packet in packets:
            for operator in operators:
                packet = operator.process(packet)
        flushed: Packet | None = None
        for operator in operators:
            flushed = operator.finish() if flushed is None else join(operator.process(flushed), operator.finish())

    def seconds(self, *packets: Packet) -> float:
        """How long one sample takes, operators made anew included."""
        begin_s = time.perf_counter()
        self.run(packets)
        return time.perf_counter() - begin_s

    def state_bytes(self) -> int:
        return sum(array.nbytes for operator in self.fresh() for array in operator.snapshot().values())
