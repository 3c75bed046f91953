"""The memory source: events written out, and packets with marks among them."""

from __future__ import annotations

import pickle
from itertools import islice

import numpy as np
import pytest

from pipeline.packet import Format, Packet, same_events
from sources.memory import Crash, End, MemoryConfig, Pause
from tests.packets import content, glue

FOUR = Format("spikes", (4,))


def packet(begin_us: int, end_us: int, *events: tuple[int, int], **flags: int | bool) -> Packet:
    t_us, unit = np.array(events or np.empty((0, 2)), np.int64).T
    return Packet(begin_us, end_us, t_us.copy(), unit.astype(np.uint32), **flags)  # type: ignore[arg-type]


def read(config: MemoryConfig) -> list[Packet]:
    return list(config.prepare()(None).packets())


# --- events ---


def test_events_come_as_one_labelled_episode():
    config = MemoryConfig(shape=(2, 4, 4), events=((1000, 5), (2500, 21)), end_ms=100, label=3, packet_ms=1000)
    [only] = read(config)
    assert (only.begin_us, only.end_us, only.last, only.label) == (0, 100_000, True, 3)
    assert (only.t_us.tolist(), only.unit.tolist()) == ([1000, 2500], [5, 21])
    assert config.check() == Format("spikes", (2, 4, 4))


def test_events_are_cut_by_packet_ms_and_max_events():
    config = MemoryConfig(shape=(4,), events=((1, 0), (2, 0), (3, 0), (12_000, 0)), end_ms=25, packet_ms=10, max_events=2)
    packets = read(config)
    assert [(p.begin_us, p.end_us, p.n) for p in packets] == [(0, 3, 2), (3, 10_000, 1), (10_000, 20_000, 1), (20_000, 25_000, 0)]
    whole = MemoryConfig(**config.model_dump() | {"packet_ms": 1000, "max_events": 99})
    assert same_events(glue(packets), read(whole)[0])


def test_events_with_values_are_graded():
    [only] = read(MemoryConfig(shape=(4,), events=((0, 1, 0.5), (7, 2, -1)), packet_ms=1000))
    assert only.end_us == 8
    assert only.value is not None
    assert only.value.tolist() == [0.5, -1.0]


def test_silence_on_a_graded_stream_has_empty_values():
    config = MemoryConfig(format=Format("graded", (4,)), end_ms=25)
    packets = read(config)
    assert [p.end_us for p in packets] == [10_000, 20_000, 25_000]
    for p in packets:
        p.check(config.check())


def test_a_stream_of_events_resumes_after_any_packet():
    config = MemoryConfig(shape=(4,), events=tuple((t_us, t_us % 4) for t_us in range(0, 50_000, 777)), end_ms=60)
    packets = read(config)
    for stop in range(len(packets) + 1):
        source = config.prepare()(None)
        assert len(list(islice(source.packets(), stop))) == stop
        rest = list(config.prepare()(source.snapshot()).packets())
        assert [content(p) for p in rest] == [content(p) for p in packets[stop:]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"events": [[5, 0]]}, "memory needs a shape"),
        ({"shape": [4], "format": FOUR}, "not both"),
        ({"shape": [4], "events": [[5, 0], [4, 0]], "end_ms": 1}, "events: times run backwards"),
        ({"shape": [4], "events": [[5000, 0]], "end_ms": 1}, r"events: times 5000..5000 us leave the interval \[0, 1000\)"),
        ({"shape": [4], "events": [[-5, 0]], "end_ms": 1}, "leave the interval"),
        ({"shape": [4], "events": [[5, 4]]}, "unit 4 lies outside of spikes of shape 4"),
        ({"shape": [4], "events": [[5, -1]]}, "unit -1 lies outside"),
        ({"shape": [4], "events": [[5, 1], [6, 1, 0.5]]}, "must all be"),
        ({"format": FOUR, "events": [[6, 1, 0.5]]}, "must all be"),
        ({"shape": [4], "events": [[5, 1]], "items": [{"end": {}}]}, "events or items, not both"),
        ({"format": Format("spikes", (4,), names=("a",)), "label": 1}, "events: label 1 has no name"),
        ({"shape": [4], "items": [3]}, r"items\[0\] must be a packet, a crash, a pause or an end, got int"),
        ({"shape": [4], "items": [packet(0, 10, (12, 0))]}, r"items\[0\]: times"),
    ],
)
def test_options_that_do_not_fit_are_named_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        MemoryConfig(**options).check()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("item", [{"pause": {"seconds": 3}}, {"begin_us": 3}, {"begin_us": 3, "end_us": 2},
                                  {"begin_us": 0, "end_us": 2, "t_us": [0], "unit": [-1]}])
