"""Events in lines of text: columns, delimiters, units and exact times; faults are told by their line."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.formats.header import TableOptions
from sources.inspect import inspect
from sources.recordings import open_recording
from tests.real_data import DATA, needs_data
from tests.test_tables import decoded


@pytest.fixture
def saved(tmp_path):
    def save(text: str) -> Path:
        (tmp_path / "events.txt").write_text(text)
        return tmp_path / "events.txt"

    return save


@pytest.mark.parametrize("text", [
    "0.000100 1 2 0\n0.000251 3 4 1\n",
    "100 1 2 0\n251 3 4 1\n",
    "100,1,2,0\r\n251,3,4,1\r\n",
    " 100 ; 1; 2 ;0\n\n# a comment\n251;3;4;1\n",
    "1.00e-04 1.0 2.0 -1\n2.51e-04 3 4 1\n",
    "t,x,y,p\n100,1,2,False\n251,3,4,True\n",
    "\"t\",\"x\",\"y\",\"polarity\"\n100,1,2,off\n251,3,4,ON\n",
    "index,timestamp [us],polarity,y,x\n0,100,0,2,1\n1,251,1,4,3\n",
    "# t x y p\n100 1 2 0\n251 3 4 1\n",
    "ts_ns x y p\n100000 1 2 0\n251000 3 4 1\n",
    "100 1 2 0\n251 3 4 1",
])
def test_events_are_read_however_they_are_written(text, saved):
    assert decoded(open_recording(saved(text))) == [(100, 1, 2, 0), (251, 3, 4, 1)]


def test_a_first_line_of_two_numbers_is_the_geometry(saved):
    recording = open_recording(saved("50 40\n0.000100 1 2 0\n"))
    assert (recording.header.shape, decoded(recording)) == ((2, 40, 50), [(100, 1, 2, 0)])


def test_options_tell_columns_delimiter_and_unit(saved):
    path = saved("9|1.5|7|1|3\n9|2.5|8|0|4\n")
    with pytest.raises(ValueError, match="not a recording of a known format"):
        open_recording(path)
    options = TableOptions(time_unit="ms", columns={"t": 1, "x": 2, "y": 4, "p": 3}, delimiter="|")
    assert decoded(open_recording(path, table=options)) == [(1500, 7, 3, 1), (2500, 8, 4, 0)]


def test_a_table_of_units_and_values_is_read(saved):
    path = saved("t,unit,value\n5,3,0.1\n7,699,-2e3\n")
    recording = open_recording(path, table=TableOptions(channels=700))
    events = recording.events()
    assert events.value is not None
    assert (recording.header.kind, recording.header.shape) == ("graded", (700,))
    assert (events.unit.tolist(), events.value.tolist()) == ([3, 699], [float(np.float32(0.1)), -2000.0])


@settings(max_examples=300, deadline=None)
@given(st.integers(-10**16, 10**16), st.integers(-12, 2), st.sampled_from(["s", "ms", "us", "ns"]), st.booleans())
def test_a_decimal_is_rounded_to_the_nearest_microsecond_halves_to_even(tmp_path_factory, mantissa, exponent, unit, scientific):
    value = Decimal(mantissa).scaleb(exponent)
    scale = {"s": Decimal(10**6), "ms": Decimal(1000), "us": Decimal(1), "ns": Decimal("0.001")}[unit]
    us = (value * scale).quantize(Decimal(1), ROUND_HALF_EVEN)
    if abs(us) > 2**60:
        return
    path = tmp_path_factory.getbasetemp() / "decimal.txt"
    path.write_text(f"{value:{'E' if scientific else 'f'}} 1 2 1\n")
    assert open_recording(path, table=TableOptions(time_unit=unit)).events().t_us.tolist() == [int(us)]


@pytest.mark.parametrize(("line", "wanted"), [
    ("300 1 2", "has too few fields"),
    ("300 1 two 1", "holds something else than numbers"),
    ("300 1 2 2", "has a polarity that is not 0, 1, -1"),
    ("300 40 2 1", "lies outside of 34x34: set width and height"),
    ("300 1.5 2 1", "lies outside of 34x34"),
    ("300 1 -2 1", "lies outside of 34x34"),
    ("1e30 1 2 1", "has a time that cannot be"),
    ("99999999999999999999 1 2 1", "has a time that cannot be"),
])
def test_a_bad_line_is_named_by_its_number_and_its_words(line, wanted, saved, monkeypatch):
    monkeypatch.setattr("sources.formats.text.LOOKED_AT", 2)
    path = saved("# events\n100 1 2 0\n200 1 2 1\n" + line + "\n400 1 2 0\n")
    with pytest.raises(ValueError, match=wanted) as error:
        open_recording(path).events()
    assert str(error.value).startswith(f"{path}: line 4, '{line}'")


def test_a_last_line_that_may_have_been_cut_is_an_error_or_left_out(saved):
    path = saved("1 2 0 100\n3 4 1 25")
    with pytest.raises(ValueError, match="the line at byte 10 has no end; set truncated: keep"):
        open_recording(path).events()
    assert decoded(open_recording(path, on_truncated="keep")) == [(100, 1, 2, 0)]


@pytest.mark.parametrize("text", ["hello, world", "a text\nof words\n", "1 2 3\n4 5 6\n", "\n\n", "1;2\n", "x y\n", "5 6\n7 8\n"])
def test_other_text_is_not_taken_for_events(text, saved):
    with pytest.raises(ValueError, match="not a recording of a known format"):
        open_recording(saved(text))


def test_numbers_under_other_names_say_which_names_are_wanted(saved):
    with pytest.raises(ValueError, match=r"columns t, x, y and p .* are wanted, there are a, b, c, d: set columns"):
        open_recording(saved("a,b,c,d\n1,2,3,1\n"))


@needs_data("recordings")
def test_the_real_rpg_recording_has_its_events():
    path = DATA / "recordings/slider_depth.txt"
    recording = open_recording(path)
    rows = np.loadtxt(path)
    events = recording.events()
    assert recording.header.shape == (2, 180, 240)
    assert events.t_us.size == 50_000
    assert np.array_equal(events.t_us, np.rint(rows[:, 0] * 1e6))
    assert np.array_equal(events.unit, (rows[:, 3] * 180 + rows[:, 2]) * 240 + rows[:, 1])
    assert decoded(recording)[0] == (3811, 96, 133, 0)
    assert inspect(path)["events"] == 50_000
