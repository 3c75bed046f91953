"""The slow plain truth of every event filter: a whole recording goes in as (t_us, unit, value) tuples, what is left comes out.

Each is written from the definition in the operator's docstring, over the whole recording at once: no packets, no state
arrays, no borders. All sort by (t_us, unit); equal events keep their order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Set
from math import isqrt

Event = tuple[int, int, float]
Shape = tuple[int, int, int]  # channels, height, width


def background_activity(
    events: list[Event], shape: Shape, window_us: int, min_neighbours: int = 1, apart: bool = False
) -> list[Event]:
    times: dict[tuple[int, int, int], list[int]] = {}  # of the events of each place (channel, y, x), in order
    for t_us, unit, _ in events:
        channel, y, x = place(unit, shape)
        times.setdefault((channel if apart else 0, y, x), []).append(t_us)

    def had_event(where: tuple[int, int, int], first_us: int, last_us: int) -> bool:
        of_place = times.get(where, [])
        at = bisect_left(of_place, first_us)
        return at < len(of_place) and of_place[at] <= last_us

    def supported(event: Event) -> bool:
        channel, y, x = place(event[1], shape)
        square = [(channel if apart else 0, v, u) for v in range(y - 1, y + 2) for u in range(x - 1, x + 2) if (v, u) != (y, x)]
        return sum(had_event(where, event[0] - window_us, event[0]) for where in square) >= min_neighbours

    return in_order([event for event in events if supported(event)])


def refractory(events: list[Event], period_us: int) -> list[Event]:
    last: dict[int, int] = {}
    kept = []
    for event in events:
        t_us, unit, _ = event
        if unit not in last or t_us - last[unit] >= period_us:
            last[unit] = t_us
            kept.append(event)
    return in_order(kept)


def square_root(events: list[Event], tick_us: int) -> list[Event]:
    counts: Counter[tuple[int, int]] = Counter()  # by tick and unit
    kept = []
    for event in events:
        counts[event[0] // tick_us, event[1]] += 1
        if isqrt(counts[event[0] // tick_us, event[1]]) ** 2 == counts[event[0] // tick_us, event[1]]:
            kept.append(event)
    return in_order(kept)


def hot_pixels(
    events: list[Event],
    shape: Shape,
    window_us: int,
    max_rate_hz: float,
    release_rate_hz: float,
    over_neighbours: float,
    masked: Set[tuple[int, int]] = frozenset(),
) -> list[Event]:
    _, height, width = shape
    counts: Counter[tuple[int, tuple[int, int]]] = Counter()  # by window and (x, y)
    for t_us, unit, _ in events:
        if pixel_of(unit, shape) not in masked:
            counts[t_us // window_us, pixel_of(unit, shape)] += 1

    def stands_out(window: int, x: int, y: int) -> bool:
        square = [(u, v) for v in range(y - 1, y + 2) for u in range(x - 1, x + 2)]
        neighbours = [(u, v) for u, v in square if (u, v) != (x, y) and 0 <= u < width and 0 <= v < height]
        quieter = [n for n in neighbours if over_neighbours * counts[window, n] < counts[window, (x, y)]]
        return not neighbours or len(quieter) > len(neighbours) / 2

    hot: set[tuple[int, tuple[int, int]]] = set()  # window and pixel
    windows = [t_us // window_us for t_us, _, _ in events]
    for window in range(min(windows, default=0), max(windows, default=0)):
        for x, y in {pixel_of(unit, shape) for _, unit, _ in events}:
            rate_hz = counts[window, (x, y)] / (window_us / 1e6)
            stays = (window, (x, y)) in hot and rate_hz > release_rate_hz
            starts = (window, (x, y)) not in hot and rate_hz > max_rate_hz and stands_out(window, x, y)
            if stays or starts:
                hot.add((window + 1, (x, y)))

    def passes(event: Event) -> bool:
        pixel = pixel_of(event[1], shape)
        return pixel not in masked and (event[0] // window_us, pixel) not in hot

    return in_order([event for event in events if passes(event)])


def crop_pool(events: list[Event], shape: Shape, region: tuple[int, int, int, int], to: Shape) -> list[Event]:
    x0, y0, w, h = region
    moved = []
    for t_us, unit, value in events:
        channel, y, x = place(unit, shape)
        if x0 <= x < x0 + w and y0 <= y < y0 + h:
            moved.append((t_us, channel * to[1] * to[2] + ((y - y0) * to[1] // h) * to[2] + (x - x0) * to[2] // w, value))
    return in_order(moved)


def polarity(events: list[Event], shape: Shape, keep: str) -> list[Event]:
    kept = []
    for t_us, unit, value in events:
        channel, y, x = place(unit, shape)
        if keep in ("both", "merge") or channel == ("off", "on").index(keep):
            kept.append((t_us, unit if keep == "both" else y * shape[2] + x, value))
    return in_order(kept)


def residual(events: list[Event], body: Callable[[list[Event]], list[Event]]) -> list[Event]:
    return in_order(events + body(events))


def place(unit: int, shape: Shape) -> tuple[int, int, int]:
    """channel, y, x"""
    return unit // (shape[1] * shape[2]), unit // shape[2] % shape[1], unit % shape[2]


def pixel_of(unit: int, shape: Shape) -> tuple[int, int]:
    _, y, x = place(unit, shape)
    return x, y


def planes(shape: tuple[int, ...]) -> Shape:
    """A row of n units is a sensor of one channel and one row."""
    channels, height, width = (1, 1, *shape)[-3:]
    return channels, height, width


def in_order(events: list[Event]) -> list[Event]:
    return sorted(events, key=lambda event: event[:2])