def test_an_item_that_cannot_be_made_is_refused(item):
    with pytest.raises(ValueError, match="items"):
        MemoryConfig(format=FOUR, items=(item,))


# --- packets and marks ---


def test_packets_are_handed_out_as_they_are():
    items = (packet(5, 10, (7, 1)), packet(10, 10, last=True), packet(0, 9, (3, 2), episode=1, label=2, lost=4, last=True))
    assert [content(p) for p in read(MemoryConfig(format=FOUR, items=items))] == [content(p) for p in items]


def test_a_crash_comes_where_it_stands():
    stream = MemoryConfig(format=FOUR, items=(packet(0, 10), Crash("boom"), packet(10, 20))).prepare()(None).packets()
    assert next(stream).end_us == 10
    with pytest.raises(RuntimeError, match="boom"):
        next(stream)


def test_the_end_mark_ends_the_stream():
    assert len(read(MemoryConfig(format=FOUR, items=(packet(0, 10, last=True), End(), packet(0, 10, episode=1))))) == 1


def test_a_pause_hands_out_a_packet_of_zero_length():
    before, after = packet(0, 10, (2, 0), label=1), packet(10, 20, label=1, last=True)
    packets = read(MemoryConfig(format=FOUR, items=(before, Pause(), after)))
    assert [(p.begin_us, p.end_us, p.label) for p in packets] == [(0, 10, 1), (10, 10, 1), (10, 20, 1)]


def test_a_pause_between_episodes_belongs_to_the_next():
    packets = read(MemoryConfig(format=FOUR, items=(packet(0, 10, last=True), Pause(), packet(5, 20, episode=1, last=True))))
    assert [(p.begin_us, p.episode, p.last) for p in packets] == [(0, 0, True), (5, 1, False), (5, 1, True)]


def test_a_pause_at_the_end_opens_no_episode():
    assert len(read(MemoryConfig(format=FOUR, items=(packet(0, 10, last=True), Pause())))) == 1


def test_a_pause_lasts_until_its_file_exists(tmp_path):
    release = tmp_path / "go"
    items = (packet(0, 10), Pause(until=str(release)), packet(10, 20, last=True))
    stream = MemoryConfig(format=FOUR, items=items).prepare()(None).packets()
    assert [p.end_us for p in islice(stream, 4)] == [10, 10, 10, 10]
    release.touch()
    assert [p.end_us for p in stream][-1] == 20


def test_packets_resume_after_any_packet_and_inside_a_pause():
    items = (packet(0, 10, (1, 1)), Pause(), packet(10, 20, last=True), packet(0, 5, (2, 2), episode=1, last=True))
    config = MemoryConfig(format=FOUR, items=items)
    for stop, rest in ((1, 3), (2, 3), (3, 1), (4, 0)):
        source = config.prepare()(None)
        assert len(list(islice(source.packets(), stop))) == stop
        assert len(list(config.prepare()(source.snapshot()).packets())) == rest


# --- the options on their way ---


def test_plain_options_survive_json():
    config = MemoryConfig(shape=(2, 4, 4), events=((1000, 5, 0.25),), end_ms=100, label=3)
    assert MemoryConfig.model_validate_json(config.model_dump_json()) == config


def test_packets_and_marks_survive_json():
    items = (packet(0, 10, (1, 3), label=2), Pause(5, "go"), Crash("x"), End(), Packet(10, 10, value=np.empty(0, np.float32)))
    config = MemoryConfig(format=Format("graded", (4,), rate_hz=100.0, names=("a", "b")), items=items)
    again = MemoryConfig.model_validate_json(config.model_dump_json())
    assert again.format == config.format
    assert again.items[1:4] == items[1:4]
    assert [content(again.items[i]) for i in (0, 4)] == [content(items[i]) for i in (0, 4)]
    assert again.model_dump_json() == config.model_dump_json()


def test_options_can_be_sent_to_another_process():
    config = pickle.loads(pickle.dumps(MemoryConfig(format=FOUR, items=(packet(0, 10, (1, 3), last=True), End()))))
    assert [content(p) for p in read(config)] == [content(packet(0, 10, (1, 3), last=True))]
