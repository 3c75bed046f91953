import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.arbiter_lines import ArbiterLinesConfig
from pipeline.packet import Format
from tests import naive_encoders as naive
from tests.filtering import cuts, events_of, few, filtered, packet_of, recordings, spikes

DVS = Format("spikes", (2, 4, 5), names=("left", "right"))
ROW_1 = [5, 6, 7, 8, 9]
COLUMN_2 = [2, 7, 12, 17]


def kept(events: list[tuple[int, int]], **options: object) -> list[tuple[int, int]]:
    config = ArbiterLinesConfig(window_ms=0.01, **options)  # type: ignore[arg-type]
    return spikes(filtered(config, DVS, packet_of(DVS, events, 0, 1000)))


def test_a_row_that_fires_as_a_whole_is_dropped_and_what_is_beside_it_passes() -> None:
    beside = [(95, 8), (102, 1), (103, 12), (108, 9)]
    line = [(100 + x, unit) for x, unit in enumerate(ROW_1)]
    assert kept(sorted([*beside, *line])) == [(102, 1), (103, 12)]
    assert kept(sorted([(80, 8), *line, (116, 9)])) == [(80, 8), (116, 9)]


def test_a_share_of_the_row_is_enough() -> None:
    events = [(100, unit) for unit in ROW_1[:3]]
    assert kept(events, share=0.6) == []
    assert kept(events, share=0.8) == events


def test_a_pixel_that_fires_often_counts_once() -> None:
    events = [(100, 5), (100, 6), (101, 5), (101, 25), (102, 6), (103, 6)]
    assert kept(events) == events


def test_columns_are_left_alone_unless_asked_for() -> None:
    column, row = [(100, unit) for unit in COLUMN_2], [(500, unit) for unit in ROW_1]
    assert kept(column + row) == column
    assert kept(column + row, lines="columns") == row
    assert kept(column + row, lines="both") == []


def test_the_output_clock_lags_by_the_window() -> None:
    operator = ArbiterLinesConfig(window_ms=0.01).prepare(DVS)(None)
    out = operator.process(packet_of(DVS, [(100, 3), (195, 4)], 0, 200))
    assert (out.end_us, spikes(out), spikes(operator.finish())) == (190, [(100, 3)], [(195, 4)])


def test_what_is_dropped_is_counted() -> None:
    operator = ArbiterLinesConfig().prepare(DVS)(None)
    operator.process(packet_of(DVS, [(100, unit) for unit in ROW_1] + [(900, 0)], 0, 1000))
    assert operator.report() == {"dropped": 5}  # type: ignore[attr-defined]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"takes spikes of shape .channels, height, width., got spikes of shape 700"):
        ArbiterLinesConfig().check(Format("spikes", (700,)))


@few
@given(st.data(), st.integers(1, 9), st.sampled_from([0.4, 0.7]), st.sampled_from(["rows", "columns", "both"]))
def test_it_is_the_plain_truth_however_the_recording_is_cut(
    data: st.DataObject, window_us: int, share: float, lines: str
) -> None:
    small = Format("spikes", (2, 3, 4))
    episode = data.draw(recordings(small))
    config = ArbiterLinesConfig(window_ms=window_us / 1000, share=share, lines=lines)  # type: ignore[arg-type]
    out = filtered(config, small, episode, data.draw(cuts()))
    assert events_of(out) == naive.arbiter_lines(events_of(episode), (2, 3, 4), window_us, share, lines)
