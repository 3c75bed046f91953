"""Counters, histograms and answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from pipeline.metrics import LogHistogram, PrometheusCollector, StageMetrics, Tally
from pipeline.packet import Format, Packet

TWO = Format("decisions", (2,), names=("left", "right"))


def decided(t_us: int, right: float, *, last: bool = False, label: int = -1, episode: int = 0) -> Packet:
    value = np.array([1 - right, right], np.float32)
    return Packet(t_us, t_us + 1, np.full(2, t_us), np.array([0, 1], np.uint32), value, episode, last, label)


@given(st.lists(st.floats(1, 1e9), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_is_right_to_one_percent(values: list[float], share: float) -> None:
    histogram = LogHistogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[max(0, int(np.ceil(share * len(values))) - 1)]
    assert histogram.quantile(share) == pytest.approx(exact, rel=0.0101)
    assert histogram.greatest == max(values)


def test_an_empty_histogram_is_zero() -> None:
    assert LogHistogram().summary() == {"p50": 0.0, "p99": 0.0, "max": 0.0}


def test_the_answer_of_an_episode_is_its_final_decision() -> None:
    tally = Tally(TWO)
    tally.add(decided(0, 0.9, label=0), 10.0)
    tally.add(decided(1, 0.2, label=0, last=True), 10.0)
    assert (tally.decisions, tally.labelled, tally.correct) == (2, 1, 1)


def test_a_labelled_episode_without_a_final_decision_is_wrong() -> None:
    tally = Tally(TWO)
    tally.add(decided(0, 0.1, label=0), 10.0)
    tally.add(Packet(1, 2, value=np.empty(0, np.float32), last=True, label=0), 10.0)
    assert (tally.labelled, tally.correct) == (1, 0)


def test_an_answer_does_not_outlive_its_episode() -> None:
    tally = Tally(TWO)
    tally.add(decided(0, 0.1, last=True, label=0), 10.0)
    tally.add(Packet(0, 1, value=np.empty(0, np.float32), last=True, label=0, episode=1), 10.0)
    assert (tally.labelled, tally.correct) == (2, 1)


def test_counts_go_on_from_a_snapshot() -> None:
    tally, metrics = Tally(TWO), StageMetrics()
    packet = decided(0, 0.9, label=1)
    for count in (tally, metrics):
        count.add(packet, 7.0) if isinstance(count, Tally) else count.received(packet)
    tally, metrics = Tally(TWO, tally.snapshot()), StageMetrics(metrics.snapshot())
    tally.add(decided(1, 0.9, last=True, label=1), 7.0)
    metrics.received(packet)
    assert (tally.decisions, tally.correct, tally.latency_us.counts.sum()) == (2, 1, 2)
    assert metrics.report()["events_in"] == 4
    assert metrics.report()["events_here"] == 2


def test_prometheus_is_offered_the_documented_names() -> None:
    tally = Tally(TWO)
    tally.add(decided(0, 0.9), 250.0)
    reports = {"source": {"kind": "source", "events_in": 5, "lost": 2, "watermark_us": 1500, "drift_ms": {"last": 3.0}},
               "operators": {"kind": "operators", "operators": {"operators[0] lif": {"spikes": 8, "synaptic_operations": 64}}},
               "sinks": {"kind": "sinks"} | tally.report()}
    registry = CollectorRegistry()
    registry.register(PrometheusCollector("eye", reports))
    text = generate_latest(registry).decode()
    for line in (
        'spikeline_events_received_total{component="source",kind="source",pipeline="eye"} 5.0',
        'spikeline_events_discarded_total{component="source",kind="source",pipeline="eye",reason="overload"} 2.0',
        'spikeline_watermark_timestamp_seconds{component="source",kind="source",pipeline="eye"} 0.0015',
        'spikeline_replay_drift_seconds{component="source",kind="source",pipeline="eye"} 0.003',
        'spikeline_spikes_total{component="operators[0] lif",kind="operators",pipeline="eye"} 8.0',
        'spikeline_decisions_total{component="sinks",kind="sinks",label="1",pipeline="eye"} 1.0',
        'spikeline_end_to_end_latency_seconds{component="sinks",kind="sinks",pipeline="eye",quantile="max"} 0.00025',
    ):
        assert line in text
