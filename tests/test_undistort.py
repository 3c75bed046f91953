from pathlib import Path

import numpy as np
import pytest

from operators.undistort import UndistortConfig, undistorted
from pipeline.packet import Format, Packet
from tests.filtering import events_of, filtered, packet_of, spikes

DVS = Format("spikes", (2, 3, 4), names=("left", "right"))
CAMERA = (320.0, 310.0, 173.0, 130.0)
LENS = (-0.35, 0.12, 0.001, -0.002, -0.01)


def seen_at(x: float, y: float, camera: tuple[float, ...], lens: tuple[float, ...]) -> tuple[float, float]:
    """Where the lens brings a point of the ideal picture, written out as the docstring has it."""
    (fx, fy, cx, cy), (k1, k2, p1, p2, k3) = camera, lens
    a, b = (x - cx) / fx, (y - cy) / fy
    r2 = a**2 + b**2
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    seen_a = a * radial + 2 * p1 * a * b + p2 * (r2 + 2 * a**2)
    seen_b = b * radial + p1 * (r2 + 2 * b**2) + 2 * p2 * a * b
    return seen_a * fx + cx, seen_b * fy + cy


def test_every_pixel_is_moved_to_the_point_from_which_the_lens_brings_it_back() -> None:
    x, y = undistorted(260, 346, CAMERA, LENS)
    assert np.isfinite(x).all()
    for column, row in [(0, 0), (345, 0), (0, 259), (345, 259), (173, 130), (60, 200), (300, 17)]:
        assert seen_at(x[row, column], y[row, column], CAMERA, LENS) == pytest.approx((column, row), abs=0.01)


def test_barrel_distortion_is_pushed_outwards_and_the_centre_stays() -> None:
    x, y = undistorted(260, 346, CAMERA, (-0.3, 0, 0, 0, 0))
    assert (x[130, 173], y[130, 173]) == (173, 130)
    assert x[130, 0] < -10
    assert x[130, 345] > 355


def test_pixels_that_no_point_is_brought_to_have_no_place() -> None:
    x, _ = undistorted(3, 4000, (320.0, 320.0, 2000.0, 1.0), (-0.35, 0, 0, 0, 0))  # the radius is folded back from 0.65 on
    assert np.isnan(x[1, 0])
    assert x[1, 2000] == 2000


def test_without_distortion_nothing_moves() -> None:
    episode = packet_of(DVS, [(unit, unit) for unit in range(24)], 0, 100)
    assert spikes(filtered(UndistortConfig(camera=(3, 3, 2, 1)), DVS, episode)) == [(unit, unit) for unit in range(24)]


def write_table(folder: Path) -> Path:
    """Everything goes one to the right; row 0 leaves the picture."""
    y, x = np.mgrid[:3, :4].astype(np.float32)
    places = np.stack([x + 1.4, y], axis=2)
    places[0] = np.nan
    np.save(folder / "places.npy", places)
    return folder / "places.npy"


def test_a_table_moves_events_and_drops_and_counts_those_that_leave_the_sensor(tmp_path: Path) -> None:
    config = UndistortConfig(table=write_table(tmp_path))
    operator = config.prepare(DVS)(None)
    out = operator.process(packet_of(DVS, [(1, 0), (2, 4), (2, 7), (2, 18), (2, 5)], 0, 100))
    assert spikes(out) == [(2, 5), (2, 6), (2, 19)]
    assert operator.report() == {"dropped": 2}  # type: ignore[attr-defined]
    assert config.prepare(DVS)(operator.snapshot()).report() == {"dropped": 2}  # type: ignore[attr-defined]


def test_values_go_along(tmp_path: Path) -> None:
    pixels = Format("graded", (1, 3, 4))
    episode = Packet(0, 9, np.array([1, 1, 2]), np.array([9, 4, 2], np.uint32), np.array([0.5, 1.5, 2.5], np.float32))
    assert events_of(filtered(UndistortConfig(table=write_table(tmp_path)), pixels, episode)) == [(1, 5, 1.5), (1, 10, 0.5)]


def test_a_table_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", np.zeros((2, 4, 2)))
    (tmp_path / "text.npy").write_text("x, y")
    for name, message in [
        ("small.npy", r"a table is \(3, 4, 2\) numbers x, y, got \(2, 4, 2\) float64"),
        ("text.npy", "not a .npy file of numbers"),
        ("none.npy", "no such table"),
    ]:
        with pytest.raises(ValueError, match=message):
            UndistortConfig(table=tmp_path / name).prepare(DVS)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"undistort takes events of shape .channels, height, width., got spikes of shape 9"):
        UndistortConfig(camera=(3, 3, 2, 1)).check(Format("spikes", (9,)))
    with pytest.raises(ValueError, match=r"give either camera .* or table"):
        UndistortConfig()
