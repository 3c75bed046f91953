"""print: one line a decision, and no traceback when nobody reads."""

import io
import os

import numpy as np
import pytest

from pipeline.packet import Format, Packet
from sinks.print import PrintConfig

FORMAT = Format("decisions", (2,), names=("left", "up"), exit_at=0.9)


def decision(t_us: int, *scores: float, **flags) -> Packet:
    n = len(scores)
    return Packet(t_us, t_us + 1, np.full(n, t_us), np.arange(n, dtype=np.uint32), np.array(scores, np.float32), **flags)


def sink(format: Format = FORMAT, **options):
    return PrintConfig(**options).prepare(format, "cam")(None)


def test_a_decision_is_one_line(capsys):
    printer = sink()
    printer.write(decision(49_999, 0.25, 0.75, episode=3))
    printer.write(decision(99_999, 0.95, 0.05, episode=3, label=0))
    printer.write(decision(149_999, 0.4, 0.6, episode=12, label=0, last=True))
    assert capsys.readouterr().out == (
        "episode 3           49.999 ms  up    0.750\n"
        "episode 3           99.999 ms  left  0.950  final  correct\n"
        "episode 12         149.999 ms  up    0.600  final  wrong\n")


def test_an_unsure_decision_of_a_labelled_episode_says_correct_or_wrong_too(capsys):
    sink().write(decision(0, 0.6, 0.4, label=0))
    assert capsys.readouterr().out.split()[-3:] == ["left", "0.600", "correct"]


def test_final_only_prints_final_decisions_alone(capsys):
    printer = sink(final_only=True)
    printer.write(decision(0, 0.6, 0.4))
    printer.write(decision(5, 0.05, 0.95))
    assert [line.split()[4] for line in capsys.readouterr().out.splitlines()] == ["up"]


def test_each_line_is_out_before_write_returns():
    raw = io.BytesIO()
    buffered = io.TextIOWrapper(io.BufferedWriter(raw, 1 << 16))
    printer = sink()
    printer.file = buffered
    printer.write(decision(0, 0.6, 0.4))
    assert raw.getvalue().endswith(b"left  0.600\n")


def test_an_empty_packet_prints_nothing(capsys):
    sink().write(Packet(0, 10, value=np.empty(0, np.float32), last=True))
    assert capsys.readouterr().out == ""


def test_a_closed_pipe_is_one_clear_error_and_silent_afterwards():
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:
        printer = sink()
        printer.file = pipe
        with pytest.raises(BrokenPipeError, match="standard output was closed by its reader"):
            printer.write(decision(0, 0.6, 0.4))


def test_names_beyond_the_character_set_of_the_terminal_are_escaped():
    raw = io.BytesIO()
    printer = sink(Format("decisions", (2,), names=("zurück", "vor")))
    printer.file = io.TextIOWrapper(raw, encoding="ascii")
    printer.write(decision(0, 0.6, 0.4))
    assert b"zur\\xfcck" in raw.getvalue()


def test_changes_alone_are_printed_and_remembered_when_a_run_goes_on(capsys):
    def words():
        return [line.split()[4] for line in capsys.readouterr().out.splitlines()]

    options = {"changes": True, "least_confidence": 0.7}
    printer = sink(**options)
    for scores in ((0.8, 0.2), (0.9, 0.1), (0.4, 0.6), (0.75, 0.25), (0.1, 0.9)):
        printer.write(decision(0, *scores))
    assert words() == ["left", "up"]  # what is unsure is no change
    again = PrintConfig(**options).prepare(FORMAT, "cam")(printer.snapshot())
    again.write(decision(5, 0.1, 0.9))
    again.write(decision(6, 0.1, 0.9, episode=1))
    assert words() == ["up"]  # of the new episode


def test_other_streams_are_refused():
    with pytest.raises(ValueError, match="print takes decisions, got spikes of shape 2x34x34: put a readout before it"):
        PrintConfig().check(Format("spikes", (2, 34, 34)))
