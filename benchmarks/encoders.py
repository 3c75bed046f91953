"""Speed of the encoders, and of the filters that benchmarks.filters does not hold, each alone and on one thread.

Event filters get a made-up DAVIS346 stream of 1 million events/s, encoders of signals 64 channels of noise sampled at 8 kHz,
rate coders a picture of 28 x 28 pixels that is held, all in packets of 10 ms and timed by processor time. `M_s`: million events
or values taken in a second; `M_draws_s`: of rate coders, million units and ticks a second. `us_a_packet`: the wall-clock median
for packets of 1 ms. `equal`: the first events came out as the slow plain truth of tests/naive_encoders.py has them.

python -m benchmarks.encoders [--json FILE]
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # read when the libraries below are imported

import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks.filters import DVS, SHAPE, scene
from benchmarks.report import Row, arguments, publish
from operators.arbiter_lines import ArbiterLinesConfig
from operators.bernoulli import BernoulliConfig
from operators.flicker import FlickerConfig
from operators.latency import LatencyConfig
from operators.poisson import PoissonConfig
from operators.rate_limit import RateLimitConfig
from operators.send_on_delta import SendOnDeltaConfig
from operators.time_surface import TimeSurfaceConfig
from operators.voxel import VoxelConfig
from pipeline.contract import OperatorConfig
from pipeline.packet import Format, Packet
from tests import naive_encoders as naive
from tests.naive_filters import Event
from tests.packets import recut

ROUNDS = 5
CHECKED_US = 1500
SOUND = Format("graded", (64,), rate_hz=8000.0)
PICTURE = Format("graded", (28, 28))

Truth = Callable[[list[Event], naive.Span], list[Event]]

OF_EVENTS: list[tuple[OperatorConfig, Truth]] = [
    (FlickerConfig(), lambda e, _: naive.flicker(e, SHAPE, 7692, 11111, 3)),
    (ArbiterLinesConfig(), lambda e, _: naive.arbiter_lines(e, SHAPE, 50, 0.6, "rows")),
    (RateLimitConfig(max_rate_hz=500_000, burst=100), lambda e, _: naive.rate_limit(e, 500_000, 100)),
    (TimeSurfaceConfig(every_ms=10), lambda e, span: naive.time_surface(e, span, 10_000, 20_000, 0.01)),
    (VoxelConfig(window_ms=10, bins=2), lambda e, _: naive.voxel(e, DVS.size, 10_000, 2)),
]
OF_SIGNALS: list[tuple[OperatorConfig, Truth]] = [
    (SendOnDeltaConfig(delta=0.5), lambda e, _: naive.send_on_delta(e, SOUND.size, 0.5)),
    (LatencyConfig(window_ms=5), lambda e, _: naive.latency_linear(e, 5000)),
]
OF_PICTURES: list[tuple[OperatorConfig, Truth]] = [
    (PoissonConfig(tick_ms=0.1), lambda e, span: naive.poisson(e, span, 100, 100.0)),
    (BernoulliConfig(tick_ms=0.1, scale=0.1), lambda e, span: naive.bernoulli(e, span, 100, 0.1)),
]


def sound(seconds: float = 2.0) -> Packet:
    samples = round(seconds * 8000)
    t_us = (np.arange(samples) * 125).repeat(SOUND.size)
    unit = np.tile(np.arange(SOUND.size, dtype=np.uint32), samples)
    value = np.random.default_rng(0).standard_normal(unit.shape, np.float32)
    return Packet(0, round(seconds * 1e6), t_us, unit, value)


def picture(seconds: float = 2.0) -> Packet:
    n = PICTURE.size
    value = np.random.default_rng(0).random(n).astype(np.float32)
    return Packet(0, round(seconds * 1e6), np.zeros(n, np.int64), np.arange(n, dtype=np.uint32), value)


def measure(config: OperatorConfig, truth: Truth, format: Format, whole: Packet) -> Row:
    make = config.prepare(format)
    packets = recut(whole, [*range(10_000, whole.end_us, 10_000)])
    times_s = []
    for _ in range(ROUNDS + 1):  # the first warms up
        operator = make(None)
        begin_s = time.process_time()
        for packet in packets:
            operator.process(packet)
        times_s.append(time.process_time() - begin_s)
    row: Row = {"operator": config.type, "packets": len(packets), "M_s": whole.n / statistics.median(times_s[1:]) / 1e6}
    if format is PICTURE:
        del row["M_s"]
        row["M_draws_s"] = format.size * whole.end_us / 100 / statistics.median(times_s[1:]) / 1e6
    operator, times_ns = make(None), []
    for packet in recut(whole, [*range(1000, whole.end_us, 1000)])[:1000]:
        begin_ns = time.perf_counter_ns()
        operator.process(packet)
        times_ns.append(time.perf_counter_ns() - begin_ns)
    return row | {"us_a_packet": statistics.median(times_ns) / 1000, "equal": is_true(config, truth, format, whole)}


def is_true(config: OperatorConfig, truth: Truth, format: Format, whole: Packet) -> bool:
    first = recut(whole, [CHECKED_US])[0]
    operator = config.prepare(format)(None)
    outputs = [operator.process(packet) for packet in recut(first, [*range(0, CHECKED_US, 100)])] + [operator.finish()]
    out = [event for output in outputs for event in events_of(output)]
    wanted = truth(events_of(first), (first.begin_us, first.end_us))
    same_places = [event[:2] for event in out] == [event[:2] for event in wanted]
    return same_places and np.allclose([event[2] for event in out], [event[2] for event in wanted], rtol=1e-6, atol=0)


def events_of(packet: Packet) -> list[Event]:
    value = np.zeros(packet.n) if packet.value is None else packet.value
    return list(zip(packet.t_us.tolist(), packet.unit.tolist(), value.tolist(), strict=True))


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    inputs = [(OF_EVENTS, DVS, scene(1_000_000, 1e6)), (OF_SIGNALS, SOUND, sound()), (OF_PICTURES, PICTURE, picture())]
    rows = [measure(config, truth, format, whole) for table, format, whole in inputs for config, truth in table]
    publish("encoders and filters: one thread", rows, options.json)
    if not all(row["equal"] for row in rows):
        raise SystemExit("an operator's output differs from the plain truth")


if __name__ == "__main__":
    main()
