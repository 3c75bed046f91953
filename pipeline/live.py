"""Reports of the stages in; a picture of the running pipeline on the terminal out."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

Reports: TypeAlias = dict[str, dict[str, Any]]
Line: TypeAlias = list[tuple[str, str]]  # pieces of text and their styles

REFRESH_S = 0.2
RATE_WINDOW_S = 1.5
MOST_BARS = 12


class LiveView:
    """Shows the current class, confidence bars, event rate, lag, losses, accuracy so far and what each stage does.

    It draws on stderr and leaves nothing behind. What this process prints meanwhile appears above it, if stdout is a terminal
    too; the runner passes on what stages in other processes print.

    >>> with LiveView("demo", Console(file=sys.stderr)) as view:
    ...     view.update({"source": {"kind": "source", "events_in": 1200, "packets_in": 12}})
    """

    def __init__(self, name: str, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._name, self._clock = name, clock
        self._rates = Rates()
        self._begin_s = clock()
        self._due_s = 0.0
        self._live = Live(console=console or Console(stderr=True), transient=True, auto_refresh=False,
                          redirect_stdout=sys.stdout.isatty())

    @staticmethod
    def wanted(quiet: bool) -> bool:
        """Whether to show it: on a terminal that is able to, unless told to be quiet."""
        return not quiet and sys.stderr.isatty() and not Console(stderr=True).is_dumb_terminal

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def update(self, reports: Reports) -> None:
        """Take the latest report of each stage, by name; draw if the last drawing is old enough."""
        now_s = self._clock()
        if now_s < self._due_s:
            return
        self._due_s = now_s + REFRESH_S
        self._rates.add(now_s, reports)
        width = self._live.console.width
        self._live.update(picture(self._name, reports, self._rates, now_s - self._begin_s, width), refresh=True)


class Rates:
    """Growth per second of the stages' counters over the last second or so."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Reports]] = deque()

    def add(self, now_s: float, reports: Reports) -> None:
        counters = {stage: {key: value for key, value in report.items() if isinstance(value, int | float)}
                    for stage, report in reports.items()}
        self._samples.append((now_s, counters))
        while len(self._samples) > 2 and self._samples[1][0] <= now_s - RATE_WINDOW_S:
            self._samples.popleft()

    def per_s(self, stage: str, counter: str) -> float | None:
        """None as long as it cannot be told."""
        if not self._samples:
            return None
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        before, after = first.get(stage, {}).get(counter), last.get(stage, {}).get(counter)
        if before is None or after is None or last_s <= first_s:
            return None
        return max(0.0, (after - before) / (last_s - first_s))


def picture(name: str, reports: Reports, rates: Rates, elapsed_s: float, width: int) -> RenderableType:
    """Everything that is shown, `width` columns wide. It is laid out here: rich's own tables take five times as long."""
    title = Text.assemble((name, "bold"), f"  {elapsed_s:.0f} s")
    if not reports:
        return Panel(Text("starting", style="dim"), title=title, border_style="dim", width=width)
    inner = width - 4
    stages = list(reports.values())
    source = next((report for report in stages if report.get("kind") == "source"), stages[0])
    sinks = next((report for report in reversed(stages) if "decisions" in report), stages[-1])
    lines = _decision_lines(sinks, inner) if "decisions" in sinks else []
    lines += [*_figure_lines(reports, source, sinks, rates, inner), [], *_stage_lines(reports, rates, inner)]
    text = Text("\n").join(Text.assemble(*line) for line in lines)
    text.no_wrap = True
    return Panel(text, title=title, border_style="blue", width=width)


def _decision_lines(sinks: dict[str, Any], width: int) -> list[Line]:
    """The class on the left, a bar for each class on the right, and a blank line."""
    decision = sinks.get("decision")
    if decision is None:
        return [[(_fit("no decision yet", width, "^"), "dim")], []]
    left_width = width // 2 - 1
    left, right = _class_lines(decision, left_width), _bar_lines(decision, width - left_width - 2)
    height = max(len(left), len(right))
    blank: Line = [(" " * left_width, "")]
    above = (height - len(left)) // 2
    left = [blank] * above + left + [blank] * (height - len(left) - above)
    right += [[]] * (height - len(right))
    return [[*a, ("  ", ""), *b] for a, b in zip(left, right, strict=True)] + [[]]


def _class_lines(decision: dict[str, Any], width: int) -> list[Line]:
    """The class in wide letters on a band: green or red once it is the answer of a labelled episode."""
    names, label = decision["names"], decision.get("label", -1)
    final, right = decision["final"], label == decision["index"]
    colour = "cyan" if label < 0 or not final else ("green" if right else "red")
    mark = "" if label < 0 else (", correct" if right else f", wrong: it is {_name(names, label)}")
    word = " ".join(_name(names, decision["index"]).upper())
    state = f"{decision['confidence']:.3f}{', final' if final else ''}{mark}"
    where = f"episode {decision.get('episode', 0)}, {decision['t_us'] / 1e6:.3f} s"
    band = f"bold reverse {colour}"
    texts = (("", band), (word, band), ("", band), (state, colour), (where, "dim"))
    return [[(_fit(text, width, "^"), style)] for text, style in texts]


