"""Reports of the stages in; a picture of the running pipeline on the terminal out."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

Reports = dict[str, dict[str, Any]]

REFRESH_S = 0.2
RATE_WINDOW_S = 1.5
MOST_BARS = 12


class LiveView:
    """Shows the current class, confidence bars, event rate, lag, losses, accuracy so far and what each stage does.

    It draws on stderr and leaves nothing behind. What this process prints meanwhile (the print sink of an inline run) appears
    above it, if stdout is a terminal too; what other processes print would tear it: see `wanted`.

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
    def wanted(quiet: bool, printing_elsewhere: bool = False) -> bool:
        """Whether to show it: on a terminal that is able to, unless told to be quiet.

        printing_elsewhere: a print sink runs in a process of its own. If its lines go to a terminal they are the view.
        """
        if quiet or not sys.stderr.isatty() or Console(stderr=True).is_dumb_terminal:
            return False
        return not (printing_elsewhere and sys.stdout.isatty())

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
        self._live.update(picture(self._name, reports, self._rates, now_s - self._begin_s), refresh=True)


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


def picture(name: str, reports: Reports, rates: Rates, elapsed_s: float) -> RenderableType:
    """Everything that is shown, for a terminal of any width."""
    title = Text.assemble((name, "bold"), f"  {elapsed_s:.0f} s")
    if not reports:
        return Panel(Text("starting", style="dim"), title=title, border_style="dim")
    stages = list(reports.values())
    source = next((report for report in stages if report.get("kind") == "source"), stages[0])
    sinks = next((report for report in reversed(stages) if "decisions" in report), stages[-1])
    rows: list[RenderableType] = []
    if "decisions" in sinks:
        rows += [_decision_row(sinks), ""]
    rows += [_figures_line(reports, source, sinks, rates), "", _stage_table(reports, rates)]
    return Panel(Group(*rows), title=title, border_style="blue")


def _decision_row(sinks: dict[str, Any]) -> RenderableType:
    decision = sinks.get("decision")
    if decision is None:
        return Panel(Text("no decision yet", style="dim", justify="center"), border_style="dim")
    row = Table.grid(padding=(0, 2), expand=True)
    row.add_column(ratio=1, vertical="middle")
    row.add_column(ratio=1)
    row.add_row(_class_panel(decision), _confidence_bars(decision))
    return row


def _class_panel(decision: dict[str, Any]) -> RenderableType:
    """The class in wide bold letters: green or red once it is the answer of a labelled episode."""
    names, label = decision["names"], decision.get("label", -1)
    final, right = decision["final"], label == decision["index"]
    colour = "cyan" if label < 0 or not final else ("green" if right else "red")
    mark = "" if label < 0 else (", correct" if right else f", wrong: it is {_name(names, label)}")
    word = Text(" ".join(_name(names, decision["index"]).upper()), style=f"bold {colour}", justify="center")
    state = Text(f"{decision['confidence']:.3f}{', final' if final else ''}{mark}", style=colour, justify="center")
    where = Text(f"episode {decision.get('episode', 0)}, {decision['t_us'] / 1e6:.3f} s", style="dim", justify="center")
    return Panel(Group("", word, "", state, where), border_style=colour)


def _confidence_bars(decision: dict[str, Any]) -> RenderableType:
    """One bar a class, in their order; of many classes the most confident ones."""
    scores, best = decision["scores"], decision["index"]
    shown = range(len(scores))
    if len(scores) > MOST_BARS:
        shown = sorted(shown, key=lambda index: -scores[index])[:MOST_BARS]  # type: ignore[assignment]
    bars = Table.grid(padding=(0, 1), expand=True)
    bars.add_column(justify="right", no_wrap=True)
    bars.add_column(ratio=1)
    bars.add_column(justify="right", no_wrap=True, width=5)
    for index in shown:
        style = "bold cyan" if index == best else "blue"
        bar = ProgressBar(total=1.0, completed=scores[index], complete_style=style, finished_style=style)
        bars.add_row(Text(_name(decision["names"], index), style=style), bar, Text(f"{scores[index]:.3f}", style=style))
    return bars


def _figures_line(reports: Reports, source: dict[str, Any], sinks: dict[str, Any], rates: Rates) -> RenderableType:
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
    line = Table.grid(padding=(0, 1), expand=True)
    for _ in figures:
        line.add_column(justify="center", no_wrap=True)
    line.add_row(*(Text(title, style="dim") for title, _, _ in figures))
    line.add_row(*(Text(value, style=style) for _, value, style in figures))
    return line


def _stage_table(reports: Reports, rates: Rates) -> RenderableType:
    queues = any("queue" in report for report in reports.values())
    table = Table(box=None, expand=True, padding=(0, 1), collapse_padding=True, pad_edge=False, header_style="dim")
    table.add_column("stage", no_wrap=True)
    for title in ("pid", "packets", "events in", "events out", "events/s", "lost", *["queue"] * queues, "busy", "blocked"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, report in reports.items():
        counts = [_short(report.get(key)) for key in ("packets_in", "events_in", "events_out")]
        rest = [_short(rates.per_s(name, "events_in")), _short(report.get("lost")), *[_short(report.get("queue"))] * queues]
        shares = [_share(rates.per_s(name, key)) for key in ("busy_s", "backpressured_s")]
        table.add_row(Text(name), str(report.get("pid", "-")), *counts, *rest, *shares)
    return table


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
