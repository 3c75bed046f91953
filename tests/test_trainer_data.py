"""Samples for training: binned by the runtime's law, padded, split, augmented, always the same for the same seed."""

import numpy as np
import pytest

pytest.importorskip("torch")

from operators.crop_pool import CropPoolConfig
from pipeline.chain import Chain
from pipeline.packet import Format, Packet
from sources.dvs_scene import DvsSceneConfig
from trainer.augmentation import Augmentation
from trainer.data import Batches, collate, encode, episodes, split

CAMERA = Format("spikes", (2, 8, 8), names=("a", "b"))


def episode(times_us, units, end_us, label=0, begin_us=0):
    return Packet(begin_us, end_us, np.array(times_us, np.int64), np.array(units, np.uint32), None, 0, True, label)


def binned(packet, tick_us=10, n=4):
    return collate([encode(packet, Chain([]), tick_us, n)], n).x[:, 0].tolist()


def test_tick_k_holds_its_first_microsecond_and_not_that_of_the_next():
    assert binned(episode([0, 9, 10, 19, 20], [0, 0, 1, 1, 2], 21)) == [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0]]


def test_ticks_lie_at_stream_time_0_wherever_the_episode_begins():
    assert binned(episode([38, 40], [0, 1], 41, begin_us=35)) == [[1, 0, 0, 0], [0, 1, 0, 0]]


def test_silence_at_the_end_is_ticks_too():
    assert len(binned(episode([], [], 95))) == 10


def test_samples_are_padded_to_the_longest():
    samples = [encode(episode([5], [1], end_us), Chain([]), 10, 4) for end_us in (10, 35)]
    batch = collate(samples, 4)
    assert batch.x.shape == (4, 2, 4)
    assert batch.ticks.tolist() == [1, 4]
    assert batch.x[0, :, 1].tolist() == [1, 1]
    assert batch.x.sum() == 2


def test_graded_events_add_their_values():
    packet = Packet(0, 10, np.array([1, 2]), np.array([3, 3], np.uint32), np.array([0.5, 0.25], np.float32), last=True)
    assert binned(packet) == [[0, 0, 0, 0.75]]


def test_a_source_is_read_as_whole_episodes_however_it_is_cut():
    cuts = [episodes(DvsSceneConfig(width=8, height=8, episodes=3, seed=4, packet_ms=ms))[0] for ms in (3, 1000)]
    assert [p.label for p in cuts[0]] == [p.label for p in cuts[1]]
    for one, other in zip(*cuts, strict=True):
        assert (one.begin_us, one.end_us, one.last) == (0, other.end_us, True)
        assert np.array_equal(one.t_us, other.t_us)
        assert np.array_equal(one.unit, other.unit)


def test_operators_of_the_runtime_encode_what_is_trained_on():
    batches = Batches([episode([1, 2, 3], [0, 9, 63], 10)], [CropPoolConfig(to=(2, 4, 4))], CAMERA, 10, 1)
    batch = next(iter(batches))
    assert batches.format.shape == (2, 4, 4)
    assert batch.x[0, 0].nonzero().flatten().tolist() == [0, 15]
    assert batch.x[0, 0, 0] == 2


def test_an_epoch_is_the_same_whenever_it_is_asked_for_and_others_differ():
    augmentation = Augmentation(shift_px=2, drop=0.5, time_jitter_ms=0.002)
    some = [episode(np.arange(40), np.arange(40), 40, label) for label in range(2)]
    batches = Batches(some, [], CAMERA, 10, 2, seed=3, augment=lambda e, rng: augmentation(e, rng, CAMERA))
    first, again, other = (next(batches.at(epoch)).x for epoch in (5, 5, 6))
    assert first.equal(again)
    assert not (first.shape == other.shape and first.equal(other))


def test_every_class_gives_its_share_to_validation():
    some = [episode([], [], 1, label) for label in [0] * 20 + [1] * 40]
    train, held = split(some, 0.1, seed=1)
    assert sorted(e.label for e in held) == [0, 0, 1, 1, 1, 1]
    assert len(train) == 54


def test_a_shift_moves_an_image_and_drops_what_leaves_it():
    class AllLeft:  # every draw is the least
        def uniform(self, low, high, n=None):
            return low if n is None else np.full(n, low)

    moved = Augmentation(shift_px=1)(episode([0, 1], [9, 0], 5), AllLeft(), CAMERA)
    assert moved.unit.tolist() == [0]  # (1, 1) came to (0, 0), (0, 0) left the image
    assert moved.t_us.tolist() == [0]


def test_a_flip_exchanges_on_and_off():
    flipped = Augmentation(flip_polarity=1)(episode([0, 1], [3, 64], 5), np.random.default_rng(0), CAMERA)
    assert flipped.unit.tolist() == [67, 0]


@pytest.mark.parametrize("amount", [{"time_stretch": 0.5}, {"time_jitter_ms": 0.01}, {"rotate_deg": 45}, {"drop": 0.9},
                                    {"zoom": 0.3, "shear": 0.3}, {"shift_px": 6, "flip_polarity": 0.5}])
def test_augmented_episodes_are_lawful_packets(amount):
    packet = episode(np.arange(100), np.arange(100), 120)
    for seed in range(5):
        changed = Augmentation(**amount)(packet, np.random.default_rng(seed), CAMERA)
        changed.check(CAMERA)
        assert changed.n <= packet.n
    assert packet.n == 100


def test_channels_of_a_cochlea_are_shifted_along_their_axis():
    channels = Format("spikes", (128,))
    shift = Augmentation(shift_px=2)
    found = {shift(episode([0], [50], 5), np.random.default_rng(seed), channels).unit[0].item() for seed in range(50)}
    assert found == {48, 49, 50, 51, 52}


def test_a_blend_holds_half_of_each_of_two_of_a_class_their_mean_times_agreeing():
    own, other = episode(np.arange(400), np.full(400, 3), 400), episode(np.arange(200), np.full(200, 5), 200)
    mixed = Augmentation(blend=1)(own, np.random.default_rng(0), CAMERA, [other])
    mixed.check(CAMERA)
    counts = {unit: int((mixed.unit == unit).sum()) for unit in (3, 5)}
    assert abs(counts[3] - 200) < 40
    assert abs(counts[5] - 100) < 30
    assert abs(mixed.t_us[mixed.unit == 5].mean() - 200) < 15
    assert (mixed.end_us, mixed.label) == (own.end_us, own.label)


def test_noise_adds_spikes_of_any_unit_to_what_was_there():
    packet = episode(np.arange(100), np.arange(100), 120)
    noisy = Augmentation(noise=0.5)(packet, np.random.default_rng(1), CAMERA)
    noisy.check(CAMERA)
    assert 100 < noisy.n <= 150
    assert set(zip(packet.t_us.tolist(), packet.unit.tolist(), strict=True)) <= set(
        zip(noisy.t_us.tolist(), noisy.unit.tolist(), strict=True))


def test_batches_alike_hold_every_sample_once_and_pad_less():
    lengths = np.random.default_rng(0).permutation(np.arange(10, 330, 10))
    some = [episode([0], [unit], length) for unit, length in enumerate(lengths.tolist())]
    padded = {}
    for alike in (1, 4):
        epoch = list(Batches(some, [], CAMERA, 10, 4, seed=3, alike=alike).at(0))
        assert sorted(unit for batch in epoch for unit in batch.x.sum((0, 1)).nonzero()[:, 0].tolist()) == list(range(32))
        padded[alike] = sum(batch.x.shape[0] for batch in epoch)
    assert padded[4] < 0.8 * padded[1]
