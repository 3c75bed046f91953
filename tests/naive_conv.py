"""The slow plain truth of conv_lif and of what goes with it: each takes a whole episode and follows its equations one by one.

Membranes are np.float32 scalars, so every sum and product rounds as the equations say; see tests/naive.py.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from pipeline.layer_spec import ConvLIFSpec, LIFSpec, PoolSpec
from pipeline.packet import Packet
from tests import naive
from tests.naive import by_tick, f32

Site = tuple[int, int, int]  # channel, row, column


def sites(spec: ConvLIFSpec, unit: int) -> list[tuple[Site, np.float32]]:
    """Where a spike of `unit` goes and with which weight."""
    _, height, width = spec.shape_conv
    per_group, into = spec.c_out // spec.groups, spec.weight.shape[1]
    i, y, x = np.unravel_index(unit, spec.shape_in)
    found = []
    for o in range(i // into * per_group, (i // into + 1) * per_group):
        for (ky, kx), w in np.ndenumerate(spec.weight[o, i % into]):
            oy, rest_y = divmod(y + spec.padding[0] - ky * spec.dilation[0], spec.stride[0])
            ox, rest_x = divmod(x + spec.padding[1] - kx * spec.dilation[1], spec.stride[1])
            if not rest_y and not rest_x and 0 <= oy < height and 0 <= ox < width:
                found.append(((o, int(oy), int(ox)), w))
    return found


def windows(spec: ConvLIFSpec, site: Site) -> list[Site]:
    """The neurons in whose windows a sum lies; without a maximum in between the one at the same place."""
    (o, y, x), (_, height, width) = site, spec.shape_out
    (high, wide), (down, right) = spec.pool_size, spec.pool_stride or spec.pool_size
    return [(o, oy, ox) for oy in range(height) for ox in range(width)
            if 0 <= y - oy * down < high and 0 <= x - ox * right < wide]


def conv_lif(spec: ConvLIFSpec, episode: Packet,
             scale: np.ndarray | None = None) -> tuple[list[tuple[int, int]], dict[Site, np.float32]]:
    """The spikes (t_us, unit) and v at the end. All neurons of a pixel and group move together: at a tick in which an event
    reaches one of them, or after which silence could bring one to its threshold, over all ticks since they last did.
    scale: that of quantised_conv_lif, whose codes are the weights of `spec`, and whose sums are Python integers."""
    tick_us, per_group = spec.tick_us or 1, spec.c_out // spec.groups
    inputs, first = by_tick(episode, tick_us), episode.begin_us // tick_us
    one = [LIFSpec([[0]], spec.tau_ms[o], spec.threshold[o], spec.tick_us, spec.reset,
                   None if spec.bias is None else spec.bias[o : o + 1]) for o in range(spec.c_out)]
    ceiling = [naive.silence_ceiling(neuron, 0) for neuron in one]
    v = {site: f32(0) for site in np.ndindex(spec.shape_out)}
    moved = dict.fromkeys(v, first - 1)
    restless = {site for site in v if ceiling[site[0]] <= 0}
    spikes: list[tuple[int, int]] = []
    last, stop = first - 1, -(-episode.end_us // tick_us)
    while (tick := last + 1 if restless else min((k for k in inputs if k > last), default=stop)) < stop:
        last, sums, reached = tick, defaultdict(lambda: f32(0)), set(restless)
        for _, unit, value in inputs.get(tick, ()):
            for site, w in sites(spec, unit):
                sums[site] = sums[site] + w * value if spec.pooled else sums[site]
                reached.update(windows(spec, site))
        run = {(o, y, x) for (k, y, x) in reached for o in range(spec.c_out) if o // per_group == k // per_group}
        for o, y, x in run:
            v[o, y, x] = naive.silent_ticks(one[o], 0, v[o, y, x], tick - moved[o, y, x])
            moved[o, y, x] = tick
        if spec.pooled:
            (high, wide), (down, right) = spec.pool_size, spec.pool_stride or spec.pool_size
            for o, y, x in run:
                window = [(o, y * down + dy, x * right + dx) for dy in range(high) for dx in range(wide)]
                v[o, y, x] = v[o, y, x] + max(sums.get(site, f32(0)) for site in window)
        elif scale is not None:
            codes = [found for _, unit, _ in inputs.get(tick, ()) for found in sites(spec, unit)]
            for o, y, x in run:
                v[o, y, x] = v[o, y, x] + scale[o] * f32(sum(int(code) for to, code in codes if to == (o, y, x)))
        else:
            for _, unit, value in inputs.get(tick, ()):
                for site, w in sites(spec, unit):
                    v[site] = v[site] + w * value
        fired = {site for site in run if v[site] >= spec.threshold[site[0]]}
        spikes += sorted((tick * tick_us, int(np.ravel_multi_index(site, spec.shape_out))) for site in fired)
        for site in fired:
            v[site] = v[site] - spec.threshold[site[0]] if spec.reset == "subtract" else f32(0)
        restless = {(o, y, x) for o, y, x in run if v[o, y, x] >= ceiling[o]}
    return spikes, v


def pool(spec: PoolSpec, episode: Packet) -> list[naive.Event]:
    """The events of every window, in order; of `max` one at a time and unit."""
    assert spec.stride is not None
    share = f32(1.0 / (spec.size[0] * spec.size[1])) if spec.how == "average" else f32(1)
    found = []
    for t_us, unit, value in naive.events(episode):
        channel, y, x = np.unravel_index(unit, spec.shape_in)
        for o, oy, ox in np.ndindex(spec.shape_out):
            inside = 0 <= y - oy * spec.stride[0] < spec.size[0] and 0 <= x - ox * spec.stride[1] < spec.size[1]
            if o == channel and inside:
                found.append((t_us, int(np.ravel_multi_index((o, oy, ox), spec.shape_out)), value * share))
    return sorted(set(found) if spec.how == "max" else found, key=lambda event: event[:2])
