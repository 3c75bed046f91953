"""The merge: several sources as one stream with a new first axis."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest

from pipeline.config import Catalog, ConfigErrors, component
from pipeline.contract import SourceConfig
from pipeline.pace import Pacer
from pipeline.packet import Format, Packet, same_events
from sources.dvs_file import DvsFileConfig
from sources.dvs_scene import DvsSceneConfig
from sources.memory import End, MemoryConfig
from sources.merge import MergeConfig
from tests import writers
from tests.packets import content, glue

FOUR = Format("spikes", (4,))
SCENE = {"width": 6, "height": 5, "episodes": 2, "noise_hz": 20.0}
MERGED = MergeConfig(sources=(
    DvsSceneConfig(**SCENE, seed=1, episode_ms=(20.0, 25.0), packet_ms=3.0),
    DvsSceneConfig(**SCENE, seed=2, episode_ms=(30.0, 40.0), packet_ms=7.0, max_events=20),
    DvsSceneConfig(**SCENE, seed=1, episode_ms=(20.0, 25.0), packet_ms=50.0),
))


def written(*events: tuple[Any, ...], end_ms: float = 0.1, **options: Any) -> MemoryConfig:
    return MemoryConfig(shape=(4,), events=events, end_ms=end_ms, **options)


def packet(begin_us: int, end_us: int, *events: tuple[int, int], **flags: int | bool) -> Packet:
    t_us, unit = np.array(events or np.empty((0, 2)), np.int64).T
    return Packet(begin_us, end_us, t_us.copy(), unit.astype(np.uint32), **flags)  # type: ignore[arg-type]


def given(*items: Any) -> MemoryConfig:
    return MemoryConfig(format=FOUR, items=items)


def read(*sources: SourceConfig, **options: Any) -> list[Packet]:
    return list(MergeConfig(sources=sources, **options).prepare()(None).packets())


def episodes(packets: list[Packet]) -> list[Packet]:
    numbers = dict.fromkeys(packet.episode for packet in packets)
    return [glue([packet for packet in packets if packet.episode == number]) for number in numbers]


# --- events ---


def test_events_come_in_order_of_time_and_source():
    [only] = read(written((5, 3), (9, 0), (9, 1)), written((2, 1), (9, 0)))
    assert only.t_us.tolist() == [2, 5, 9, 9, 9]
    assert only.unit.tolist() == [4 + 1, 3, 0, 1, 4 + 0]


def test_the_order_within_a_source_is_kept():
    [only] = read(written((9, 3), (9, 0)), written((9, 2), (9, 1)))
    assert only.unit.tolist() == [3, 0, 4 + 2, 4 + 1]


def test_values_go_with_their_events():
    [only] = read(written((5, 3, 0.5)), written((2, 1, 0.25)))
    assert only.value is not None
    assert only.value.tolist() == [0.25, 0.5]


def test_the_format_has_a_new_first_axis():
    assert MERGED.check() == Format("spikes", (3, 2, 5, 6), names=DvsSceneConfig().check().names)
    ticks = [MemoryConfig(format=Format("spikes", (4,), tick_us=tick_us), end_ms=1) for tick_us in (4000, 6000)]
    assert MergeConfig(sources=(*ticks,)).check().tick_us == 2000
    assert MergeConfig(sources=(ticks[0], written())).check().tick_us is None


# --- time ---


def test_packets_reach_to_the_least_end_of_the_parts():
    slow = given(packet(0, 30, (12, 1)), packet(30, 60, last=True))
    packets = read(slow, given(packet(0, 10), packet(10, 60, (10, 2), last=True)))
    assert [(p.begin_us, p.end_us, p.t_us.tolist()) for p in packets] == [(0, 10, []), (10, 30, [10, 12]), (30, 60, [])]
    assert [p.last for p in packets] == [False, False, True]


def test_packets_are_no_longer_and_no_fuller_than_asked_for():
    packets = read(written((1, 0), (2, 0), (3, 0), end_ms=5), written((2, 1), (3, 1), end_ms=5), packet_ms=2, max_events=2)
    assert [(p.begin_us, p.end_us, p.n) for p in packets] == [
        (0, 2, 1), (2, 3, 2), (3, 2003, 2), (2003, 4003, 0), (4003, 5000, 0)
    ]


def test_a_microsecond_fuller_than_max_events_comes_whole():
    packets = read(written((1, 0), (1, 1)), written((1, 1), (1, 2)), max_events=3)
    assert [(p.begin_us, p.end_us, p.n) for p in packets] == [(0, 2, 4), (2, 100, 0)]


def test_a_stream_begins_where_its_earliest_part_begins():
    first, *_ = read(given(packet(70, 90, last=True)), given(packet(50, 80, (60, 0), last=True)))
    assert (first.begin_us, first.t_us.tolist()) == (50, [60])


def test_a_packet_of_zero_length_is_passed_on():
    packets = read(given(packet(0, 10), packet(10, 10), packet(10, 20, last=True)), given(packet(0, 20, last=True)))
    assert [(p.begin_us, p.end_us, p.last) for p in packets] == [(0, 10, False), (10, 10, False), (10, 20, True)]


def test_the_shorter_part_is_silent_until_the_longer_ends():
    packets = read(written((50, 0), end_ms=0.1), written((50, 0), (900, 1), end_ms=1), packet_ms=0.5)
    assert [(p.end_us, p.unit.tolist(), p.last) for p in packets] == [(500, [0, 4], False), (1000, [5], True)]


# --- episodes ---


def test_episodes_advance_together():
    short = given(packet(0, 10, (3, 1), episode=7, last=True), packet(5, 9, (6, 0), episode=8, last=True))
    long = given(packet(0, 20, (15, 2), last=True), packet(5, 6, (5, 3), episode=1, last=True))
    first, second = episodes(read(short, long))
    assert (first.episode, first.end_us, first.t_us.tolist()) == (7, 20, [3, 15])
    assert (second.episode, second.begin_us, second.end_us, second.unit.tolist()) == (8, 5, 9, [4 + 3, 0])


def test_the_stream_ends_with_the_first_part_that_has_no_more_episodes():
    endless = DvsSceneConfig(width=2 * 2, height=4, episode_ms=(1.0, 1.0))
    three = DvsSceneConfig(width=2 * 2, height=4, episode_ms=(1.0, 1.0), episodes=3)
    assert [p.episode for p in read(endless, three) if p.last] == [0, 1, 2]


def test_a_part_that_stops_within_an_episode_ends_it_there():
    packets = read(given(packet(0, 10, (3, 1)), End()), given(packet(0, 20, (15, 2), last=True)))
    assert [(p.end_us, p.last) for p in packets] == [(10, False), (20, True)]


def test_the_label_is_the_one_that_all_agree_on():
    assert {p.label for p in read(written(label=2), written(label=2))} == {2}
    assert {p.label for p in read(written(label=2), written(label=3))} == {-1}
    assert {p.label for p in read(written(label=2), written())} == {-1}


def test_losses_add_up():
    packets = read(given(packet(0, 10, lost=2), packet(10, 20, lost=1, last=True)), given(packet(0, 20, lost=4, last=True)))
    assert [p.lost for p in packets] == [6, 1]


# --- the laws ---


def test_packets_meet():
    packets = list(MERGED.prepare()(None).packets())
    assert all(a.last or a.end_us == b.begin_us for a, b in pairwise(packets))
    assert [p.episode for p in packets if p.last] == [0, 1]


@pytest.mark.parametrize("options", [{"packet_ms": 0.7}, {"packet_ms": 1000}, {"max_events": 5}])
def test_recutting_the_parts_or_the_merge_changes_nothing(options):
    whole = episodes(list(MERGED.prepare()(None).packets()))
    parts = tuple(DvsSceneConfig(**part.model_dump() | options) for part in MERGED.sources)
    for config in (MergeConfig(sources=parts), MergeConfig(sources=MERGED.sources, **options)):
        again = episodes(list(config.prepare()(None).packets()))
        assert all(same_events(a, b) for a, b in zip(whole, again, strict=True))


def test_resume_after_any_packet_goes_on_bit_for_bit():
    packets = list(MERGED.prepare()(None).packets())
    for stop in range(len(packets) + 1):
        source = MERGED.prepare()(None)
        assert len(list(islice(source.packets(), stop))) == stop
        rest = list(MERGED.prepare()(source.snapshot()).packets())
        assert [content(p) for p in rest] == [content(p) for p in packets[stop:]]


def test_a_snapshot_is_detached_and_changes_nothing():
    source, seen = MERGED.prepare()(None), []
    keys = source.snapshot().keys()
    for p in source.packets():
        seen.append(content(p))
        state = source.snapshot()
        assert state.keys() == keys
        for array in state.values():
            array[...] = 1
    assert seen == [content(p) for p in MERGED.prepare()(None).packets()]


def test_two_merges_do_not_touch_each_other():
    make = MERGED.prepare()
    assert all(content(a) == content(b) for a, b in zip(make(None).packets(), make(None).packets(), strict=True))


def test_a_merge_of_merges_has_two_new_axes():
    inner = MergeConfig(sources=(written((1, 0)), written((2, 1))))
    [only] = read(inner, MergeConfig(sources=(written((1, 2)), written((0, 3)))))
    assert MergeConfig(sources=(inner, inner)).check().shape == (2, 2, 4)
    assert only.unit.tolist() == [8 + 4 + 3, 0, 8 + 2, 4 + 1]


# --- options ---


def test_a_merge_comes_from_options_through_the_catalog():
    catalog = Catalog({"merge": MergeConfig, "memory": MemoryConfig})
    part = {"type": "memory", "shape": [4], "events": [[5, 1]], "end_ms": 1}
    config = component("source", {"type": "merge", "sources": [part, part]}, catalog)
    assert config == MergeConfig(sources=(MemoryConfig(**part), MemoryConfig(**part)))
    assert config.model_dump(mode="json")["sources"][1]["events"] == [[5, 1]]
    with pytest.raises(ConfigErrors, match="labl"):
        component("source", {"type": "merge", "sources": [part, part | {"labl": 3}]}, catalog)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ((), "at least 1"),
        (({"type": "memory"},), "give a config object, or load it from YAML"),
        ((written(pace="realtime"),), r"sources\[0\]: pace is the merge's to set"),
        ((written(), written(gap_ms=3)), r"sources\[1\]: gap_ms is the merge's to set"),
    ],
)
def test_parts_that_cannot_be_are_refused(sources, message):
    with pytest.raises(ValueError, match=message):
        MergeConfig(sources=sources)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ((written(), MemoryConfig(shape=(5,))), r"sources\[1\] gives spikes of shape 5, sources\[0\] spikes of shape 4"),
        ((written(), written((3, 1, 0.5))), r"sources\[1\] gives graded of shape 4"),
        ((written(), MemoryConfig()), r"sources\[1\]: memory needs a shape"),
        ((MemoryConfig(format=Format("spikes", (4,), names=("a",))), MemoryConfig(format=Format("spikes", (4,), names=("b",)))),
         r"sources\[1\] names other classes \(b\) than a"),
    ],
)
def test_parts_that_do_not_fit_together_are_named_in_one_line(sources, message):
    with pytest.raises(ValueError, match=message) as caught:
        MergeConfig(sources=sources).check()
    assert "\n" not in str(caught.value)


def test_recordings_side_by_side_are_replayed_in_step_on_one_clock(tmp_path):
    left, right = [(1_000, 1, 1, 1), (5_000, 2, 1, 1), (31_000, 3, 1, 0)], [(4_000, 1, 2, 1), (26_000, 2, 2, 0)]
    for name, events in (("left.raw", left), ("right.dat", right)):
        (tmp_path / name).write_bytes(writers.evt3(events) if name == "left.raw" else writers.dat(events))
    parts = tuple(DvsFileConfig(path=tmp_path / name, packet_ms=3) for name in ("left.raw", "right.dat"))
    config = MergeConfig(sources=parts, packet_ms=10, pace="realtime")
    assert config.check().shape == (2, 2, 48, 64)
    now_s = [50.0]
    pacer = Pacer(config, lambda seconds: now_s.__setitem__(0, now_s[0] + seconds), lambda: now_s[0])
    seen = []
    for packet in config.prepare()(None).packets():
        pacer.await_due(packet)
        assert now_s[0] == pytest.approx(50.0 + (packet.end_us - 1_000) / 1e6), "a packet leaves when its end is reached"
        seen += [(t_us, unit // (2 * 48 * 64)) for t_us, unit in zip(packet.t_us.tolist(), packet.unit.tolist(), strict=True)]
    assert seen == [(1_000, 0), (4_000, 1), (5_000, 0), (26_000, 1), (31_000, 0)]
