"""Speed of the event filters, each alone and on one thread, on a made-up DAVIS346 stream (346 x 260): edges, noise, hot pixels.

Events reach a filter in packets of 10 ms and it is timed by processor time; `us_a_packet` is the wall-clock median for packets
of 1 ms. `over_plain` is the ratio to the yardstick of the same run: the classical background activity filter as a bare Numba
loop, which neither orders its output nor lets all events of one microsecond support each other. Where dv-processing is
installed (in an environment of its own), its filter in C++ is measured on the same events. `equal`: the first events came out
as the slow plain truth of tests/naive_filters.py has them.

python -m benchmarks.filters [--events 2000000] [--json FILE]
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # read when the libraries below are imported

import importlib.util
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit

from benchmarks.report import Row, arguments, publish
from operators.addressing import NEVER
from operators.background_activity import BackgroundActivityConfig
from operators.crop_pool import CropPoolConfig
from operators.hot_pixels import HotPixelsConfig
from operators.polarity import PolarityConfig
from operators.refractory import RefractoryConfig
from operators.residual import ResidualConfig
from pipeline.contract import OperatorConfig
from pipeline.packet import Format, Packet
from tests import naive_filters as naive

WIDTH, HEIGHT = 346, 260
SHAPE = (2, HEIGHT, WIDTH)
DVS = Format("spikes", SHAPE)
WINDOW_US = 5000
CHECKED_EVENTS = 60_000
ROUNDS = 9

Truth = Callable[[list[naive.Event]], list[naive.Event]]

FILTERS: list[tuple[OperatorConfig, Truth]] = [
    (BackgroundActivityConfig(window_ms=WINDOW_US / 1000), lambda e: naive.background_activity(e, SHAPE, WINDOW_US)),
    (BackgroundActivityConfig(window_ms=WINDOW_US / 1000, min_neighbours=2),
     lambda e: naive.background_activity(e, SHAPE, WINDOW_US, 2)),
    (RefractoryConfig(period_ms=1), lambda e: naive.refractory(e, 1000)),
    (HotPixelsConfig(window_ms=20), lambda e: naive.hot_pixels(e, SHAPE, 20_000, 200, 100, 3)),
    (CropPoolConfig(crop="center", to=(2, 34, 34)), lambda e: naive.crop_pool(e, SHAPE, (54, 11, 238, 238), (2, 34, 34))),
    (PolarityConfig(keep="on"), lambda e: naive.polarity(e, SHAPE, "on")),
    (PolarityConfig(keep="merge"), lambda e: naive.polarity(e, SHAPE, "merge")),
    (ResidualConfig(body=(RefractoryConfig(period_ms=1),)), lambda e: naive.residual(e, lambda b: naive.refractory(b, 1000))),
]  # fmt: skip


def scene(events: int, rate_hz: float, seed: int = 1) -> Packet:
    """Two edges that sweep over the sensor (70 %), noise (28 %) and 20 hot pixels (2 %), in no order within a microsecond."""
    rng = np.random.default_rng(seed)
    length_us = round(events / rate_hz * 1e6)
    t_us = np.sort(rng.integers(0, length_us, events))
    unit = rng.integers(0, DVS.size, events)
    kind = rng.random(events)
    column = (t_us * WIDTH // 300_000 + rng.integers(0, 3, events) + rng.integers(0, 2, events) * WIDTH // 2) % WIDTH
    edges = rng.integers(0, 2 * HEIGHT, events) * WIDTH + column
    unit = np.where(kind < 0.70, edges, np.where(kind < 0.98, unit, rng.integers(0, DVS.size, 20)[unit % 20]))
    return Packet(0, length_us, t_us, unit.astype(np.uint32))


def packets_of(whole: Packet, packet_us: int) -> list[Packet]:
    edges = [*range(0, whole.end_us, packet_us), whole.end_us]
    at = np.searchsorted(whole.t_us, edges)
    spans = zip(pairwise(edges), pairwise(at), strict=True)
    return [Packet(begin, end, whole.t_us[a:b], whole.unit[a:b]) for (begin, end), (a, b) in spans]


def passed(config: OperatorConfig, packets: list[Packet]) -> int:
    """Runs an episode through a new operator; how many events came out."""
    operator = config.prepare(DVS)(None)
    return sum(operator.process(packet).n for packet in packets) + operator.finish().n


def packet_us(config: OperatorConfig, whole: Packet) -> float:
    """Median microseconds that `process` takes for a packet of 1 ms."""
    operator = config.prepare(DVS)(None)
    times_ns = []
    for packet in packets_of(whole, 1000)[:3000]:
        begin_ns = time.perf_counter_ns()
        operator.process(packet)
        times_ns.append(time.perf_counter_ns() - begin_ns)
    return statistics.median(times_ns) / 1000


def is_true(config: OperatorConfig, truth: Truth, whole: Packet) -> bool:
    """Whether the first events come out as the plain truth has them."""
    n = min(CHECKED_EVENTS, whole.n)
    first = Packet(0, int(whole.t_us[n - 1]) + 1, whole.t_us[:n], whole.unit[:n])
    operator = config.prepare(DVS)(None)
    outputs = [operator.process(packet) for packet in packets_of(first, 1000)] + [operator.finish()]
    out = [event for output in outputs for event in zip(output.t_us.tolist(), output.unit.tolist(), strict=True)]
    events = [(t_us, unit, 0.0) for t_us, unit in zip(first.t_us.tolist(), first.unit.tolist(), strict=True)]
    return out == [(t_us, unit) for t_us, unit, _ in truth(events)]


@njit
def plain_background_activity(t_us, unit, width, height, window_us, last_us, out_t_us, out_unit):  # type: ignore[no-untyped-def]
    kept = 0
    for i in range(t_us.shape[0]):
        pixel = unit[i] % (width * height)
        y, x = pixel // width, pixel % width
        last_us[y + 1, x + 1] = t_us[i]
        square = last_us[y : y + 3, x : x + 3]
        oldest = t_us[i] - window_us
        supported = False
        for v in range(3):
            for u in range(3):
                supported |= (v != 1 or u != 1) and square[v, u] >= oldest
        if supported:
            out_t_us[kept], out_unit[kept] = t_us[i], unit[i]
            kept += 1
    return kept


def plain(whole: Packet) -> Callable[[], int]:
    last_us = np.full((HEIGHT + 2, WIDTH + 2), NEVER)
    out = np.empty(whole.n, np.int64), np.empty(whole.n, np.uint32)
    unit = whole.unit.astype(np.int64)

    def work() -> int:
        last_us.fill(NEVER)
        return int(plain_background_activity(whole.t_us, unit, WIDTH, HEIGHT, WINDOW_US, last_us, *out))

    return work


def dv_processing(packets: list[Packet]) -> Callable[[], int]:
    """Its own event stores go in and come out, as its users have them; they are filled beforehand."""
    import dv_processing as dv  # type: ignore[import-not-found]

    stores = []
    for packet in packets:
        stores.append(dv.EventStore())
        y, x = np.divmod(packet.unit % (WIDTH * HEIGHT), WIDTH)
        on = packet.unit >= WIDTH * HEIGHT
        for event in zip(packet.t_us.tolist(), x.tolist(), y.tolist(), on.tolist(), strict=True):
            stores[-1].push_back(*event)

    def passed_store(noise_filter: Any, store: Any) -> int:
        noise_filter.accept(store)
        return int(noise_filter.generateEvents().size())

    def work() -> int:
        noise_filter = dv.noise.BackgroundActivityNoiseFilter((WIDTH, HEIGHT), timedelta(microseconds=WINDOW_US))
        return sum(passed_store(noise_filter, store) for store in stores)

    return work


def measure(events: int, rate_hz: float) -> list[Row]:
    """A row for each filter. They take turns, so that whatever else the machine does hits all alike."""
    whole = scene(events, rate_hz)
    packets = packets_of(whole, 10_000)
    works: list[Callable[[], int]] = [partial(passed, config, packets) for config, _ in FILTERS]
    checks: list[Row] = [
        {"filter": config.type, "options": described(config),
         "us_a_packet": packet_us(config, whole), "equal": is_true(config, truth, whole)}
        for config, truth in FILTERS
    ]  # fmt: skip
    works.append(plain(whole))
    checks.append({"filter": "plain"})
    if importlib.util.find_spec("dv_processing") is not None:
        works.append(dv_processing(packets))
        checks.append({"filter": f"dv-processing {version('dv-processing')}", "options": "background activity"})
    times_s = seconds_of(works)
    return [
        {"rate_Mev_s": rate_hz / 1e6, "filter": check.pop("filter"), "options": check.pop("options", ""),
         "Mev_s": whole.n / time_s / 1e6, "over_plain": times_s[len(FILTERS)] / time_s, "kept": work() / whole.n, **check}
        for check, work, time_s in zip(checks, works, times_s, strict=True)
    ]  # fmt: skip


def described(config: OperatorConfig) -> str:
    if isinstance(config, ResidualConfig):
        return ", ".join(part.type for part in config.body)
    return " ".join(f"{key}={value}" for key, value in config.model_dump(exclude_defaults=True).items())


def seconds_of(works: list[Callable[[], int]]) -> list[float]:
    """The median seconds of each, after a round to warm up: of processor time, so that sharing the machine does not count."""
    rounds = []
    for _ in range(ROUNDS + 1):
        times = []
        for work in works:
            begin_s = time.process_time()
            work()
            times.append(time.process_time() - begin_s)
        rounds.append(times)
    return [statistics.median(times) for times in zip(*rounds[1:], strict=True)]


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--events", type=int, default=2_000_000, help="events of each stream (default 2 million)")
    options = parser.parse_args()
    rows = [row for rate_hz in (0.25e6, 1e6) for row in measure(options.events, rate_hz)]
    publish("filters: million events/s on one thread", rows, options.json)
    if not all(row.get("equal", True) for row in rows):
        raise SystemExit("a filter's output differs from the plain truth")


if __name__ == "__main__":
    main()
