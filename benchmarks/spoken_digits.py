"""How well, how early and how fast spoken digits are told: the model of configs/spoken_digit_file.yaml on FSDD's test part.

Accuracy against the time from onset (the files are trimmed, so onset is the begin of an episode), with and without its delays,
and on spikes of the other mode of the cochlea: from files that `spikeline encode-sound` made. `--live N`: N recordings played in
real time as sound, through ZeroMQ stages; the digit's latency runs from the word's end, when its last packet is handed out,
to the return of the write of its final decision. The live answers must be those of the same recordings at full speed.

python -m benchmarks.spoken_digits --spikes causal.h5 [--other exact.h5] [--model FILE] [--live 60] [--plot FILE] [--json FILE]
"""

from __future__ import annotations

import json
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import spikeline
from benchmarks.report import Row, arguments, data_folder, publish
from operators.crop_pool import CropPoolConfig
from pipeline.chain import Chain
from pipeline.contract import OperatorConfig
from pipeline.model_file import load_model
from pipeline.packet import Format, decisions
from sources.shd import ShdConfig
from spikeline.catalog import OPERATORS

CONFIGS = Path(__file__).parents[1] / "configs"
MODEL, CONFIG = CONFIGS / "models/spoken_digit.safetensors", CONFIGS / "spoken_digit_file.yaml"
TEST = ("*_[0-4].wav",)
TIMES_MS = (100, 150, 200, 250, 300, 400, 500, 600, 800, 1000)
CONFIDENT = 0.9
Trace = list[tuple[float, int, float]]  # (ms from onset, class, confidence) of each decision of an episode
KINDS = {"LIFSpec": "lif", "DelaySpec": "delay", "ReadoutSpec": "readout"}


def traces(model: Path, spikes: Path, *, delays: bool = True, every_ms: float = 10.0) -> tuple[list[Trace], list[int]]:
    """Every decision of each test episode, and the episodes' labels."""
    source = ShdConfig(path=spikes, files=TEST, packet_ms=100.0).prepare()(None)
    chain, format = _chain(model, source.format, delays, every_ms)
    found: list[Trace] = []
    labels: list[int] = []
    trace: Trace = []
    for packet in source.packets():
        assert packet is not None
        trace += [((d.t_us + 1) / 1000, d.index, d.confidence) for d in decisions(chain.push(packet), format)]
        if packet.last:
            found.append(trace)
            labels.append(packet.label)
            trace = []
    source.close()
    return found, labels


def _chain(model: Path, format: Format, delays: bool, every_ms: float) -> tuple[Chain, Format]:
    configs: list[OperatorConfig] = [CropPoolConfig(to=(140,))]
    for name, spec in load_model(model).layers.items():
        kind = KINDS[type(spec).__name__]
        options: dict[str, Any] = {"every_ms": every_ms} if kind == "readout" else {}
        if delays or kind != "delay":
            configs.append(OPERATORS[kind].model_validate({"type": kind, "model": model, "layer": name, **options}))
    nodes = []
    for config in configs:
        nodes.append((config, format))
        format = config.check(format)
    return Chain(nodes), format


def accuracy_at(found: list[Trace], labels: list[int], ms: float) -> float:
    """The share whose latest decision at that time is right; none yet is wrong."""
    latest = ([index for t_ms, index, _ in trace if t_ms <= ms] for trace in found)
    return float(np.mean([bool(told) and told[-1] == label for told, label in zip(latest, labels, strict=True)]))


def figures(case: str, found: list[Trace], labels: list[int]) -> Row:
    """Accuracy at the end and with the first confident decision, and when that comes."""
    first = [next((d for d in trace if d[2] >= CONFIDENT), trace[-1]) for trace in found if trace]
    right = [index == label for (_, index, _), label in zip(first, labels, strict=True)]
    settled = list(_settled_ms(found, labels))
    return {"case": case, "accuracy": round(accuracy_at(found, labels, np.inf), 4), "episodes": len(labels),
            "accuracy_first_confident": round(float(np.mean(right)), 4),
            "first_confident_ms_p50": float(np.median([t_ms for t_ms, _, _ in first])),
            "settled_ms_p50": float(np.median(settled))}


def _settled_ms(found: list[Trace], labels: list[int]) -> Iterator[float]:
    """Of the episodes told rightly: from when on the answer does not change again."""
    for trace, label in zip(found, labels, strict=True):
        if trace and trace[-1][1] == label:
            wrong = [i for i, (_, index, _) in enumerate(trace) if index != label]
            yield trace[wrong[-1] + 1 if wrong else 0][0]


def live(limit: int, model: Path, folder: Path) -> Row:
    """The recordings as sound, in real time and at full speed. Figures of the first."""
    answers = {}
    row: Row = {}
    for pace in ("realtime", "fast"):
        lines = folder / f"{pace}.jsonl"
        settings = [f"source.path={data_folder()}/fsdd", f"source.limit={limit}", f"source.pace={pace}",
                    f"sinks=[{{type: json_lines, path: {lines}}}]", "stages.checkpoint_every_s=null"]
        settings += [f"operators.{i}.model={model}" for i in range(2, 6)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        summary = spikeline.run(spikeline.load(CONFIG, settings), inline=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        decided = [json.loads(line) for line in lines.read_text().splitlines()]
        answers[pace] = {d["episode"]: (d["class"], d["label"]) for d in decided}
        if pace == "realtime":
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            row = {"summary": summary, "cpu_s": round(spent, 2)}
    right = [told == label for told, label in answers["realtime"].values()]
    if answers["realtime"] != answers["fast"]:
        raise SystemExit("the answers in real time and at full speed differ")
    return row | {"case": "live", "accuracy": round(float(np.mean(right)), 4), "episodes": len(right)}


def save_plot(path: Path, cases: dict[str, tuple[list[Trace], list[int]]]) -> None:
    """Accuracy against time from onset."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    times_ms = np.arange(50, 1201, 25)
    for case, (found, labels) in cases.items():
        axes.plot(times_ms, [accuracy_at(found, labels, float(ms)) for ms in times_ms], label=case)
    axes.set(xlabel="ms from onset", ylabel="accuracy", ylim=(0, 1))
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--spikes", type=Path, help="FSDD as spikes of the causal cochlea")
    parser.add_argument("--other", type=Path, help="the same of the exact one")
    parser.add_argument("--model", type=Path, default=MODEL, help="model file")
    parser.add_argument("--live", type=int, default=0, metavar="N", help="play N recordings in real time")
    parser.add_argument("--plot", type=Path, help="picture of accuracy against time from onset")
    options = parser.parse_args()
    model = options.model.absolute()
    cases: dict[str, tuple[list[Trace], list[int]]] = {}
    if options.spikes:
        cases["as it is"] = traces(model, options.spikes)
        cases["its delays taken away"] = traces(model, options.spikes, delays=False)
    if options.other:
        cases["spikes of the other mode"] = traces(model, options.other)
    rows = [figures(case, *case_traces) for case, case_traces in cases.items()]
    for row, case_traces in zip(rows, cases.values(), strict=True):
        row["at_ms"] = {ms: round(accuracy_at(*case_traces, ms), 3) for ms in TIMES_MS}
    if options.plot:
        save_plot(options.plot, cases)
    if options.live:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(live(options.live, model, Path(folder)))
    publish("spoken digits", rows, options.json)
    for row in rows:
        print(row["case"], row.get("at_ms", row.get("summary")))


if __name__ == "__main__":
    main()
