"""The slow plain truth of the layers: each takes a whole episode as one packet and follows its equations one by one.

Membranes and scores are np.float32 scalars, so every sum and product rounds as the equations say; what is exact in float64
(powers, counts) is a Python float.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from operator import add

import numpy as np

from pipeline.layer_spec import DelaySpec, LIFSpec, QuantisedLIFSpec, ReadoutSpec, TimeBinsSpec
from pipeline.packet import Packet

f32 = np.float32
Event = tuple[int, int, np.float32]  # t_us, unit, value (1 for a spike)


def events(episode: Packet) -> list[Event]:
    values = np.ones(episode.n, f32) if episode.value is None else episode.value
    return list(zip(episode.t_us.tolist(), episode.unit.tolist(), values, strict=True))


def by_tick(episode: Packet, tick_us: int) -> dict[int, list[Event]]:
    ticks = defaultdict(list)
    for event in events(episode):
        ticks[event[0] // tick_us].append(event)
    return ticks


# --- lif ---


def lif(spec: LIFSpec, episode: Packet) -> tuple[list[tuple[int, int]], list[np.float32]]:
    """The spikes (t_us, unit) and v at the end: at every tick decay, bias, input, compare, emit, reset. A tick is run if it
    has input, or if after the tick before it some neuron was where silence could bring it to its threshold."""
    tick_us = spec.tick_us or 1
    inputs = by_tick(episode, tick_us)
    last, stop = episode.begin_us // tick_us - 1, -(-episode.end_us // tick_us)
    v = [f32(0)] * spec.n_out
    ceiling = [silence_ceiling(spec, j) for j in range(spec.n_out)]
    spikes: list[tuple[int, int]] = []
    while True:
        restless = any(v[j] >= ceiling[j] for j in range(spec.n_out))
        tick = last + 1 if restless else min((k for k in inputs if k > last), default=stop)
        if tick >= stop:
            return spikes, v
        for j in range(spec.n_out):
            v[j] = silent_ticks(spec, j, v[j], tick - last)
            for _, i, value in inputs.get(tick, ()):
                v[j] = v[j] + spec.weight[i, j] * value
            if v[j] >= spec.threshold[j]:
                spikes.append((tick * tick_us, j))
                v[j] = v[j] - spec.threshold[j] if spec.reset == "subtract" else f32(0)
        last = tick


def silent_ticks(spec: LIFSpec | QuantisedLIFSpec, j: int, v: np.float32, m: int) -> np.float32:
    """v d^m + b (1 - d^m) / (1 - d)"""
    if spec.tick_us is None:
        tau_us = float(spec.tau_ms[j]) * 1000
        return v * f32(math.exp(-m / tau_us) if tau_us > 0 else 0.0)
    d = float(spec.decay()[j])
    if spec.bias is None:
        return v * f32(d**m)
    b = float(spec.bias[j])
    grown = 1.0 if m == 1 else m if d == 1 else (1 - d**m) / (1 - d)
    return v * f32(d**m) + f32(b * grown)


def silence_ceiling(spec: LIFSpec | QuantisedLIFSpec, j: int) -> float:
    """Below this, max(v, b / (1 - d)) < threshold, with a margin for rounding: silence cannot make neuron j fire."""
    threshold = float(spec.threshold[j])
    if spec.bias is None or spec.bias[j] == 0:
        return threshold
    d, b = float(spec.decay()[j]), float(spec.bias[j])
    if d == 1:
        return -math.inf if b > 0 else threshold
    rest = max(b, 0) / (1 - d)
    margin = 2**-21 * max(rest, threshold) / (1 - d)
    return float(f32(threshold - margin)) if rest + margin < threshold else -math.inf


def lif_every_tick(spec: LIFSpec, episode: Packet) -> tuple[list[tuple[int, int]], float]:
    """The same layer with every tick run in float64, v <- d v + b + input; and how near to a threshold it ever came."""
    tick_us = spec.tick_us or 1
    inputs = by_tick(episode, tick_us)
    d, bias = spec.decay().astype(float), np.zeros(spec.n_out) if spec.bias is None else spec.bias.astype(float)
    v, spikes, nearest = np.zeros(spec.n_out), [], math.inf
    for tick in range(episode.begin_us // tick_us, -(-episode.end_us // tick_us)):
        v = d * v + bias
        for _, i, value in inputs.get(tick, ()):
            v = v + spec.weight[i].astype(float) * float(value)
        nearest = min(nearest, float(np.abs(v - spec.threshold).min()))
        fired = np.flatnonzero(v >= spec.threshold)
        spikes += [(tick * tick_us, j) for j in fired.tolist()]
        v[fired] = v[fired] - spec.threshold[fired] if spec.reset == "subtract" else 0
    return spikes, nearest


# --- delay ---


def delay(spec: DelaySpec, episode: Packet) -> list[Event]:
    """Every event later by the delay of its unit, sorted by (t, unit); sorted() keeps the order of equals."""
    late = [(t_us + int(spec.delay_us[i]), i, value) for t_us, i, value in events(episode)]
    return sorted(late, key=lambda event: event[:2])


# --- readout ---


@dataclass
class Bin:
    """What happened in one stretch between two decisions."""

    counts: dict[int, float] = field(default_factory=lambda: defaultdict(float))  # by input unit
    sums: list[float] = field(default_factory=list)  # of v or softmax(v), by class
    ticks: int = 0
    evidence: int = 0


def time_bins(spec: TimeBinsSpec, episode: Packet) -> list[Event]:
    """Every event as one of the unit of its bin, bins counted from the begin of the episode."""
    out = []
    for t_us, unit, value in events(episode):
        bin = 0
        while bin < spec.bins - 1 and t_us >= episode.begin_us + (bin + 1) * spec.bin_us:
            bin += 1
        out.append((t_us, bin * spec.n_in + unit, value))
    return sorted(out, key=lambda event: event[:2])


def readout(spec: ReadoutSpec, episode: Packet, every_us: int | None = None, window_us: int = 0, exit_at: float | None = None,
            rearm: bool = False) -> list[tuple[int, list[np.float32]]]:
    """The decisions: (t_us, value of each class)."""
    layer, decisions = Integrator(spec, episode), list[tuple[int, list[np.float32]]]()
    bins = [layer.new_bin()]  # the oldest first; the last is open
    for at_us, regular in moments(episode, every_us):
        if not regular and decisions and decisions[-1][0] == at_us - 1:
            break
        layer.take_in(bins[-1], at_us, regular)
        if any(bin.evidence for bin in bins):
            decisions.append((at_us - 1, softmax([score / f32(spec.temperature) for score in layer.scores(bins, window_us > 0)])))
            if exit_at is not None and max(decisions[-1][1]) >= f32(exit_at):
                if not rearm:
                    break
                layer.v, bins = [f32(0)] * spec.n_out, [layer.new_bin()]
        if window_us and every_us:
            bins = [*bins, layer.new_bin()][-(window_us // every_us) :]
    return decisions


def moments(episode: Packet, every_us: int | None) -> list[tuple[int, bool]]:
    """When decisions are due: at multiples of every_us (regular) and at the end."""
    first = 0 if every_us is None else (episode.begin_us // every_us + 1) * every_us
    grid = [] if every_us is None else range(first, episode.end_us + 1, every_us)
    return [*((at_us, True) for at_us in grid), (episode.end_us, False)]


class Integrator:
    """The input side of a readout: counts, or v at every tick."""

    def __init__(self, spec: ReadoutSpec, episode: Packet) -> None:
        self.spec, self.left, self.v = spec, events(episode), [f32(0)] * spec.n_out
        self.tick_us = spec.tick_us or 1
        self.tick = episode.begin_us // self.tick_us
        self.weight = np.eye(spec.n_out, dtype=f32) if spec.weight is None else spec.weight
        self.bias = [f32(0)] * spec.n_out if spec.bias is None else list(spec.bias)

    def new_bin(self) -> Bin:
        return Bin(sums=[0.0] * self.spec.n_out)

    def take_in(self, bin: Bin, at_us: int, regular: bool) -> None:
        if self.spec.score == "spike_count":
            for _, i, value in self.taken(at_us):
                bin.counts[i] += float(value)
                bin.evidence += 1
            return
        stop = at_us // self.tick_us if regular else -(-at_us // self.tick_us)
        while self.tick < stop:
            self.tick += 1
            self.run_tick(bin, self.taken(self.tick * self.tick_us))

    def taken(self, before_us: int) -> list[Event]:
        taken = [event for event in self.left if event[0] < before_us]
        self.left = self.left[len(taken) :]
        return taken

    def run_tick(self, bin: Bin, inputs: list[Event]) -> None:
        """v <- d v + b + sum of weight[i] value"""
        d = self.spec.decay()
        for c in range(self.spec.n_out):
            self.v[c] = self.v[c] * d[c] + self.bias[c]
            for _, i, value in inputs:
                if self.spec.weight is not None or i == c:
                    self.v[c] = self.v[c] + self.weight[i, c] * value
        added = softmax(self.v) if self.spec.score == "softmax_sum" else self.v
        joined = max if self.spec.score == "max_membrane" and bin.ticks else add
        bin.sums = [joined(total, float(x)) for total, x in zip(bin.sums, added, strict=True)]
        bin.ticks += 1
        bin.evidence += len(inputs)

    def scores(self, bins: list[Bin], windowed: bool) -> list[np.float32]:
        classes = range(self.spec.n_out)
        if self.spec.score == "spike_count":
            return [self.weighed(c, bins) for c in classes]
        if self.spec.score == "membrane" and not windowed:
            return self.v
        if self.spec.score == "max_membrane":
            return [f32(max(bin.sums[c] for bin in bins if bin.ticks)) for c in classes]
        sums = [sum(bin.sums[c] for bin in bins) for c in classes]
        ticks = sum(bin.ticks for bin in bins) if self.spec.score == "membrane" else 1
        return [f32(total / ticks) for total in sums]

    def weighed(self, c: int, bins: list[Bin]) -> np.float32:
        """b + sum over input units of weight[i] times their count"""
        score = self.bias[c]
        for i in range(self.spec.n_in):
            total = sum(bin.counts[i] for bin in bins)
            if total and (self.spec.weight is not None or i == c):
                score = score + f32(total) * self.weight[i, c]
        return score


def softmax(x: list[np.float32]) -> list[np.float32]:
    """exp(x - max x) / sum of them"""
    share = [f32(math.exp(float(score - max(x)))) for score in x]
    total = f32(0)
    for each in share:
        total = total + each
    return [each / total for each in share]
