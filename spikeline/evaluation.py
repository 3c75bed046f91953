"""How a pipeline classifies when its input is disturbed, and how early it could have stopped: a graph in, figures out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.probe import ProbeConfig
from pipeline.chain import Chain
from pipeline.contract import OperatorConfig
from pipeline.graph import Graph
from pipeline.packet import Format, Packet, decisions, with_flags

SHARES, KEPT_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0), (0.2, 0.4, 0.6, 0.8)
SIGMAS_IN_BINS = (1, 3, 5, 10, 17, 25)
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
Nodes = list[tuple[OperatorConfig, Format]]
Progress = Callable[[str], None]
Trace = list[tuple[int, int, float]]  # (t_us since the begin, class, confidence) of every decision of an episode


@dataclass(frozen=True)
class Case:
    """One way to run the pipeline: a probe in front of it (None: as it is), with or without its delays."""

    label: str
    probe: ProbeConfig | None = None
    delays: bool = True


def cases(bin_ms: float, seed: int, has_delays: bool) -> list[Case]:
    """Every probe at every strength; and the pipeline without its delays, if it has any."""
    def probe(how: str, **amount: float) -> Case:
        text = " ".join(f"{value:g}{' ms' if name == 'sigma_ms' else ''}" for name, value in amount.items())
        return Case(f"{how} {text}".strip(), ProbeConfig(how=how, bin_ms=bin_ms, seed=seed, **amount))  # type: ignore[arg-type]

    found = [Case("undisturbed")]
    found += [probe("relocate", share=share) for share in SHARES]
    found += [probe(how, sigma_ms=bins * bin_ms) for how in ("jitter", "unit_jitter") for bins in SIGMAS_IN_BINS]
    found += [probe("delete", share=share) for share in KEPT_SHARES]
    found.append(probe("reverse"))
    return [*found, Case("without delays", delays=False)] if has_delays else found


def evaluate(graph: Graph, *, bin_ms: float = 10.0, seed: int = 0, limit: int | None = None,
             progress: Progress = lambda label: None) -> dict[str, Any]:
    """Accuracy of every case on the labelled episodes of the graph's source, and the early-exit curve of the undisturbed one.

    bin_ms: bins of the probes, and the unit of their jitters. limit: most episodes. ValueError when nothing has a label.
    """
    if graph.format.kind != "decisions":
        raise ValueError(f"{graph.name}: wanted a pipeline that gives decisions, got one that gives {graph.format}")
    episodes = labelled_episodes(graph, limit)
    has_delays = any(node.config.type == "delay" for node in graph.operators)
    rows: list[dict[str, Any]] = []
    traces: list[Trace] = []
    for case in cases(bin_ms, seed, has_delays):
        progress(case.label)
        found = [_decided(chain, episode, graph.format) for chain, episode in _through(graph, case, episodes)]
        rows.append({"case": case.label, "accuracy": _accuracy(found, episodes)})
        traces = traces or found
    return {"pipeline": graph.name, "episodes": len(episodes), "chance": _chance(episodes), "bin_ms": bin_ms, "cases": rows,
            "early_exit": early_exit(traces, episodes)}


def labelled_episodes(graph: Graph, limit: int | None) -> list[Packet]:
    """The labelled episodes of the source, each as one packet: cutting changes nothing."""
    source = graph.source.prepare()(None)
    found: list[Packet] = []
    parts: list[Packet] = []
    try:
        for packet in source.packets():
            if packet is None:  # of a live source, in silence
                continue
            parts.append(packet)
            if packet.last:
                found += [_whole(parts)] if packet.label >= 0 else []
                parts = []
            if limit is not None and len(found) >= limit:
                break
    finally:
        source.close()
    if not found:
        raise ValueError(f"{graph.name}: its source {graph.source.type} gives no labelled episode to evaluate on")
    return found


def _whole(parts: Sequence[Packet]) -> Packet:
    t_us, unit = (np.concatenate([getattr(part, name) for part in parts]) for name in ("t_us", "unit"))
    value = None if parts[0].value is None else np.concatenate([part.value for part in parts if part.value is not None])
    return with_flags(Packet(parts[0].begin_us, parts[-1].end_us, t_us, unit, value), parts[-1])


def _through(graph: Graph, case: Case, episodes: list[Packet]) -> Iterator[tuple[Chain, Packet]]:
    chain = Chain(nodes(graph, case))
    for episode in episodes:
        yield chain, episode


def nodes(graph: Graph, case: Case) -> Nodes:
    """The operators of the graph for a case: the probe stands where the first spikes are."""
    found: Nodes = []
    format, probe = graph.source_format, case.probe
    for node in graph.operators:
        if probe is not None and format.kind == "spikes":
            found.append((probe, format))
            format, probe = probe.check(format), None
        if case.delays or node.config.type != "delay":
            found.append((node.config, format))
            format = node.config.check(format)
    return found


def _decided(chain: Chain, episode: Packet, format: Format) -> Trace:
    """The decisions; the last is the episode's answer."""
    out = chain.push(episode)
    return [(d.t_us + 1 - episode.begin_us, d.index, d.confidence) for d in decisions(out, format)]


def _accuracy(found: list[Trace], episodes: list[Packet]) -> float:
    right = sum(bool(trace) and trace[-1][1] == episode.label for trace, episode in zip(found, episodes, strict=True))
    return right / len(episodes)


def _chance(episodes: list[Packet]) -> float:
    """What the most frequent class alone would reach."""
    return float(np.bincount([episode.label for episode in episodes]).max()) / len(episodes)


def early_exit(found: list[Trace], episodes: list[Packet]) -> list[dict[str, float]]:
    """For each threshold: accuracy, and the mean time to the decision as a share of the time to the final one, if the first
    decision whose confidence reaches it were final. The decisions in between are those of the readout's every_ms."""
    rows = []
    for threshold in (*THRESHOLDS, 2.0):
        right, spent, whole = 0, 0, 0
        for trace, episode in zip(found, episodes, strict=True):
            if not trace:
                continue
            t_us, index, _ = next((d for d in trace if d[2] >= threshold), trace[-1])
            right += index == episode.label
            spent, whole = spent + t_us, whole + trace[-1][0]
        share = spent / whole if whole else 1.0
        rows.append({"threshold": min(threshold, 1.0), "accuracy": right / len(episodes), "time_share": round(share, 4),
                     "mean_ms": round(spent / 1000 / len(episodes), 3)})
    return rows
