import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.polarity import PolarityConfig
from pipeline.packet import Format
from tests import naive_filters as naive
from tests.filtering import cuts, events_of, few, filtered, packet_of, recordings, spikes

DVS = Format("spikes", (2, 2, 3), names=("left", "right"))
OFF_0, OFF_5, ON_0, ON_4 = 0, 5, 6, 10


def kept(keep: str, *units: int) -> list[int]:
    config = PolarityConfig(keep=keep)  # type: ignore[arg-type]
    return [unit for _, unit in spikes(filtered(config, DVS, packet_of(DVS, list(enumerate(units)), 0, 1000)))]


def test_on_keeps_the_on_events_as_the_one_channel() -> None:
    assert kept("on", OFF_0, ON_4, OFF_5, ON_0) == [4, 0]


def test_off_keeps_the_off_events() -> None:
    assert kept("off", OFF_0, ON_4, OFF_5, ON_0) == [0, 5]


def test_merge_keeps_all_and_forgets_the_polarity() -> None:
    assert kept("merge", OFF_0, ON_4, OFF_5, ON_0) == [0, 4, 5, 0]


def test_both_keeps_all_as_they_are() -> None:
    assert kept("both", OFF_0, ON_4, OFF_5, ON_0) == [OFF_0, ON_4, OFF_5, ON_0]


def test_merged_events_of_one_microsecond_come_out_in_order() -> None:
    out = filtered(PolarityConfig(keep="merge"), DVS, packet_of(DVS, [(1, OFF_5), (1, ON_0), (1, OFF_0), (1, ON_4)], 0, 10))
    assert spikes(out) == [(1, 0), (1, 0), (1, 4), (1, 5)]


@pytest.mark.parametrize(("keep", "shape"), [("on", (1, 2, 3)), ("off", (1, 2, 3)), ("merge", (1, 2, 3)), ("both", (2, 2, 3))])
def test_the_polarity_axis_keeps_its_place(keep: str, shape: tuple[int, ...]) -> None:
    assert PolarityConfig(keep=keep).check(DVS) == Format("spikes", shape, names=("left", "right"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("truth", "keep"), [(True, "on"), (False, "off")])
def test_the_truths_of_old_yaml_are_understood(truth: bool, keep: str) -> None:
    assert PolarityConfig(keep=truth).keep == keep  # type: ignore[arg-type]


@pytest.mark.parametrize("format", [Format("spikes", (1, 2, 3)), Format("spikes", (2,)), Format("decisions", (2,))])
def test_what_has_no_polarity_is_refused(format: Format) -> None:
    with pytest.raises(ValueError, match=r"polarity takes spikes or graded events of shape \(2, height, width\), got"):
        PolarityConfig(keep="merge").check(format)


@few
@given(st.data(), st.sampled_from(["both", "on", "off", "merge"]), st.sampled_from(["spikes", "graded"]))
def test_it_is_the_plain_truth_however_the_recording_is_cut(data: st.DataObject, keep: str, kind: str) -> None:
    format = Format(kind, (2, 2, 3))  # type: ignore[arg-type]
    episode = data.draw(recordings(format, span_us=15))
    out = filtered(PolarityConfig(keep=keep), format, episode, data.draw(cuts()))  # type: ignore[arg-type]
    assert events_of(out) == naive.polarity(events_of(episode), (2, 2, 3), keep)
