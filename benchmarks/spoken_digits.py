"""How well, how early and how fast spoken digits are told: by configs/spoken_digit_file.yaml on FSDD's test part.

Accuracy against the time from onset (the files are trimmed, so onset is the begin of an episode), with its delays and without:
from a file that `spikeline encode-sound` made with the ear of the pipeline; and on spikes of an ear of other settings.
`--live N`: N recordings played in real time as sound, through ZeroMQ stages; the digit's latency runs from the word's end, when
its last packet is handed out, to the return of the write of its final decision. The live answers must be those of the same
recordings at full speed. `--stream MINUTES`: the microphone's pipeline on backgrounds without words, and with words in them.

python -m benchmarks.spoken_digits --spikes fsdd.h5 [--other other.h5] [--config PIPELINE] [--live 60] [--stream 5] [--plot FILE]
"""

from __future__ import annotations

import json
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

import spikeline
from benchmarks.report import Row, arguments, data_folder, publish
from operators.delay import DelayConfig
from operators.delay_taps import DelayTapsConfig
from pipeline.chain import Chain
from pipeline.contract import OperatorConfig
from pipeline.packet import Format, Packet, decisions
from sources.shd import ShdConfig
from sources.sound_files import list_sounds, read_sound, stamps_us
from spikeline.catalog import OPERATORS
from spikeline.encode_sound import SILENCE
from spikeline.sound_variants import noise

CONFIGS = Path(__file__).parents[1] / "configs"
CONFIG, ENDLESS = CONFIGS / "spoken_digit_file.yaml", CONFIGS / "spoken_digit.yaml"
TEST = ("*_[0-4].wav",)
TIMES_MS = (100, 150, 200, 250, 300, 400, 500, 600, 800, 1000)
CONFIDENT, DIGITS = 0.9, 10  # a class beyond the digits is silence
SURE = 0.75  # from which on the microphone's pipeline prints
Trace = list[tuple[float, int, float]]  # (ms from onset, class, confidence) of each decision of an episode


def traces(config: Path, spikes: Path, *, delays: bool = True, every_ms: float = 10.0) -> tuple[list[Trace], list[int]]:
    """Every decision of each test episode, and the episodes' labels. spikes: what the first operator of `config` gives."""
    source = ShdConfig(path=spikes, files=TEST, packet_ms=100.0).prepare()(None)
    behind = _operators(config)[1:]
    if not delays:
        behind = [kept for operator in behind if (kept := _at_once(operator)) is not None]
    behind[-1] = behind[-1].model_copy(update={"every_ms": every_ms})
    chain, format = _chain(behind, source.format)
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


def _operators(config: Path) -> list[OperatorConfig]:
    """The operators of a pipeline's YAML file."""
    found = YAML(typ="safe").load(config.read_text())["operators"]
    for options in found:
        if "model" in options:
            options["model"] = config.parent / options["model"]
    return [OPERATORS[options["type"]].model_validate(options) for options in found]


def _at_once(operator: OperatorConfig) -> OperatorConfig | None:
    """An operator without its delays: none at all, or taps that lie within one tick."""
    if isinstance(operator, DelayTapsConfig):
        return operator.model_copy(update={"taps_ms": tuple(k / 1000 for k in range(len(operator.taps_ms)))})
    return None if isinstance(operator, DelayConfig) else operator


def _chain(configs: list[OperatorConfig], format: Format) -> tuple[Chain, Format]:
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
    first = [next((d for d in trace if d[2] >= CONFIDENT and d[1] < DIGITS), trace[-1]) for trace in found if trace]
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


