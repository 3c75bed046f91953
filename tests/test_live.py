"""The live view: what it shows of reports, and that it gets in nobody's way."""

import io
import sys

import pytest
from rich.console import Console

from pipeline.live import LiveView, Rates, picture

NAMES = ["left", "right", "[red]odd[/red]"]


def decision(index=0, label=-1, final=False):
    scores = [0.05, 0.05, 0.05]
    scores[index] = 0.9
    return {"names": NAMES, "scores": scores, "index": index, "confidence": 0.9, "t_us": 250_000, "final": final,
            "label": label, "episode": 41}


def reports(**sinks):
    source = {"name": "source", "kind": "source", "pid": 41, "packets_in": 10, "packets_out": 10, "events_in": 12_345,
              "events_out": 12_345, "lost": 0, "busy_s": 0.5, "backpressured_s": 0.0, "watermark_us": 1_500_000,
              "drift_ms": {"p50": 0.1, "last": 0.25}}
    last = {"name": "sinks", "kind": "sinks", "pid": 42, "packets_in": 10, "packets_out": 10, "events_in": 30, "events_out": 30,
            "lost": 7, "busy_s": 0.1, "watermark_us": 1_500_000, "decisions": 10, "episodes": 4, "labelled": 4, "correct": 3,
            "latency_us": {"p50": 240.0, "p99": 1500.0, "max": 2000.0}, "decision": decision()}
    return {"source": source, "sinks": {**last, **sinks}}


def shown(reports, rates=None, width=110):
    console = Console(file=io.StringIO(), width=width, no_color=True, force_terminal=False)
    console.print(picture("motion", reports, rates or Rates(), 12.3, width))
    return console.file.getvalue()


def test_the_current_class_stands_out_with_its_confidence():
    text = shown(reports(decision=decision(1)))
    assert "R I G H T" in text
    assert "episode 41, 0.250 s" in text


def test_every_class_has_a_bar():
    lines = [line for line in shown(reports()).splitlines() if "0.050" in line or "0.900" in line]
    assert all(any(name in line for line in lines) for name in NAMES)


def test_of_many_classes_the_most_confident_have_bars():
    many = {**decision(), "names": [f"class{i}" for i in range(100)], "scores": [i / 100 for i in range(100)], "index": 99}
    text = shown(reports(decision=many))
    assert "class99 " in text
    assert "class50 " not in text


@pytest.mark.parametrize(("label", "final", "says"), [
    (-1, False, "0.900"), (-1, True, "0.900, final"),
    (0, True, "0.900, final, correct"), (1, True, "0.900, final, wrong: it is right"),
])
def test_an_answer_is_said_to_be_correct_or_wrong(label, final, says):
    assert f"{says} " in shown(reports(decision=decision(0, label, final)))


def test_lag_losses_latency_and_accuracy_are_shown():
    words = shown(reports())
    assert all(figure in words for figure in ("250 us", " 7 ", "240 us, 1.5 ms", "0.750 of 4"))


def test_event_rate_and_load_come_from_growing_counters():
    rates = Rates()
    for now_s, grown in ((0.0, 0), (0.5, 1), (1.0, 2)):
        later = reports()
        later["source"] |= {"events_in": 50_000 * grown, "busy_s": 0.2 * grown}
        rates.add(now_s, later)
    row = next(line for line in shown(later, rates).splitlines() if "41" in line and "source" in line)
    assert "100 k" in row
    assert "40%" in row


def test_rates_forget_what_is_long_past():
    rates = Rates()
    for second in range(20):
        rates.add(float(second), {"source": {"events_in": 0 if second < 15 else 1000 * (second - 15)}})
    assert rates.per_s("source", "events_in") == 1000.0


def test_rates_of_what_was_not_reported_are_unknown():
    rates = Rates()
    assert rates.per_s("source", "events_in") is None
    rates.add(0.0, {})
    rates.add(1.0, {"source": {"events_in": 5}})
    assert rates.per_s("source", "events_in") is None


@pytest.mark.parametrize("given", [
    {}, {"source": {}}, {"source": {"kind": "source", "events_in": 5}},
    reports(decision=None), reports(labelled=0, latency_us={}),
], ids=["nothing", "empty", "source alone", "no decision", "no labels"])
def test_what_is_not_reported_yet_is_left_open(given):
    assert "motion" in shown(given)


def test_it_fits_80_columns():
    lines = shown(reports(), width=80).splitlines()
    assert max(map(len, lines)) == 80
    assert not any("…" in line for line in lines)


def test_it_is_drawn_a_few_times_a_second_however_often_it_is_told():
    console, now = Console(file=io.StringIO(), force_terminal=True, width=100), [0.0]
    with LiveView("motion", console, clock=lambda: now[0]) as view:
        for _ in range(100):
            now[0] += 0.01
            view.update(reports())
    assert 4 <= console.file.getvalue().count("motion") <= 7


def test_it_leaves_nothing_behind():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with LiveView("motion", console) as view:
        view.update(reports())
    height = console.file.getvalue().count("\n")
    assert console.file.getvalue().count("\x1b[2K") >= height  # every line drawn is cleared
    assert console.file.getvalue().count("\x1b[?25h") == 1  # and the cursor is shown again


def test_what_this_process_prints_stays_whole_above_it(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    with LiveView("motion", Console(file=terminal, force_terminal=True, width=100)) as view:
        view.update(reports())
        print("episode 3  left")
        view.update(reports())
    assert "\nepisode 3  left" in terminal.getvalue().replace("\x1b[2K", "").replace("\x1b[1A", "").replace("\r", "\n")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("quiet", "stderr", "wanted"), [
    (False, True, True),
    (True, True, False),  # told to be quiet
    (False, False, False),  # no terminal
])
def test_when_it_is_wanted(monkeypatch, quiet, stderr, wanted):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal() if stderr else io.StringIO())
    assert LiveView.wanted(quiet) == wanted


def test_it_is_not_wanted_on_a_terminal_that_cannot_move_its_cursor(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert not LiveView.wanted(quiet=False)
