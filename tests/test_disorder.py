"""Events that run backwards in time: an error, left out, or sorted within a bounded window; never different for another cut."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import sources.formats.words as words_module
from pipeline.packet import same_events
from sources.cut import Events, joined
from sources.disorder import SortWithin, in_order
from sources.dvs_file import DvsFileConfig
from sources.formats.header import Chunk
from sources.inspect import inspect
from tests import writers
from tests.writers_aedat import aedat4

FAR_PAST = -(2**62)


def sorted_naively(times: list[int], within_us: int) -> tuple[list[tuple[int, int]], list[int]]:
    """The events that are kept, (time, number in the file), and for each one left out the greatest time before it."""
    kept, late, newest = [], [], FAR_PAST
    for number, t in enumerate(times):
        if t < newest - within_us:
            late.append(newest)
        else:
            kept.append((t, number))
        newest = max(newest, t)
    return sorted(kept), late


def chunked(times: list[int], cuts: list[int]) -> list[Chunk]:
    """Chunks as a decoder hands them out; the unit of an event is its number."""
    bounds = [0, *sorted({cut for cut in cuts if cut < len(times)}), len(times)]
    chunks = []
    for first, past in pairwise(bounds):
        t_us = np.array(times[first:past], np.int64)
        since = max(times[:first], default=FAR_PAST)
        newest = max(times[:past], default=FAR_PAST)
        ordered = bool((np.diff(np.concatenate(([since], t_us))) >= 0).all())
        events = Events(t_us, np.arange(first, past, dtype=np.uint32))
        chunks.append(Chunk(np.array([first]), events, since, newest, ordered, {"events": past}))
    return chunks


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=50), st.lists(st.integers(0, 50), max_size=8), st.integers(1, 40))
def test_events_are_sorted_within_the_window_however_they_are_cut(times, cuts, within_us):
    kept, late = sorted_naively(times, within_us)
    chunks = list(in_order(chunked(times, cuts), SortWithin(sort_within_ms=within_us / 1000), Path("a")))
    events = joined([chunk.events for chunk in chunks])
    assert list(zip(events.t_us.tolist(), events.unit.tolist(), strict=True)) == kept
    assert events.late_us.tolist() == late
    assert all(chunk.ordered for chunk in chunks)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=50), st.lists(st.integers(0, 50), max_size=8))
def test_late_events_are_left_out_however_they_are_cut(times, cuts):
    newest = np.maximum.accumulate(times)
    events = joined([chunk.events for chunk in in_order(chunked(times, cuts), "drop", Path("a"))])
    assert events.unit.tolist() == np.flatnonzero(times == newest).tolist()
    assert events.late_us.tolist() == newest[times != newest].tolist()


def test_held_events_wait_no_longer_than_the_window():
    chunks = chunked([0, 500, 1_500, 1_400, 3_000, 9_000], [2, 3, 4, 5])
    seen = [chunk.events.t_us.tolist() for chunk in in_order(chunks, SortWithin(sort_within_ms=1), Path("a"))]
    assert seen == [[], [0], [], [500, 1_400, 1_500], [3_000], [9_000]]


@pytest.mark.parametrize("on_disorder", [{"sort_within_ms": 0.4}, {"sort_within_ms": 3.0}, "drop"])
@pytest.mark.parametrize("options", [{}, {"loop": 3, "from_s": 0.004}, {"packet_ms": 0.3, "max_events": 2, "to_s": 0.02}])
def test_a_replay_of_disorder_resumes_after_every_packet(tmp_path, monkeypatch, on_disorder, options):
    monkeypatch.setattr(words_module, "CHUNK_BYTES", 40)
    path = tmp_path / "disordered.dat"
    rng = np.random.default_rng(2)
    times = (np.arange(5_000, 34_500, 237) - rng.integers(0, 2_000, 125) * (rng.random(125) < 0.4)).tolist()
    path.write_bytes(writers.dat([(t, i % 64, i % 48, i % 2) for i, t in enumerate(times)]))
    make = DvsFileConfig.model_validate({"path": path, "packet_ms": 2, "on_disorder": on_disorder} | options).prepare()
    source = make(None)
    packets, states = zip(*((packet, source.snapshot()) for packet in source.packets()), strict=True)
    if not options:
        within_us = 0 if on_disorder == "drop" else round(on_disorder["sort_within_ms"] * 1000)
        kept, late = sorted_naively(times, within_us)
        assert [int(t) for packet in packets for t in packet.t_us] == [t for t, _ in kept]
        assert sum(packet.lost for packet in packets) == len(late) == source.report()["late"]
    for done, state in enumerate(states, 1):
        rest = list(make(state).packets())
        assert len(rest) == len(packets) - done
        for ours, theirs in zip(rest, packets[done:], strict=True):
            assert same_events(ours, theirs)
            assert (ours.episode, ours.last, ours.lost) == (theirs.episode, theirs.last, theirs.lost)


def test_packets_of_aedat4_that_overlap_in_time_are_sorted(tmp_path):
    path = tmp_path / "overlapping.aedat4"
    path.write_bytes(aedat4([(t, i, 1, 1) for i, t in enumerate((0, 10, 20, 30, 40, 25, 35, 45, 55, 65))]))
    config = DvsFileConfig.model_validate({"path": path, "on_disorder": {"sort_within_ms": 0.1}})
    times = [int(t) for packet in config.prepare()(None).packets() for t in packet.t_us]
    assert times == [0, 10, 20, 25, 30, 35, 40, 45, 55, 65]


def test_sorting_keeps_what_stands_before_half_a_record(tmp_path):
    path = tmp_path / "cut_off.dat"
    path.write_bytes(writers.dat([(10, 1, 1, 1), (5, 2, 2, 1)]) + b"abc")
    config = DvsFileConfig.model_validate({"path": path, "on_disorder": {"sort_within_ms": 1}, "truncated": "keep"})
    source = config.prepare()(None)
    assert [int(t) for packet in source.packets() for t in packet.t_us] == [5, 10]
    assert source.report()["tail_bytes"] == 3


@pytest.mark.parametrize("wrong", ["sort", {"sort_within_ms": 0}, {"sort_within_ms": -1}, {"sort_ms": 3}, 5])
def test_a_policy_that_is_none_is_refused(wrong):
    with pytest.raises(ValidationError):
        DvsFileConfig.model_validate({"path": "a", "on_disorder": wrong})


# --- what info tells ---


def test_inspect_counts_events_that_were_there_before(tmp_path, monkeypatch):
    path = tmp_path / "repeating.dat"
    one, other = (5, 1, 1, 1), (5, 1, 1, 0)
    path.write_bytes(writers.dat([one, other, one, (5, 2, 1, 1), one, other, (6, 1, 1, 1), (7, 1, 1, 1), (7, 1, 1, 1)]))
    for chunk_bytes in (8, 16, 24, 32, 1_000):
        monkeypatch.setattr(words_module, "CHUNK_BYTES", chunk_bytes)
        assert inspect(path)["duplicates"] == 4


def test_inspect_tells_how_late_events_are(tmp_path, monkeypatch):
    monkeypatch.setattr(words_module, "CHUNK_BYTES", 16)
    path = tmp_path / "late.dat"
    path.write_bytes(writers.dat([(t, 1, 1, 1) for t in (10, 500, 90, 400, 800, 795)]))
    figures = inspect(path)
    assert (figures["backwards"], figures["backwards_most_us"]) == (3, 410)
    config = DvsFileConfig.model_validate({"path": path, "on_disorder": {"sort_within_ms": 0.41}})
    assert [packet.lost for packet in config.prepare()(None).packets()] == [0]


def test_inspect_counts_wraps(tmp_path):
    path = tmp_path / "long.raw"
    path.write_bytes(writers.evt3([(t, 1, 1, 1) for t in range(0, 3 << 24, 1 << 22)]))
    assert inspect(path)["wraps"] == 2
