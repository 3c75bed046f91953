"""The simulated camera: its pixels against a slow plain truth, its motions against their names, its stream."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.packet import Packet
from sources.dvs_scene import DvsSceneConfig, motion_for
from sources.kernels.dvs_pixel import NEVER, fire, view
from sources.scene_motion import MOTIONS, SHIFTS, TEXELS_PER_PIXEL, Motion, motion_of
from tests.packets import content, glue

SMALL = DvsSceneConfig(width=12, height=8, episodes=3, episode_ms=(25.0, 40.0), seed=4)


def read(config: DvsSceneConfig, **options: object) -> list[Packet]:
    config = DvsSceneConfig.model_validate(config.model_dump() | options)
    return list(config.prepare()(None).packets())


def whole(config: DvsSceneConfig, **options: object) -> list[Packet]:
    """The episodes, each in one packet."""
    return read(config, packet_ms=1e6, max_events=10**9, **options)


# --- the pixel ---


def events_by_microseconds(frames, step_us, on, off, refractory_us, noise):
    """The events of one pixel, found by looking at every microsecond of it: [(t_us, on)]."""
    at_frame = np.arange(len(frames)) * step_us
    level = np.interp(np.arange(at_frame[-1] + 1), at_frame, frames)  # at each whole microsecond
    events, reference, blind_until_us = [], level[0], -1
    for t_us in range(at_frame[-1]):
        if t_us == blind_until_us:
            reference = level[t_us]
        while t_us >= blind_until_us:
            if level[t_us + 1] >= reference + on:
                events.append((t_us, 1))
                reference += on
            elif level[t_us + 1] <= reference - off:
                events.append((t_us, 0))
                reference -= off
            else:
                break
            blind_until_us = t_us + refractory_us if refractory_us else -1
        for noise_us, polarity in noise:
            if noise_us == t_us >= blind_until_us:
                events.append((t_us, polarity))
                reference = level[t_us]
                blind_until_us = t_us + refractory_us if refractory_us else -1
    return events


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), refractory_us=st.sampled_from([0, 1, 7, 40, 200]), step_us=st.sampled_from([1, 13, 50]))
def test_pixels_fire_as_a_look_at_every_microsecond_says(seed, refractory_us, step_us):
    rng = np.random.default_rng(seed)
    pixels, steps = 3, 12
    frames = rng.normal(0.0, 0.5, (steps + 1, pixels))
    on, off = rng.uniform(0.1, 0.4, pixels), rng.uniform(0.1, 0.4, pixels)
    reference, blind, keys = frames[0].copy(), np.full(pixels, -1), np.empty(10_000, np.int64)
    noise_us, noise_on, first = np.full(pixels, NEVER), np.zeros(pixels, np.uint8), np.arange(pixels)
    n = 0
    for k in range(steps):
        n = fire(k * step_us, (k + 1) * step_us, frames[k], frames[k + 1], on, off, refractory_us,
                 noise_us, noise_on, first, reference, blind, keys, n)
    for pixel in range(pixels):
        mine = np.sort(keys[:n][keys[:n] % pixels == pixel])
        found = [(int(key) // (2 * pixels), int(key) // pixels % 2) for key in mine]
        assert found == events_by_microseconds(frames[:, pixel], step_us, on[pixel], off[pixel], refractory_us, [])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), refractory_us=st.sampled_from([1, 7, 40, 200]))
def test_noise_fires_a_pixel_unless_it_is_blind_and_resets_it(seed, refractory_us):
    rng = np.random.default_rng(seed)
    frames, step_us = rng.normal(0.0, 0.05, (11, 1)), 50
    noise_us = np.append(np.unique(rng.integers(0, 500, 12)), NEVER)
    on = np.full(1, 0.1)
    reference, blind, keys = frames[0].copy(), np.full(1, -1), np.empty(10_000, np.int64)
    first, n = np.zeros(1, np.int64), 0
    for k in range(10):
        n = fire(k * step_us, (k + 1) * step_us, frames[k], frames[k + 1], on, on, refractory_us,
                 noise_us, np.ones(noise_us.size, np.uint8), first, reference, blind, keys, n)
    noise = [(t_us, 1) for t_us in noise_us[:-1].tolist()]
    found = [(int(key) // 2, int(key) % 2) for key in np.sort(keys[:n])]
    assert found == events_by_microseconds(frames[:, 0], step_us, 0.1, 0.1, refractory_us, noise)


def test_a_rise_of_three_thresholds_makes_three_on_events_evenly_spread():
    frames, thresholds = np.array([0.0, 0.75]), np.full(1, 0.25)
    reference, blind, keys = np.zeros(1), np.full(1, -1), np.empty(10, np.int64)
    n = fire(0, 999, frames[:1], frames[1:], thresholds, thresholds, 0,
             np.full(1, NEVER), np.zeros(1, np.uint8), np.zeros(1, np.int64), reference, blind, keys, 0)
    assert [(key // 2, key % 2) for key in keys[:n].tolist()] == [(333, 1), (666, 1), (998, 1)]


def test_view_is_bilinear_on_a_torus_and_blends_levels():
    levels = np.random.default_rng(1).normal(size=(2, 8, 8)).astype(np.float32)
    out = np.empty(20)
    view(levels, np.array([0.5, 0.0, -1.25, 0.0, 1.0, 7.0, 0.25]), 5, out)
    blend = 0.75 * levels[0].astype(float) + 0.25 * levels[1].astype(float)
    for y in range(4):
        for x in range(5):
            across, row = 0.5 * x - 1.25, (y + 7) % 8
            left, right = math.floor(across) % 8, (math.floor(across) + 1) % 8
            part = across - math.floor(across)
            assert out[y * 5 + x] == pytest.approx((1 - part) * blend[row, left] + part * blend[row, right], abs=1e-6)


# --- the motions ---


def image_shift(motion: Motion, x: float, y: float, t_us: int, dt_us: int = 100) -> tuple[float, float]:
    """Where what pixel (x, y) sees at t_us is seen dt_us later, less (x, y): pixels."""
    now, then = motion.warps(np.array([t_us, t_us + dt_us]))[:, :6].reshape(2, 2, 3)
    there = now[:, :2] @ (x, y) + now[:, 2]
    u, v = np.linalg.solve(then[:, :2], there - then[:, 2])
    return u - x, v - y


def motion(name: str) -> Motion:
    return Motion(name, 300_000, 60.0, (14.0, 17.0), 0.7, (300.0, 20.0), 32, 32)


@pytest.mark.parametrize("name", SHIFTS)
def test_the_image_moves_the_way_the_motion_is_named(name):
    for x, y in ((3, 4), (30, 11)):
        right, down = image_shift(motion(name), x, y, 120_000)
        assert np.sign(round(right, 6)) == ("right" in name) - ("left" in name)
        assert np.sign(round(down, 6)) == ("down" in name) - ("up" in name)


def test_clockwise_is_as_seen_on_the_screen():
    above_the_middle = image_shift(motion("clockwise"), 14, 5, 100_000)
    assert above_the_middle[0] > 0.004
    assert abs(above_the_middle[1]) < 1e-3
    assert image_shift(motion("counter_clockwise"), 14, 5, 100_000)[0] < -0.004


def test_approach_leads_away_from_the_middle_and_retreat_towards_it():
    for x, y in ((2, 3), (31, 9), (20, 30)):
        outward = np.array([x - 14, y - 17])
        assert np.dot(image_shift(motion("approach"), x, y, 50_000), outward) > 0
        assert np.dot(image_shift(motion("retreat"), x, y, 50_000), outward) < 0


@pytest.mark.parametrize("name", MOTIONS)
def test_the_root_mean_square_speed_is_that_drawn_in_every_motion(name):
    shifts = [image_shift(motion(name), x, y, 150_000, 10) for y in range(32) for x in range(32)]
    speed = np.sqrt(np.mean(np.square(shifts).sum(axis=1))) / 10e-6
    assert speed == pytest.approx(60.0, rel=0.01)


def test_half_way_the_scale_is_one_and_levels_of_blur_reach_all_scales():
    for name in ("approach", "retreat"):
        warps = motion(name).warps(np.array([0, 150_000, 300_000]))
        assert math.hypot(*warps[1, :2]) == pytest.approx(TEXELS_PER_PIXEL)
        assert sorted(warps[[0, 2], 6])[0] == pytest.approx(0.0)
        assert warps[:, 6].max() <= motion(name).level_scales().size - 1 + 1e-9


def test_every_motion_comes_once_in_a_block_and_blocks_are_shuffled():
    blocks = [[motion_of(3, 12 * block + k, MOTIONS) for k in range(12)] for block in range(4)]
    assert all(sorted(block) == sorted(MOTIONS) for block in blocks)
    assert len({tuple(block) for block in blocks}) == 4


# --- the stream ---


def test_episodes_begin_at_zero_meet_and_end_with_last():
    packets = read(SMALL, packet_ms=3.3, max_events=20)
    assert [packet.begin_us == 0 for packet in packets] == [True] + [packet.last for packet in packets[:-1]]
    assert all(a.last or a.end_us == b.begin_us for a, b in pairwise(packets))
    assert Counter(packet.episode for packet in packets if packet.last) == {0: 1, 1: 1, 2: 1}
    assert packets[-1].last
    assert all(25_000 <= packet.end_us <= 40_000 for packet in packets if packet.last)


def test_labels_are_the_places_of_the_motions_among_all_names():
    config = DvsSceneConfig(**SMALL.model_dump() | {"motions": ("approach", "left"), "episodes": 4})
    names = config.check().names
    assert sorted(names[packet.label] for packet in whole(config)) == ["approach", "approach", "left", "left"]
    assert names == MOTIONS


def test_events_are_sorted_by_time_and_unit():
    for packet in whole(SMALL, step_us=700):
        packet.check(SMALL.check())
        assert (np.lexsort((packet.unit, packet.t_us)) == np.arange(packet.n)).all()


@pytest.mark.parametrize(("packet_ms", "max_events"), [(0.5, 65536), (7.7, 10), (40.0, 1), (1000.0, 100)])
def test_recutting_gives_the_same_events(packet_ms, max_events):
    packets = read(SMALL, packet_ms=packet_ms, max_events=max_events)
    for episode in whole(SMALL):
        mine = [packet for packet in packets if packet.episode == episode.episode]
        assert content(glue(mine)) == content(episode)


def test_an_episode_can_be_made_alone():
    alone = whole(SMALL, first_episode=2, episodes=1)
    assert [content(packet) for packet in alone] == [content(whole(SMALL)[2])]


def test_resume_after_any_packet_goes_on_bit_for_bit():
    make = SMALL.prepare()
    packets = list(make(None).packets())
    for stop in range(len(packets) + 1):
        source = make(None)
        assert len(list(islice(source.packets(), stop))) == stop
        rest = list(SMALL.prepare()(source.snapshot()).packets())
        assert [content(packet) for packet in rest] == [content(packet) for packet in packets[stop:]]


def test_a_snapshot_is_detached():
    source = SMALL.prepare()(None)
    stream = source.packets()
    next(stream)
    state = source.snapshot()
    next(stream)
    assert (int(state["episode"]), int(state["at_us"])) == (0, 10_000)


def test_two_sources_do_not_touch_each_other():
    make = SMALL.prepare()
    pairs = zip(make(None).packets(), make(None).packets(), strict=True)
    assert all(content(a) == content(b) for a, b in pairs)


def test_another_seed_gives_other_episodes():
    ours, others = whole(SMALL), whole(SMALL, seed=5)
    assert all(a.n != b.n or not np.array_equal(a.t_us, b.t_us) for a, b in zip(ours, others, strict=True))


def test_an_endless_camera_goes_on():
    stream = DvsSceneConfig(**SMALL.model_dump() | {"episodes": None, "packet_ms": 1000.0}).prepare()(None).packets()
    assert [packet.episode for packet in islice(stream, 5)] == [0, 1, 2, 3, 4]


def test_no_pixel_fires_within_its_refractory_period():
    fastest = {}
    for refractory_us in (0, 3000):
        gaps = []
        for packet in whole(SMALL, refractory_us=refractory_us, noise_hz=200.0, contrast=(2.0, 3.0)):
            pixel = packet.unit % (12 * 8)
            order = np.lexsort((packet.t_us, pixel))
            same = np.diff(pixel[order]) == 0
            gaps += np.diff(packet.t_us[order])[same].tolist()
        fastest[refractory_us] = min(gaps)
    assert fastest[0] < 3000 <= fastest[3000]


def test_noise_and_hot_pixels_fire_at_their_rates():
    still = {"speed_px_s": (1e-6, 1e-6), "mismatch": 0.0, "episode_ms": (1000.0, 1000.0), "refractory_us": 0, "episodes": 4}
    noisy = whole(SMALL, **still, noise_hz=20.0, hot_fraction=0.0)
    assert sum(packet.n for packet in noisy) == pytest.approx(4 * 96 * 20, rel=0.05)
    hot = whole(SMALL, **still, noise_hz=0.0, hot_fraction=0.05, hot_hz=300.0, camera_seed=1)
    pixels = [set((packet.unit % 96).tolist()) for packet in hot]
    assert pixels[0]
    assert pixels.count(pixels[0]) == 4
    assert sum(packet.n for packet in hot) == pytest.approx(4 * len(pixels[0]) * 300, rel=0.1)


def test_without_a_camera_seed_every_episode_has_pixels_of_its_own():
    options = {"speed_px_s": (1e-6, 1e-6), "noise_hz": 0.0, "hot_fraction": 0.05, "hot_hz": 1000.0}
    pixels = [frozenset((packet.unit % 96).tolist()) for packet in whole(SMALL, **options)]
    assert len(set(pixels)) == 3


def test_more_events_than_there_was_room_for_are_all_kept():
    """A threshold of a hundredth makes dozens of events a pixel and step, more than the buffer first holds."""
    options = {"episodes": 1, "threshold_on": 0.01, "threshold_off": 0.01, "mismatch": 0.0, "refractory_us": 0, "noise_hz": 0.0,
               "contrast": (2.0, 2.0), "speed_px_s": (500.0, 500.0)}
    many = whole(SMALL, **options)[0]
    assert many.n > 100 * 96
    assert content(glue(read(SMALL, packet_ms=1.0, **options))) == content(many)


def test_no_motion_is_given_away_by_its_number_of_events():
    packets = whole(DvsSceneConfig(width=16, height=16, episodes=240, seed=1))
    rates = np.array([np.mean([p.n / p.end_us for p in packets if p.label == label]) for label in range(12)])
    assert rates.max() / rates.min() < 1.5
    later = [np.mean([(p.t_us >= p.end_us // 2).mean() for p in packets if p.label == label]) for label in range(12)]
    assert min(later) > 0.45
    assert max(later) < 0.55


def test_the_middle_of_a_wide_sensor_is_drawn_within_it():
    config = DvsSceneConfig(width=64, height=16)
    middles = np.array([motion_for(config, episode).middle_px for episode in range(50)])
    assert (middles > 0).all()
    assert (middles < (63, 15)).all()
    assert replace(motion_for(config, 1), name="left") != motion_for(config, 2)


def test_plain_python_gives_the_same_events_as_compiled_code():
    tiny = {"width": 4, "height": 4, "episodes": 3, "episode_ms": (8.0, 8.0), "seed": 2, "packet_ms": 100.0, "noise_hz": 50.0}
    code = ("from sources.dvs_scene import DvsSceneConfig\n"
            f"for p in DvsSceneConfig(**{tiny}).prepare()(None).packets(): print(p.t_us.tolist(), p.unit.tolist())")
    plain = subprocess.run([sys.executable, "-c", code], env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
                           capture_output=True, text=True, check=True).stdout
    compiled = "".join(f"{p.t_us.tolist()} {p.unit.tolist()}\n" for p in read(DvsSceneConfig(**tiny)))
    assert plain == compiled


def test_check_needs_no_numba():
    code = "import sys; from sources.dvs_scene import DvsSceneConfig; DvsSceneConfig().check(); print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed_px_s": (80.0, 40.0)}, r"speed_px_s must be \[least, greatest\], got \[80, 40\]"),
        ({"speed_px_s": (1.0, 5000.0)}, "at 5000 px/s for 400 ms an approach would magnify more than a million times: lower"),
        ({"motions": ("left", "left")}, "motions must differ, got left, left"),
    ],
)
def test_options_that_do_not_fit_together_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        DvsSceneConfig(**options).check()


@pytest.mark.parametrize("options", [{"motions": ("sideways",)}, {"motions": ()}, {"threshold_on": 0.0}, {"hot_fraction": 2.0},
                                     {"episode_ms": (0.0, 5.0)}, {"widht": 3}])
def test_options_outside_their_range_are_refused(options):
    with pytest.raises(ValidationError):
        DvsSceneConfig(**options)
