"""How a unit's flat address lies on a sensor: what the filters that look at pixels share."""

from __future__ import annotations

import numpy as np

from pipeline.contract import State
from pipeline.packet import Format

NEVER = np.iinfo(np.int64).min  # the time of the last event of a unit that has had none; only ever compared, never subtracted
LONGEST_WINDOW_MS = 1e6  # of filters on a newest_map, whose times are of 4 bytes
NO_OUT_VALUES = np.empty(0, np.float32)  # what kernels write the values of spikes to: unlike packet.NO_VALUES it is writable


def planes(upstream: Format, component: str, kinds: tuple[str, ...] = ("spikes",)) -> tuple[int, int, int]:
    """The (channels, height, width) that `component` works on; a row of n units is (1, 1, n). ValueError if it cannot."""
    if upstream.kind not in kinds or len(upstream.shape) not in (1, 3):
        wanted = " or ".join(kinds)
        raise ValueError(f"{component} takes {wanted} of shape (channels, height, width) or (n,), got {upstream}")
    channels, height, width = (1, 1, *upstream.shape)[-3:]
    return channels, height, width


def padded_rows(channels: int, height: int, width: int, apart: bool, border: int = 1) -> tuple[np.ndarray, int]:
    """Where each row of units begins in a map that has a border, and the length of that map.

    One border column is shared by neighbouring rows, so the 8 neighbours of place p are p +- 1 and p +- (width + 1) + {-1, 0, 1}
    and none of them ever leaves the map; with a wider border, those of the square of side 2 border + 1, rows being
    width + border apart. Channels share one plane of the map, or lie apart.

    Returns (channels * height,) int64: unit u of row r = u // width is at place starts[r] + u % width.
    """
    stride, plane = width + border, (height + 2 * border) * (width + border) + border
    rows = (np.arange(height, dtype=np.int64) + border) * stride + border
    channel_starts = np.arange(channels, dtype=np.int64) * (plane if apart else 0)
    return (channel_starts[:, None] + rows).ravel(), plane * (channels if apart else 1)


def padded_map(channels: int, height: int, width: int, apart: bool, border: int = 1) -> tuple[np.ndarray, int]:
    """The same map for kernels/places.py, which needs no look into a table of rows, and its length.

    Returns (4,) int64: the place of unit 0, the distance of two rows, the border, and what a channel adds to a unit's place.
    """
    row_start, length = padded_rows(channels, height, width, apart, border)
    stride = width + border
    a_channel = int(row_start[height] - row_start[0]) - height * stride if channels > 1 else 0
    return np.array([row_start[0], stride, border, a_channel], np.int64), length


def newest_map(length: int) -> State:
    """The newest event of each place of a padded map, none so far, and two places to read beyond: as kernels/newest.py has it."""
    return {"newest": np.full(length + 2, np.iinfo(np.int32).min, np.int32), "origin_us": np.zeros(1, np.int64)}
