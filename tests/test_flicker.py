import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.flicker import FlickerConfig
from pipeline.packet import Format
from tests import naive_encoders as naive
from tests.filtering import cuts, events_of, few, filtered, packet_of, recordings, spikes

DVS = Format("spikes", (2, 4, 4), names=("left", "right"))
OFF, ON = 5, 21  # of one pixel


def blinking(hz: float, seconds: float = 0.1, on: int = ON, off: int = OFF) -> list[tuple[int, int]]:
    """ON and OFF in turn, each for half of the time."""
    times = range(round(seconds * hz * 2))
    return [(round(number * 5e5 / hz), off if number % 2 else on) for number in times]


def passed(events: list[tuple[int, int]], **options: float) -> list[tuple[int, int]]:
    return spikes(filtered(FlickerConfig(**options), DVS, packet_of(DVS, sorted(events), 0, 1_000_000)))  # type: ignore[arg-type]


@pytest.mark.parametrize("hz", [100, 120])
def test_a_lamp_is_silenced_once_enough_periods_have_passed(hz: float) -> None:
    out = passed(blinking(hz), cycles=3)
    assert out == blinking(hz)[:8]  # the rises of events 2, 4, 6 and 8 make three periods


@pytest.mark.parametrize("hz", [20, 50, 85, 140, 200, 210, 300, 400, 1000, 5000])
def test_other_frequencies_pass(hz: float) -> None:
    assert passed(blinking(hz)) == blinking(hz)


def test_what_moves_passes() -> None:
    edge = [(10_000 * number, ON) for number in range(50)]
    assert passed(edge) == edge


def test_a_lamp_that_goes_out_is_forgotten() -> None:
    after = [(500_000, ON), (500_100, OFF), (505_000, ON)]
    assert passed(blinking(100) + after)[-3:] == after


def test_other_pixels_are_not_silenced_unless_they_share_the_area() -> None:
    beside = [(80_100, 6), (95_100, 6)]
    assert passed(blinking(100) + beside)[-2:] == beside
    assert passed(blinking(100) + beside, area=3) == blinking(100)[:8]


def test_pixels_of_one_area_may_take_turns() -> None:
    assert passed(blinking(100, off=6), area=3) == blinking(100, off=6)[:8]
    assert passed(blinking(100, off=6)) == blinking(100, off=6)


def test_what_is_dropped_is_counted() -> None:
    operator = FlickerConfig().prepare(DVS)(None)
    operator.process(packet_of(DVS, blinking(100), 0, 1_000_000))
    assert operator.report() == {"dropped": 12}  # type: ignore[attr-defined]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"takes spikes of shape .2, height, width., off and on, got spikes of shape 1x4x4"):
        FlickerConfig().check(Format("spikes", (1, 4, 4)))
    with pytest.raises(ValueError, match="min_hz 130 must lie below max_hz 90"):
        FlickerConfig(min_hz=130, max_hz=90)


@few
@given(st.data(), st.integers(1, 3), st.sampled_from([1, 2, 3]))
def test_it_is_the_plain_truth_however_the_recording_is_cut(data: st.DataObject, cycles: int, area: int) -> None:
    small = Format("spikes", (2, 2, 3))
    episode = data.draw(recordings(small, span_us=80))
    config = FlickerConfig(min_hz=80_000, max_hz=100_000, cycles=cycles, area=area)  # periods of 10 to 12 us
    out = filtered(config, small, episode, data.draw(cuts()))
    assert events_of(out) == naive.flicker(events_of(episode), (2, 2, 3), 10, 12, cycles, area)
