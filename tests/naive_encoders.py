"""The slow plain truth of the encoders and of further filters: a whole recording goes in as (t_us, unit, value) tuples.

Each is written from the definition in the operator's docstring, over the whole recording at once, as in tests/naive_filters.py.
Encoders that go on in silence need to know where the recording begins and ends.
"""

from __future__ import annotations

import math
from itertools import groupby

import numpy as np

from tests.naive_filters import Event, Shape, in_order, pixel_of, place

Span = tuple[int, int]  # begin and end of the recording, in us


def ticks_of(span: Span, tick_us: int) -> range:
    return range(span[0] // tick_us, -(-span[1] // tick_us))


def random_number(seed: int, tick: int, unit: int) -> float:
    """In (0, 1): two rounds over the unit, keyed by seed and tick."""

    def finalize(word: int) -> int:
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            word = (word ^ word >> shift) * factor % 2**32
        return word ^ word >> 16

    def key(seed: int) -> int:
        return finalize(finalize(finalize(seed) ^ tick % 2**32) ^ (tick >> 32) % 2**32)

    return (finalize(finalize(unit ^ key(seed)) ^ key(seed ^ 0x9E3779B9)) + 0.5) / 2**32


def values_at(events: list[Event], end_us: int) -> dict[int, float]:
    """The latest value before end_us of each unit that has one."""
    return {unit: value for t_us, unit, value in events if t_us < end_us}


def bernoulli(events: list[Event], span: Span, tick_us: int, scale: float = 1.0, seed: int = 0) -> list[Event]:
    return in_order([
        (tick * tick_us, unit, 0.0)
        for tick in ticks_of(span, tick_us)
        for unit, value in values_at(events, (tick + 1) * tick_us).items()
        if random_number(seed, tick, unit) < scale * value
    ])  # fmt: skip


def hold(events: list[Event], span: Span, tick_us: int) -> list[Event]:
    return in_order([
        (tick * tick_us, unit, value)
        for tick in ticks_of(span, tick_us)
        for unit, value in values_at(events, (tick + 1) * tick_us).items()
        if abs(value) > 0
    ])  # fmt: skip


def poisson(
    events: list[Event], span: Span, tick_us: int, max_rate_hz: float, scale: float = 1.0, seed: int = 0
) -> list[Event]:
    spikes: list[Event] = []
    for tick in ticks_of(span, tick_us):
        for unit, value in values_at(events, (tick + 1) * tick_us).items():
            mean = min(1.0, scale * value) * max_rate_hz * tick_us / 1e6
            if mean > 0:
                shares = [math.exp(-mean) * mean**n / math.factorial(n) for n in range(100)]
                n = int(np.searchsorted(np.cumsum(shares), random_number(seed, tick, unit)))
                spikes += [(tick * tick_us, unit, 0.0)] * n
    return in_order(spikes)


def latency_linear(events: list[Event], window_us: int, scale: float = 1.0, threshold: float = 0.0) -> list[Event]:
    spikes = []
    for t_us, unit, value in events:
        x = min(1.0, scale * value)
        if x > threshold:
            spikes.append((t_us + min(window_us - 1, math.floor(window_us * (1.0 - x))), unit, 0.0))
    return in_order(spikes)


def latency_logarithmic(events: list[Event], window_us: int, threshold: float, tau_us: float) -> list[Event]:
    spikes = []
    for t_us, unit, value in events:
        x = min(1.0, value)
        if x > threshold and (after_us := tau_us * math.log(x / (x - threshold))) < window_us:
            spikes.append((t_us + math.floor(after_us), unit, 0.0))
    return in_order(spikes)


def send_on_delta(
    events: list[Event], units: int, delta: float, hysteresis: float = 0.0, refractory_us: int = 0
) -> list[Event]:
    spikes: list[Event] = []
    for number in range(units):
        sent, direction, last_us = None, 0, None
        for t_us, unit, value in events:
            if unit != number or (last_us is not None and t_us - last_us < refractory_us):
                continue
            if sent is None:
                sent = np.float32(value)
                continue
            change = np.float32(value) - sent
            turned = np.float32(delta) + np.float32(hysteresis)
            if change >= (turned if direction < 0 else np.float32(delta)):
                direction = 1
            elif -change >= (turned if direction > 0 else np.float32(delta)):
                direction = -1
            else:
                continue
            sent, last_us = np.float32(value), t_us
            spikes.append((t_us, unit + (units if direction > 0 else 0), 0.0))
    return in_order(spikes)


def time_surface(events: list[Event], span: Span, every_us: int, tau_us: float, least: float) -> list[Event]:
    values: list[Event] = []
    for tick in ticks_of(span, every_us):
        end_us = (tick + 1) * every_us
        newest = {unit: t_us for t_us, unit, _ in events if t_us < end_us}
        values += [
            (tick * every_us, unit, float(np.float32(math.exp(-(end_us - t_us) / tau_us))))
            for unit, t_us in newest.items()
            if end_us - t_us <= tau_us * math.log(1 / least)
        ]
    return in_order(values)


def voxel(events: list[Event], units: int, window_us: int, bins: int = 1) -> list[Event]:
    voxels = set()
    for t_us, unit, _ in events:
        begin_us = t_us // window_us * window_us
        voxels.add((begin_us, (t_us - begin_us) * bins // window_us * units + unit, 0.0))
    return in_order(list(voxels))


def rate_limit(events: list[Event], max_rate_hz: int, burst: int) -> list[Event]:
    tokens, last_us = burst * 10**6, None  # in millionths, so that a microsecond adds the rate
    passed = []
    for event in events:
        if last_us is not None:
            tokens = min(burst * 10**6, tokens + (event[0] - last_us) * max_rate_hz)
        last_us = event[0]
        if tokens >= 10**6:
            tokens -= 10**6
            passed.append(event)
    return in_order(passed)


def stcf(
    events: list[Event], shape: Shape, window_us: int, support: int, radius: int = 1, apart: bool = False
) -> list[Event]:
    begin = 0  # of the events that may still be within the window

    def supported(index: int) -> bool:
        nonlocal begin
        t_us, unit, _ = events[index]
        while events[begin][0] < t_us - window_us:
            begin += 1
        channel, y, x = place(unit, shape)
        fired = set()
        for before in events[begin:index]:
            other, v, u = place(before[1], shape)
            if abs(u - x) <= radius and abs(v - y) <= radius and (u, v) != (x, y) and (not apart or other == channel):
                fired.add((u, v))
        return len(fired) >= support

    return in_order([event for index, event in enumerate(events) if supported(index)])


def arbiter_lines(events: list[Event], shape: Shape, window_us: int, share: float, lines: str) -> list[Event]:
    def is_artefact(event: Event, axis: int) -> bool:
        line = pixel_of(event[1], shape)[axis]
        near = [pixel_of(unit, shape) for t_us, unit, _ in events if abs(t_us - event[0]) <= window_us]
        return len({pixel for pixel in near if pixel[axis] == line}) >= share * shape[2 - axis]

    axes = {"rows": (1,), "columns": (0,), "both": (0, 1)}[lines]
    return in_order([event for event in events if not any(is_artefact(event, axis) for axis in axes)])


def flicker(events: list[Event], shape: Shape, shortest_us: int, longest_us: int, cycles: int, area: int = 1) -> list[Event]:
    def area_of(event: Event) -> tuple[int, int]:
        x, y = pixel_of(event[1], shape)
        return y // area, x // area

    passed: list[Event] = []
    for _, of_area in groupby(sorted(events, key=lambda event: (area_of(event), event[0])), area_of):
        rises: list[int] = []  # the run of rises that are a period apart, its first one included
        was_on = None
        for event in of_area:
            t_us, is_on = event[0], event[1] >= shape[1] * shape[2]
            if rises and t_us - rises[-1] > longest_us:
                rises = []
            if is_on and was_on is False:
                if not rises or t_us - rises[-1] >= shortest_us:
                    rises.append(t_us)
                elif 2 * (t_us - rises[-1]) >= shortest_us:
                    rises = [t_us]
            was_on = is_on
            if len(rises) - 1 < cycles:
                passed.append(event)
    return in_order(passed)
