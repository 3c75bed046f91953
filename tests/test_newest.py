"""Maps of each pixel's newest event: times too far apart for 4 bytes, and the same neighbours on every processor."""

import os
import subprocess
import sys
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from operators.background_activity import BackgroundActivityConfig
from operators.neighbours import recent_neighbours
from operators.stcf import StcfConfig
from pipeline.packet import Format
from tests import naive_encoders, naive_filters
from tests.filtering import cuts, events_of, few, filtered, packet_of

SHAPE = (2, 3, 4)
DVS = Format("spikes", SHAPE, names=("left", "right"))
LONGEST_US = 10**9
GAPS_US = [0, 0, 1, LONGEST_US - 1, LONGEST_US, LONGEST_US + 1, 2**30, 2**30 + 1, 2**31, 2**32, 2**33, 2**50]


@few
@given(st.data(), st.sampled_from([1, 1000, LONGEST_US]), st.sampled_from([0, -25, -(2**40), 1_700_000_000_000_000]))
def test_times_may_lie_apart_as_far_as_they_like(data: st.DataObject, window_us: int, begin_us: int) -> None:
    times = list(accumulate(data.draw(st.lists(st.sampled_from(GAPS_US), max_size=30)), initial=begin_us))
    units = data.draw(st.lists(st.integers(0, DVS.size - 1), min_size=len(times), max_size=len(times)))
    episode = packet_of(DVS, list(zip(times, units, strict=True)), begin_us, times[-1] + 1)
    cut = data.draw(cuts())
    one, two = BackgroundActivityConfig(window_ms=window_us / 1000), StcfConfig(window_ms=window_us / 1000)
    wide = StcfConfig(window_ms=window_us / 1000, radius=2)
    events = events_of(episode)
    assert events_of(filtered(one, DVS, episode, cut)) == naive_filters.background_activity(events, SHAPE, window_us)
    assert events_of(filtered(two, DVS, episode, cut)) == naive_encoders.stcf(events, SHAPE, window_us, 2)
    assert events_of(filtered(wide, DVS, episode, cut)) == naive_encoders.stcf(events, SHAPE, window_us, 2, 2)


@pytest.mark.parametrize("config", [BackgroundActivityConfig, StcfConfig])
def test_a_window_longer_than_such_a_map_holds_is_refused(config: type) -> None:
    assert config(window_ms=1e6)
    with pytest.raises(ValueError, match="less than or equal to 1000000"):
        config(window_ms=1_000_000.5)


@njit
def asked(newest, stride, oldest, out):  # type: ignore[no-untyped-def]
    for here in range(stride + 1, newest.shape[0] - stride - 2):
        out[here] = recent_neighbours(newest, here, stride, oldest)


def answers() -> list[list[int]]:
    rng, stride = np.random.default_rng(5), 9
    found = []
    for share in (0.02, 0.3, 0.9):
        newest = np.where(rng.random(12 * stride + 2) < share, rng.integers(40, 60, 12 * stride + 2), -(2**31)).astype(np.int32)
        for oldest in (-(10**9), 50, 2**30):
            asked(newest, stride, oldest, out := np.zeros(newest.shape[0], np.int64))
            found.append(out.tolist())
    return found


def test_neighbours_are_those_of_a_square_without_its_middle() -> None:
    rng, stride = np.random.default_rng(5), 9
    newest = np.where(rng.random(12 * stride + 2) < 0.02, rng.integers(40, 60, 12 * stride + 2), -(2**31)).astype(np.int32)
    fired = newest[:-2].reshape(12, stride) >= 50
    wanted = sum(np.roll(fired, (down, right), (0, 1)).astype(int) for down in (-1, 0, 1) for right in (-1, 0, 1)) - fired
    inner = np.array(answers()[1][:-2]).reshape(12, stride)[1:-1, 1:-1]
    assert fired.any()
    assert (inner == wanted[1:-1, 1:-1]).all()


@pytest.mark.parametrize("other", [{"NUMBA_DISABLE_JIT": "1"}, {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}],
                         ids=["plain Python", "a processor with nothing special"])  # fmt: skip
def test_they_are_the_same_elsewhere(other: dict[str, str]) -> None:
    command = [sys.executable, "-c", "from tests.test_newest import *\nprint(answers())"]
    run = subprocess.run(command, env=os.environ | other, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(answers())
