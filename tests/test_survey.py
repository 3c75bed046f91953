"""info's survey: rates, gaps and hot pixels of a recording, and the picture of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.cut import Events
from sources.inspect import inspect
from sources.survey import BINS, SAMPLE, Survey
from spikeline.picture import check_picture, save_picture
from tests import writers

SHAPE = (2, 6, 8)


def surveyed(t_us: list[int], unit: list[int] | None = None, shape: tuple[int, ...] = SHAPE, piece: int = 1 << 20) -> Survey:
    survey = Survey(shape)
    times, units = np.array(t_us, np.int64), np.array(unit or [0] * len(t_us), np.uint32)
    for first in range(0, max(1, times.size), piece):
        survey.add(Events(times[first : first + piece], units[first : first + piece]))
    return survey


def test_rates_are_told_by_polarity() -> None:
    figures = surveyed([0, 250_000, 500_000, 1_000_000], [0, 48, 49, 95]).figures()
    assert (figures["off_rate_hz"], figures["on_rate_hz"]) == (1.0, 3.0)


def test_gaps_are_counted_and_the_longest_is_named() -> None:
    figures = surveyed([0, 9_999, 20_000, 70_000, 70_001, 100_000], piece=2).figures()
    assert (figures["gaps"], figures["longest_gap_us"], figures["longest_gap_from_us"]) == (3, 50_000, 20_000)


def test_a_recording_without_events_has_no_rates() -> None:
    figures = surveyed([]).figures()
    assert [figures[name] for name in ("on_rate_hz", "peak_rate_hz", "longest_gap_from_us", "gaps", "hot_pixels")] == [
        None, None, None, 0, 0]  # fmt: skip


def test_a_pixel_busier_than_those_around_it_is_hot() -> None:
    units = [2 * 8 + 3] * 150 + [48 + 2 * 8 + 3] * 50 + list(range(96)) * 5
    hot = surveyed(list(range(len(units))), units).hot_pixels()
    assert [tuple(pixel) for pixel in hot] == [(3, 2, 210)]


def test_two_hot_pixels_side_by_side_are_both_hot() -> None:
    units = [0] * 300 + [1] * 200
    assert [tuple(pixel) for pixel in surveyed(list(range(500)), units).hot_pixels()] == [(0, 0, 300), (1, 0, 200)]


def test_a_busy_edge_is_not_hot() -> None:
    units = [row * 8 + column for row in range(6) for column in (3, 4)] * 200
    assert surveyed(list(range(len(units))), units).hot_pixels() == []


@given(st.lists(st.integers(0, 5_000_000), min_size=1, max_size=60), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_pieces_change_nothing(steps_us: list[int], piece: int) -> None:
    t_us = np.cumsum(steps_us).tolist()
    unit = [t % 96 for t in t_us]
    whole, pieces = surveyed(t_us, unit), surveyed(t_us, unit, piece=piece)
    assert whole.figures() == pieces.figures()
    assert np.array_equal(whole.sample, pieces.sample)
    assert whole.rates.sum() == len(t_us)


def test_bins_grow_until_they_hold_the_whole_recording() -> None:
    survey = surveyed([0, 1_000 * BINS * 5, 1_000 * BINS * 5 + 1])
    assert (survey.bin_us, survey.rates.sum(), survey.rates.shape) == (8_000, 3, (2, BINS))


def test_the_sample_stays_small() -> None:
    survey = surveyed(list(range(3 * SAMPLE)), piece=7_777)
    assert SAMPLE // 2 <= survey.sample.shape[1] <= SAMPLE
    assert (np.diff(survey.sample[0]) == 4).all()


def test_channels_have_no_polarity_and_no_pixels() -> None:
    figures = surveyed([0, 1_000_000], [3, 699], shape=(700,)).figures()
    assert ("on_rate_hz" in figures, figures["hot_pixels"]) == (False, None)


@pytest.mark.parametrize("shape", [SHAPE, (700,)], ids=["camera", "channels"])
def test_a_picture_is_saved(shape: tuple[int, ...], tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png", surveyed([0, 5, 90_000], [0, 50, 95], shape), "a recording")
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_picture_of_nothing_is_saved(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png", surveyed([]), "silence")
    assert (tmp_path / "a.png").exists()


def test_a_picture_of_no_known_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"--plot a\.txt: the name must end with one of"):
        check_picture(Path("a.txt"))


def test_info_tells_of_gaps_rates_and_hot_pixels_and_plots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from spikeline.cli import main

    (tmp_path / "a.raw").write_bytes(writers.evt2([(1000 * t, 5, 6, 1) for t in range(200)] + [(900_000, 1, 1, 0)]))
    with pytest.raises(SystemExit) as stop:
        main(["info", str(tmp_path / "a.raw"), "--json", "--plot", str(tmp_path / "a.png")])
    figures = json.loads(capsys.readouterr().out)
    assert (stop.value.code, (tmp_path / "a.png").exists()) == (0, True)
    assert (figures["gaps"], figures["longest_gap_us"], figures["hottest_pixels"]) == (
        1, 701_000, [{"x": 5, "y": 6, "events": 200}])  # fmt: skip


def test_info_tells_of_channels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", t=np.array([0, 5]), unit=np.array([3, 699]), channels=700)
    figures = inspect(tmp_path / "a.npz")
    assert [figures[name] for name in ("shape", "events", "on_events", "hot_pixels")] == [[700], 2, None, None]


def test_info_takes_what_a_table_does_not_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from spikeline.cli import main

    (tmp_path / "a.txt").write_text("".join(f"{k} {k % 8};1;{2 * k}\n".replace(" ", ";") for k in range(40)))
    options = ["--columns", "x=1,y=2,t=3,p=2", "--delimiter", ";", "--time-unit", "ms", "--width", "8", "--height", "6"]
    with pytest.raises(SystemExit):
        main(["info", str(tmp_path / "a.txt"), "--json", *options])
    figures = json.loads(capsys.readouterr().out)
    assert (figures["width"], figures["height"], figures["duration_us"], figures["on_events"]) == (8, 6, 78_000, 40)