def _bar_lines(decision: dict[str, Any], width: int) -> list[Line]:
    """One bar a class, in their order; of many classes the most confident ones."""
    scores, best = decision["scores"], decision["index"]
    shown = list(range(len(scores)))
    if len(scores) > MOST_BARS:
        shown = sorted(shown, key=lambda index: -scores[index])[:MOST_BARS]
    names = [_name(decision["names"], index) for index in shown]
    name_width = min(max(map(cell_len, names)), width // 2)
    bar_width = max(0, width - name_width - 8)
    lines: list[Line] = []
    for index, name in zip(shown, names, strict=True):
        style = "bold cyan" if index == best else "blue"
        length = round(min(max(scores[index], 0.0), 1.0) * bar_width)
        lines.append([(_fit(name, name_width, ">") + " ", style), ("\u2501" * length, style),
                      (" " * (bar_width - length), ""), (f" {scores[index]:.3f}", style)])
    return lines


def _figure_lines(reports: Reports, source: dict[str, Any], sinks: dict[str, Any], rates: Rates, width: int) -> list[Line]:
    """The figures of the whole pipeline in a row: name above, value below."""
    lost = max(report.get("lost", 0) for report in reports.values())
    labelled, latency = sinks.get("labelled", 0), sinks.get("latency_us") or {}
    figures = [
        ("stream", f"{source.get('stream_s', source.get('watermark_us', 0) / 1e6):.1f} s", ""),
        ("events/s", _short(rates.per_s(source.get("name", next(iter(reports))), "events_in")), ""),
        ("lag", _lag(source), ""),
        ("lost", _short(lost), "bold red" if lost else ""),
        ("decisions", _short(sinks.get("decisions", 0)), ""),
        ("latency p50, p99", f"{_time(latency.get('p50'))}, {_time(latency.get('p99'))}", ""),
        ("accuracy", f"{sinks['correct'] / labelled:.3f} of {labelled}" if labelled else "-", "bold" if labelled else ""),
    ]
    needed = [max(len(title), len(value)) for title, value, _ in figures]
    spare = max(1, (width - sum(needed)) // len(needed))
    return [[(_fit(title, n + spare, "^"), "dim") for (title, _, _), n in zip(figures, needed, strict=True)],
            [(_fit(value, n + spare, "^"), style) for (_, value, style), n in zip(figures, needed, strict=True)]]


def _stage_lines(reports: Reports, rates: Rates, width: int) -> list[Line]:
    """The table of stages. Columns: title and width, the stage's name taking what is left."""
    columns = {"pid": 7, "packets": 8, "events in": 10, "out": 8, "events/s": 9, "lost": 6, "queue": 6, "busy": 5, "blocked": 8}
    if not any("queue" in report for report in reports.values()):
        del columns["queue"]
    name_width = max(9, width - sum(columns.values()))
    lines: list[Line] = [[(_fit("stage", name_width) + "".join(_fit(title, n, ">") for title, n in columns.items()), "dim")]]
    for name, report in reports.items():
        cells = {"pid": str(report.get("pid", "-")), "packets": _short(report.get("packets_in")),
                 "events in": _short(report.get("events_in")), "out": _short(report.get("events_out")),
                 "events/s": _short(rates.per_s(name, "events_in")), "lost": _short(report.get("lost")),
                 "queue": _short(report.get("queue")), "busy": _share(rates.per_s(name, "busy_s")),
                 "blocked": _share(rates.per_s(name, "backpressured_s"))}
        lines.append([(_fit(name, name_width) + "".join(_fit(cells[title], n, ">") for title, n in columns.items()), "")])
    return lines


def _fit(text: str, width: int, align: Literal["<", "^", ">"] = "<") -> str:
    """The text in exactly `width` columns of a terminal."""
    spare = width - cell_len(text)
    if spare < 0:
        return set_cell_size(text, width - 1) + "\u2026"
    left = {"<": 0, "^": spare // 2, ">": spare}[align]
    return " " * left + text + " " * (spare - left)


def _name(names: list[str], index: int) -> str:
    return names[index] if 0 <= index < len(names) else str(index)


def _lag(source: dict[str, Any]) -> str:
    """How far the source is behind true time; - when it runs as fast as it can."""
    if "behind_s" in source:
        return _time(source["behind_s"] * 1e6)
    return _time(source["drift_ms"]["last"] * 1e3) if "drift_ms" in source else "-"


def _time(us: float | None) -> str:
    if us is None:
        return "-"
    return f"{us:.0f} us" if us < 1e3 else (f"{us / 1e3:.1f} ms" if us < 1e6 else f"{us / 1e6:.1f} s")


def _short(number: float | None) -> str:
    """Three digits and a prefix: 847, 12.3 k, 4.56 M."""
    if number is None:
        return "-"
    for scale, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= scale:
            return f"{number / scale:.4g}"[:4].rstrip(".") + prefix
    return f"{number:.0f}"


def _share(per_s: float | None) -> str:
    return "-" if per_s is None else f"{min(per_s, 1.0):.0%}"