def live(limit: int, config: Path, folder: Path) -> Row:
    """The recordings as sound, in real time and at full speed. Figures of the first."""
    answers = {}
    row: Row = {}
    for pace in ("realtime", "fast"):
        lines = folder / f"{pace}.jsonl"
        settings = [f"source.path={data_folder()}/fsdd", f"source.limit={limit}", f"source.pace={pace}",
                    f"sinks=[{{type: json_lines, path: {lines}}}]", "stages.checkpoint_every_s=null"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        summary = spikeline.run(spikeline.load(config, settings), inline=False)
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


def streams(minutes: float) -> Iterator[Row]:
    """What the microphone's pipeline decides on backgrounds of several levels, alone and with a word every 1.5 s in them."""
    rng = np.random.default_rng(1)
    configs = _operators(ENDLESS)
    rate_hz = float(YAML(typ="safe").load(ENDLESS.read_text())["source"]["rate_hz"])
    sounds = list_sounds(data_folder() / "fsdd", TEST)[1]
    for level_db in (-80, -60, -50, -40, -30):
        for colour, name in ((0.0, "white"), (1.0, "pink")):
            n = round(minutes * 60 * rate_hz)
            sound = noise(n, rate_hz, colour, rng) * 10 ** (level_db / 20)
            found = _digits(configs, sound, rate_hz)
            row: Row = {"case": f"{name} noise, {level_db} dB", "false_per_minute": round(len(found) / minutes, 2)}
            words = []
            for begin_s in np.arange(1.0, minutes * 60 - 2, 1.5):
                word = sounds[int(rng.integers(len(sounds)))]
                samples = np.concatenate(list(read_sound(word.path, rate_hz)))[: round(rate_hz)]
                samples = samples * (0.1 / max(float(np.sqrt(np.mean(samples**2))), 1e-9))  # -20 dB
                at = round(begin_s * rate_hz)
                sound[at : at + samples.size] += samples
                words.append((begin_s, begin_s + samples.size / rate_hz, word.label))
            found = _digits(configs, sound, rate_hz)
            yield row | _heard_words(found, words)


def _digits(configs: list[OperatorConfig], sound: np.ndarray, rate_hz: float) -> list[tuple[float, int]]:
    """The decisions on an endless sound that name a digit and would be printed: (s, class)."""
    chain, format = _chain(configs, Format("graded", (1,), rate_hz=rate_hz))
    t_us, found, step = stamps_us(np.arange(sound.size + 1), rate_hz), [], round(rate_hz / 10)
    for at in range(0, sound.size, step):
        end = min(at + step, sound.size)
        samples = np.zeros(end - at, np.uint32), sound[at:end].astype(np.float32)
        out = chain.push(Packet(int(t_us[at]), int(t_us[end]), t_us[at:end], *samples))
        found += [(d.t_us / 1e6, d.index) for d in decisions(out, format) if d.confidence >= SURE and d.name != SILENCE]
    return found


def _heard_words(found: list[tuple[float, int]], words: list[tuple[float, float, int]]) -> Row:
    """A word is told by the digits decided from its begin to 0.5 s after its end; right, if the last of them is."""
    right, missed, used = 0, 0, 0
    late_ms = list[float]()
    for begin_s, end_s, label in words:
        own = [(t_s, index) for t_s, index in found if begin_s <= t_s < end_s + 0.5]
        used += len(own)
        missed += not own
        right += bool(own) and own[-1][1] == label
        if own:
            late_ms.append(1000 * (own[0][0] - end_s))
    return {"words": len(words), "right": round(right / len(words), 3), "missed": round(missed / len(words), 3),
            "false_beside_words": len(found) - used,
            "first_after_word_ms_p50": round(float(np.median(late_ms))) if late_ms else None}


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
    parser.add_argument("--spikes", type=Path, help="FSDD as spikes of the pipeline's ear")
    parser.add_argument("--other", type=Path, help="the same of an ear of other settings")
    parser.add_argument("--config", type=Path, default=CONFIG, help="the pipeline")
    parser.add_argument("--live", type=int, default=0, metavar="N", help="play N recordings in real time")
    parser.add_argument("--stream", type=float, default=0, metavar="MINUTES", help="the microphone's pipeline, at each level")
    parser.add_argument("--plot", type=Path, help="picture of accuracy against time from onset")
    options = parser.parse_args()
    config = options.config.absolute()
    cases: dict[str, tuple[list[Trace], list[int]]] = {}
    if options.spikes:
        cases["as it is"] = traces(config, options.spikes)
        cases["its delays taken away"] = traces(config, options.spikes, delays=False)
    if options.other:
        cases["spikes of the other ear"] = traces(config, options.other)
    rows = [figures(case, *case_traces) for case, case_traces in cases.items()]
    for row, case_traces in zip(rows, cases.values(), strict=True):
        row["at_ms"] = {ms: round(accuracy_at(*case_traces, ms), 3) for ms in TIMES_MS}
    if options.plot:
        save_plot(options.plot, cases)
    if options.live:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(live(options.live, config, Path(folder)))
    if options.stream:
        rows += streams(options.stream)
    publish("spoken digits", rows, options.json)
    for row in rows:
        print(row["case"], row.get("at_ms", row.get("summary", "")))


if __name__ == "__main__":
    main()
