import numpy as np
import pytest

from operators.orient import OrientConfig
from pipeline.packet import Format, Packet
from tests.filtering import events_of, filtered

DVS = Format("spikes", (2, 3, 4), names=("left", "right"))
TRUTHS = {
    "rotate_90": lambda picture: np.rot90(picture, -1, (1, 2)),
    "rotate_180": lambda picture: np.rot90(picture, 2, (1, 2)),
    "rotate_270": lambda picture: np.rot90(picture, 1, (1, 2)),
    "flip_horizontal": lambda picture: picture[:, :, ::-1],
    "flip_vertical": lambda picture: picture[:, ::-1],
    "transpose": lambda picture: picture.transpose(0, 2, 1),
}


@pytest.mark.parametrize("how", TRUTHS)
def test_every_pixel_goes_where_numpy_puts_it(how: str) -> None:
    units = np.arange(DVS.size, dtype=np.uint32)
    episode = Packet(0, 100, units.astype(np.int64), units)  # at time u fires unit u
    config = OrientConfig(how=how)  # type: ignore[arg-type]
    out = filtered(config, DVS, episode, [(0.3, True)])
    moved = TRUTHS[how](units.reshape(DVS.shape))
    assert config.check(DVS).shape == moved.shape
    assert moved.ravel()[out.unit].tolist() == out.t_us.tolist() == units.tolist()


def test_values_go_along_and_events_of_one_microsecond_come_out_sorted() -> None:
    pixels = Format("graded", (1, 2, 3))
    episode = Packet(0, 9, np.array([1, 1, 1]), np.array([0, 4, 2], np.uint32), np.array([0.5, 1.5, 2.5], np.float32))
    assert events_of(filtered(OrientConfig(how="flip_horizontal"), pixels, episode)) == [(1, 0, 2.5), (1, 2, 0.5), (1, 4, 1.5)]


@pytest.mark.parametrize("format", [Format("spikes", (700,)), Format("decisions", (2, 3, 4))])
def test_what_has_no_rows_and_columns_is_refused(format: Format) -> None:
    with pytest.raises(ValueError, match=rf"orient takes .*channels, height, width.* got {format}"):
        OrientConfig(how="transpose").check(format)
