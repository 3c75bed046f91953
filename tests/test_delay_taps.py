"""delay_taps: every event comes out once for each tap, in the plane of that tap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.delay_taps import DelayTapsConfig
from pipeline.packet import Format, Packet
from tests.filtering import filtered, spikes

THREE = Format("spikes", (3,), tick_us=10_000)


def packet(end_us, *events):
    t_us, unit = zip(*events, strict=True) if events else ((), ())
    return Packet(0, end_us, np.array(t_us, np.int64), np.array(unit, np.uint32))


def test_an_event_comes_out_at_every_tap_in_a_plane_of_its_own():
    out = filtered(DelayTapsConfig(taps_ms=(0, 10, 30)), THREE, packet(20_000, (0, 2), (10_000, 1)), [])
    assert spikes(out) == [(0, 2), (10_000, 1), (10_000, 3 + 2), (20_000, 3 + 1), (30_000, 6 + 2), (40_000, 6 + 1)]
    assert (out.begin_us, out.end_us) == (0, 50_000)


def test_without_a_tap_at_zero_the_output_clock_runs_ahead_by_the_least_one():
    operator = DelayTapsConfig(taps_ms=(20, 10)).prepare(THREE)(None)
    out = operator.process(packet(5_000, (1_000, 0)))
    assert (out.begin_us, out.end_us, spikes(out)) == (0, 15_000, [(11_000, 3)])
    assert spikes(operator.finish()) == [(21_000, 0)]


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 2)), max_size=30),
       st.lists(st.integers(0, 200), min_size=1, max_size=5, unique=True),
       st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=4))
def test_it_is_the_plain_truth_however_the_events_are_cut(events, taps_ms, cut):
    events = sorted((t_ms * 1000, unit) for t_ms, unit in events)
    truth = sorted((t_us + tap_ms * 1000, 3 * k + unit) for t_us, unit in events for k, tap_ms in enumerate(taps_ms))
    out = filtered(DelayTapsConfig(taps_ms=tuple(taps_ms)), THREE, packet(301_000, *events), sorted(cut))
    assert spikes(out) == truth


def test_taps_are_channels_of_the_convolution_behind_them():
    taps = DelayTapsConfig(taps_ms=(0, 20))
    assert taps.check(THREE) == Format("spikes", (2, 3), tick_us=10_000)
    assert taps.check(Format("spikes", (2, 40))).shape == (2, 2, 40)
    assert taps.check(Format("graded", (3, 8, 9), rate_hz=100.0)) == Format("graded", (6, 8, 9))
    assert DelayTapsConfig(taps_ms=(0, 25)).check(THREE).tick_us is None


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="place it before the readout"):
        DelayTapsConfig(taps_ms=(0,)).check(Format("decisions", (3,)))
    for taps_ms, said in (((0, -1), "must be from 0"), ((5, 5), "must differ"), ((), "at least 1")):
        with pytest.raises(ValueError, match=said):
            DelayTapsConfig(taps_ms=taps_ms)
