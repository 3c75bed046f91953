"""dvs_dataset: which files become episodes, in what order and under which labels, where they begin and end, and resuming."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.packet import Format, Packet, same_events
from sources.dvs_dataset import DvsDatasetConfig, list_samples
from tests import writers, writers_event_stream
from tests.real_data import DATA, needs_data
from tests.writers_aedat import aedat2_dvs128, aedat4


@pytest.fixture
def folder(tmp_path):
    """Classes 2, 9 and 10; the sample N of class C has N + 1 events, the first at 100 C + N us, and a hidden file lies about."""
    for name in ("2", "9", "10"):
        (tmp_path / name).mkdir()
        for number in (1, 2, 11):
            first = 100 * int(name) + number
            events = [(first + 1_000 * i, number, int(name), 1) for i in range(number + 1)]
            (tmp_path / name / f"{number}.bin").write_bytes(writers.nmnist(events))
        (tmp_path / name / ".DS_Store").write_bytes(b"?")
    return tmp_path


def prepared(folder, **options) -> Callable[..., Any]:
    return DvsDatasetConfig(path=folder, **options).prepare()


def replay(folder, **options) -> list[Packet]:
    return list(prepared(folder, **options)(None).packets())


def episodes(packets: list[Packet]) -> list[tuple[int, int, int]]:
    """(label, events, end_us) of each."""
    found: dict[int, tuple[int, int, int]] = {}
    for p in packets:
        _, n, _ = found.get(p.episode, (0, 0, 0))
        found[p.episode] = p.label, n + p.n, p.end_us
    assert list(found) == list(range(len(found)))
    return list(found.values())


def test_classes_and_samples_come_in_order_of_their_names_numbers_as_numbers(folder):
    assert DvsDatasetConfig(path=folder).check() == Format("spikes", (2, 34, 34), names=("2", "9", "10"))
    assert [(label, n) for label, n, _ in episodes(replay(folder))] == [
        (0, 2), (0, 3), (0, 12), (1, 2), (1, 3), (1, 12), (2, 2), (2, 3), (2, 12)]


def test_words_and_numbers_in_names_sort_together(tmp_path):
    for name in ("b", "a10", "a9", "10", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1").write_bytes(writers.nmnist([(1, 1, 1, 1)]))
    assert DvsDatasetConfig(path=tmp_path).check().names == ("10", "a", "a9", "a10", "b")


def test_an_episode_begins_at_zero_and_ends_after_its_last_event(folder):
    packets = replay(folder, packet_ms=1)
    first = [p for p in packets if p.episode == 0]
    assert [(p.begin_us, p.end_us, p.t_us.tolist(), p.last) for p in first] == [
        (0, 1_000, [201], False), (1_000, 1_202, [1_201], True)]


def test_times_may_count_from_the_first_event(folder):
    first = replay(folder, anchor="first_event", limit=1)
    assert [(p.begin_us, p.end_us, p.t_us.tolist()) for p in first] == [(0, 1_001, [0, 1_000])]


def test_episodes_of_a_fixed_length_are_filled_or_cut(folder):
    assert {end_us for _, _, end_us in episodes(replay(folder, end_ms=5))} == {5_000}
    assert [n for _, n, _ in episodes(replay(folder, end_ms=5))][:3] == [2, 3, 5]


def test_a_shuffled_order_depends_on_the_seed_alone_and_takes_every_sample_once(folder):
    in_order = episodes(replay(folder))
    one, same, other = (episodes(replay(folder, shuffle=True, seed=seed)) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert one != in_order
    assert sorted(one) == sorted(in_order)
    assert episodes(replay(folder, shuffle=True, seed=1, limit=4)) == one[:4]


def test_classes_may_be_chosen_and_ordered(folder):
    config = DvsDatasetConfig(path=folder, classes=[10, "2"])
    assert config.check().names == ("10", "2")
    assert {label for label, _, _ in episodes(list(config.prepare()(None).packets()))} == {0, 1}
    with pytest.raises(ValueError, match="no folder for class '3'; there are 2, 9, 10"):
        DvsDatasetConfig(path=folder, classes=["3"]).check()
    with pytest.raises(ValueError, match="no folder for class '90'"):  # 9 is left out: a misspelling
        DvsDatasetConfig(path=folder, classes=["2", "90", "10"]).check()
    with pytest.raises(ValueError, match="classes must differ"):
        DvsDatasetConfig(path=folder, classes=["2", "2"]).check()


def test_a_class_without_a_folder_only_numbers_the_others(folder):
    config = DvsDatasetConfig(path=folder, classes=["1", "2", "9", "10"])
    assert config.check().names == ("1", "2", "9", "10")
    assert {label for label, _, _ in episodes(list(config.prepare()(None).packets()))} == {1, 2, 3}


def test_a_pattern_picks_the_samples(folder):
    (folder / "2" / "notes.txt").write_text("not a recording")
    with pytest.raises(ValueError, match=r"notes\.txt: not a recording of a known format"):
        replay(folder)
    assert len(episodes(replay(folder, files="*.bin"))) == 9
    _, samples = list_samples(DvsDatasetConfig(path=folder, files="*.bin"))
    assert [sample.path.name for sample in samples[:3]] == ["1.bin", "2.bin", "11.bin"]


def test_a_folder_that_holds_nothing_is_one_clear_line(tmp_path):
    config = DvsDatasetConfig(path=tmp_path / "data")
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'data'}: no such folder")):
        config.check()
    (tmp_path / "data").mkdir()
    with pytest.raises(ValueError, match="no class folders in it"):
        config.check()
    (tmp_path / "data" / "0").mkdir()
    with pytest.raises(ValueError, match=r"no class folder holds a file that matches '\*'"):
        config.check()


def test_unix_times_are_no_endless_silence_before_the_first_event(tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "a.aedat4").write_bytes(aedat4([(1_589_163_147_368_868, 1, 2, 1)]))
    with pytest.raises(ValueError, match=r"a\.aedat4: the first event lies 1589163147 s after zero: set anchor: first_event"):
        replay(tmp_path)
    assert [p.t_us.tolist() for p in replay(tmp_path, anchor="first_event")] == [[0]]


def test_samples_that_are_tables_take_the_options_of_tables(tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "a.csv").write_text("7;1;9;1\n8;2;9;0\n")
    options = {"columns": {"t": 0, "x": 1, "y": 2, "p": 3}, "time_unit": "ms", "delimiter": ";", "width": 34, "height": 34}
    assert [p.t_us.tolist() for p in replay(tmp_path, **options)] == [[7_000, 8_000]]
    (tmp_path / "0" / "b.csv").write_text("t_us,unit\n5,2\n6,3\n")
    packets = replay(tmp_path, files="b.csv", channels=4)
    assert [p.unit.tolist() for p in packets] == [[2, 3]]
    with pytest.raises(ValueError, match=r"b\.csv: a sensor of 4 channels, where the first sample's has 34x34"):
        replay(tmp_path, channels=4)


def test_a_sample_of_another_geometry_is_an_error(folder):
    (folder / "9" / "1.bin").write_bytes(writers.evt3([(1, 2, 3, 0)]))
    with pytest.raises(ValueError, match=r"1\.bin: a sensor of 64x48, where the first sample's has 34x34"):
        replay(folder)


def test_a_cut_off_or_silent_sample_is_an_error_unless_accepted(folder):
    path = folder / "2" / "1.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"2/1\.bin: cut off"):
        replay(folder)
    assert episodes(replay(folder, truncated="keep"))[0] == (0, 1, 202)
    path.write_bytes(writers.EVT3_HEADER)
    silent = {"classes": ["2"], "files": "1.bin"}
    with pytest.raises(ValueError, match=r"1\.bin: the recording holds no events; set end_ms"):
        replay(folder, **silent)
    assert episodes(replay(folder, **silent, end_ms=20)) == [(0, 0, 20_000)]


@pytest.mark.parametrize("options", [{}, {"shuffle": True, "seed": 3, "limit": 5}, {"end_ms": 4, "anchor": "first_event"}])
def test_a_data_set_resumes_after_every_packet(folder, options):
    make = prepared(folder, packet_ms=1, max_events=1, **options)
    source = make(None)
    packets, states = zip(*((packet, source.snapshot()) for packet in source.packets()), strict=True)
    for done, state in enumerate(states, 1):
        resumed = make(state)
        rest = list(resumed.packets())
        assert len(rest) == len(packets) - done
        for ours, theirs in zip(rest, packets[done:], strict=True):
            assert same_events(ours, theirs)
            assert (ours.episode, ours.last, ours.label) == (theirs.episode, theirs.last, theirs.label)
        assert resumed.report()["events"] == source.report()["events"]


def test_a_snapshot_of_other_samples_is_refused(folder):
    source = DvsDatasetConfig(path=folder).prepare()(None)
    next(source.packets())
    (folder / "2" / "1.bin").unlink()
    with pytest.raises(ValueError, match="the samples or their order have changed since the snapshot"):
        DvsDatasetConfig(path=folder).prepare()(source.snapshot())


def test_the_report_counts_samples_and_events(folder):
    source = prepared(folder, limit=3)(None)
    list(source.packets())
    assert source.report().items() >= {"samples": 3, "events": 17, "late": 0}.items()


@needs_data("nmnist")
def test_the_real_nmnist_test_samples_are_a_hundred_labelled_episodes():
    assert DvsDatasetConfig(path=DATA / "nmnist/Test").check() == Format("spikes", (2, 34, 34), names=tuple("0123456789"))
    source = prepared(DATA / "nmnist/Test", shuffle=True)(None)
    packets = list(source.packets())
    assert sum(p.last for p in packets) == 100
    assert {p.label for p in packets} == set(range(10))
    assert source.report()["events"] == 385_596


def test_samples_that_are_not_spikes_are_refused(tmp_path):
    (tmp_path / "red").mkdir()
    (tmp_path / "red/1.es").write_bytes(writers_event_stream.color([(5, 1, 2, 255, 0, 0)]))
    with pytest.raises(ValueError, match=r"1\.es: holds graded events, where samples of spikes can be read"):
        DvsDatasetConfig(path=tmp_path).check()


def test_cifar10_dvs_is_read_from_its_own_files(tmp_path):
    """A folder a class, in it AEDAT 2.0 files of a DVS128."""
    for label, name in enumerate(("airplane", "automobile")):
        (tmp_path / name).mkdir()
        for number in (0, 1, 10):
            events = [(500 + 1000 * i, 3 + number, 7, 1) for i in range(number + 1 + label)]
            (tmp_path / name / f"cifar10_{name}_{number}.aedat").write_bytes(aedat2_dvs128(events))
    config = DvsDatasetConfig(path=tmp_path, packet_ms=1000)
    assert config.check() == Format("spikes", (2, 128, 128), names=("airplane", "automobile"))
    assert [(label, n) for label, n, _ in episodes(replay(tmp_path))] == [(0, 1), (0, 2), (0, 11), (1, 2), (1, 3), (1, 12)]
