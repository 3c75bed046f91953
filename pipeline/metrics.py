"""Counters and histograms of each stage, and their reading as a summary or in Prometheus' form."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.contract import State
from pipeline.packet import Decision, Format, Packet, decisions


class LogHistogram:
    """Counts of positive numbers in buckets 1 % wide: any quantile to 1 %, the maximum exactly, in constant memory.

    >>> h = LogHistogram()
    >>> for us in (100, 200, 300): h.add(us)
    >>> round(h.quantile(0.5) / 200, 2)
    1.0
    """

    WIDTH = math.log(1.01)
    BUCKETS = 3200  # 1.01 ** 3200 = 6.7e13: microseconds up to two years

    def __init__(self, counts: np.ndarray | None = None, greatest: float = 0.0) -> None:
        self.counts = np.zeros(self.BUCKETS, np.int64) if counts is None else counts.copy()
        self.greatest = greatest

    def add(self, value: float, times: int = 1) -> None:
        bucket = 0 if value <= 1 else min(self.BUCKETS - 1, 1 + int(math.log(value) / self.WIDTH))
        self.counts[bucket] += times
        self.greatest = max(self.greatest, value)

    def quantile(self, share: float) -> float:
        """The value below which `share` of all lie; 0 of none."""
        total = int(self.counts.sum())
        if total == 0:
            return 0.0
        bucket = int(np.searchsorted(self.counts.cumsum(), math.ceil(share * total)))
        return min(self.greatest, math.exp((bucket - 0.5) * self.WIDTH) if bucket else 1.0)

    def summary(self) -> dict[str, float]:
        return {"p50": round(self.quantile(0.5), 1), "p99": round(self.quantile(0.99), 1), "max": round(self.greatest, 1)}


class StageMetrics:
    """What one stage has received, sent and worked. Times in seconds; `watermark_us` is the stream time reached.

    `busy_s` counts the handling of packets, the waiting for the next stage (`blocked_s`) included; reports set them apart.
    """

    COUNTERS = ("packets_in", "events_in", "packets_out", "events_out", "lost", "episodes")

    def __init__(self, state: State | None = None) -> None:
        self.packets_in = self.events_in = self.packets_out = self.events_out = self.lost = self.episodes = 0
        self.busy_s = self.blocked_s = self.stream_s = 0.0
        self.watermark_us = 0
        if state:
            for name in self.COUNTERS:
                setattr(self, name, int(state[name]))
            self.stream_s = float(state["stream_s"])
        self._events_before, self._stream_s_before = self.events_in, self.stream_s  # of the run that this one resumes

    def received(self, packet: Packet) -> None:
        self.packets_in += 1
        self.events_in += packet.n
        self.lost += packet.lost
        self.stream_s += (packet.end_us - packet.begin_us) / 1e6
        self.watermark_us = packet.end_us
        self.episodes += packet.last

    def sent(self, packet: Packet) -> None:
        self.packets_out += 1
        self.events_out += packet.n

    def snapshot(self) -> State:
        return {name: np.array(getattr(self, name)) for name in (*self.COUNTERS, "stream_s")}

    def report(self) -> dict[str, Any]:
        counters = {name: getattr(self, name) for name in self.COUNTERS}
        here = {"events_here": self.events_in - self._events_before, "stream_s_here": self.stream_s - self._stream_s_before}
        return counters | here | {"busy_s": round(self.busy_s - self.blocked_s, 6), "backpressured_s": round(self.blocked_s, 6),
                                  "stream_s": self.stream_s, "watermark_us": self.watermark_us}


class Tally:
    """Counts the decisions that reach the sinks, the episodes they answer and how long each took.

    An episode's answer is its final decision; a labelled episode without one counts as wrong.
    """

    COUNTERS = ("decisions", "labelled", "correct")

    def __init__(self, format: Format, state: State | None = None) -> None:
        self._format = format
        self.decisions = self.labelled = self.correct = 0
        self.by_class = np.zeros(format.size if format.kind == "decisions" else 0, np.int64)
        self.latency_us = LogHistogram()
        self._answer = -1
        self.latest: Decision | None = None
        self._seen = (0, -1)  # episode and label of the latest decision
        if state:
            for name in self.COUNTERS:
                setattr(self, name, int(state[name]))
            self._answer = int(state["answer"])
            self.by_class = state["by_class"].copy()
            self.latency_us = LogHistogram(state["latency_counts"], float(state["latency_greatest"]))

    def add(self, packet: Packet, latency_us: float) -> None:
        """Count a packet that the sinks have written, `latency_us` after the source handed out what caused it."""
        if self._format.kind != "decisions":
            return
        if packet.n:
            for decision in decisions(packet, self._format):
                self.decisions += 1
                self.by_class[decision.index] += 1
                self.latency_us.add(latency_us)
                self._answer = decision.index if decision.final else self._answer
                self.latest, self._seen = decision, (packet.episode, packet.label)
        if packet.last:
            if packet.label >= 0:
                self.labelled += 1
                self.correct += self._answer == packet.label
            self._answer = -1

    def snapshot(self) -> State:
        numbers = {name: np.array(getattr(self, name)) for name in self.COUNTERS}
        return numbers | {"answer": np.array(self._answer), "by_class": self.by_class.copy(),
                          "latency_counts": self.latency_us.counts.copy(), "latency_greatest": np.array(self.latency_us.greatest)}

    def report(self) -> dict[str, Any]:
        counters: dict[str, Any] = {name: getattr(self, name) for name in self.COUNTERS}
        counters |= {"latency_us": self.latency_us.summary(), "by_class": self.by_class.tolist(), "decision": None}
        if self.latest is not None:
            counters["decision"] = self.latest.as_dict() | {
                "index": self.latest.index, "scores": self.latest.scores.tolist(), "names": list(self._format.names),
                "episode": self._seen[0], "label": self._seen[1],
            }
        return counters


# Prometheus' names for the figures of a stage's report: (name without prefix, help, the report's key).
_COUNTER_NAMES = (
    ("events_received", "events received", "events_in"), ("events_sent", "events sent", "events_out"),
    ("packets_received", "packets received", "packets_in"), ("packets_sent", "packets sent", "packets_out"),
    ("busy_seconds", "time spent at work", "busy_s"), ("idle_seconds", "time spent waiting for input", "idle_s"),
    ("backpressured_seconds", "time spent waiting for the next stage", "backpressured_s"),
    ("sequence_gaps", "messages missing between two received", "sequence_gaps"),
)


class PrometheusCollector:
    """Offers the latest reports of all stages to prometheus_client: `registry.register(PrometheusCollector(...))`."""

    def __init__(self, pipeline: str, reports: dict[str, dict[str, Any]]) -> None:
        self._pipeline = pipeline
        self._reports = reports  # filled by the runner while it goes on

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        labels = ("pipeline", "component", "kind")
        reports = [((self._pipeline, name, report.get("kind", "")), report) for name, report in self._reports.items()]
        for name, text, key in _COUNTER_NAMES:
            family = CounterMetricFamily(f"spikeline_{name}", text, labels=labels)
            for at, report in reports:
                family.add_metric(at, report.get(key, 0))
            yield family
        lost = CounterMetricFamily("spikeline_events_discarded", "events lost or dropped", labels=(*labels, "reason"))
        watermark = GaugeMetricFamily("spikeline_watermark_timestamp_seconds", "stream time reached", labels=labels)
        drift = GaugeMetricFamily("spikeline_replay_drift_seconds", "how late the replay is", labels=labels)
        for at, report in reports:
            lost.add_metric((*at, "overload"), report.get("lost", 0) if report.get("kind") == "source" else 0)
            watermark.add_metric(at, report.get("watermark_us", 0) / 1e6)
            if "drift_ms" in report:
                drift.add_metric(at, report["drift_ms"]["last"] / 1e3)
        yield from (lost, watermark, drift)
        yield from self._decisions(labels, reports)

    def _decisions(self, labels: tuple[str, ...], reports: list[tuple[tuple[str, str, str], dict[str, Any]]]) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        made = CounterMetricFamily("spikeline_decisions", "decisions written", labels=(*labels, "label"))
        latency = GaugeMetricFamily("spikeline_end_to_end_latency_seconds", "packet handed out to decision written",
                                    labels=(*labels, "quantile"))
        layers = {key: CounterMetricFamily(f"spikeline_{key}", text, labels=labels)
                  for key, text in (("spikes", "spikes emitted"), ("synaptic_operations", "weights added"))}
        for at, report in reports:
            for index, count in enumerate(report.get("by_class", ())):
                made.add_metric((*at, str(index)), count)
            for quantile, us in report.get("latency_us", {}).items():
                latency.add_metric((*at, quantile), us / 1e6)
            for layer, figures in report.get("operators", {}).items():
                for key in layers.keys() & figures.keys():
                    layers[key].add_metric((at[0], layer, at[2]), figures[key])
        yield from (made, latency, *layers.values())
