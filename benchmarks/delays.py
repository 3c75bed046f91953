"""Speed of the layers of docs/delays.md on one thread, 140 inputs to 256 neurons (motion: 12 classes) on ticks of 10 ms.

The input is random, 14 spikes a tick for 1000 ticks, in packets of 50 ms through the operators as a pipeline calls them. Each
row: microseconds a tick and nanoseconds a synaptic operation; `over_lif`: how many times longer than the plain `lif` of the same
weights and input in the same run; `state_kB`; `silence_ms`: 10 s without events after the input; `equal`: whether the first
ticks came out as the slow plain truth in tests/ has them. An operation is one of the layer's synaptic operations an event.

`queue` is the other way to run synaptic delays, as a bare kernel: the spikes of the last ticks are kept instead of what they
will add, and at each tick those synapses are looked up whose delay is over. Its memory follows the activity. Its spikes must
equal those of `synaptic_delay`.

python -m benchmarks.delays [--rate 0.1] [--json FILE]
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # read when the libraries below are imported

import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from benchmarks.report import Row, arguments, publish
from pipeline.layer_spec import (
    DelayMotionSpec,
    EILIFSpec,
    LayerSpec,
    LIFSpec,
    LinearAttentionSpec,
    MPSLIFSpec,
    RecurrentLIFSpec,
    SynapticDelaySpec,
    TwoCompartmentSpec,
    spec_type,
)
from pipeline.packet import Format, Packet
from tests import naive, naive_compartments, naive_delays, naive_motion

TICK_US, TICKS, PACKET_TICKS = 10_000, 1000, 5
N_IN, N_OUT, MAX_DELAY = 140, 256, 24
CHECKED_TICKS, SILENCE_US, ROUNDS = 10, 10_000_000, 5
INPUT = Format("spikes", (2, 7, 10))

Truth = Callable[[Any, Packet], tuple[list[Any], Any]]


def layers(gain: float) -> list[tuple[str, LayerSpec, Truth]]:
    """Name, spec and plain truth; weights are scaled so that the layers fire at some per cent of the ticks."""
    rng = np.random.default_rng(1)
    weight, tau_ms, one = rng.normal(0, gain, (N_IN, N_OUT)), np.array(15.0), np.array(1.0)
    delay_us = rng.integers(0, MAX_DELAY + 1, (N_IN, N_OUT)) * TICK_US
    back = rng.normal(0, gain / 4, (N_OUT, N_OUT))
    return [
        ("lif", LIFSpec(weight, tau_ms, one, TICK_US), naive.lif),
        ("synaptic_delay", SynapticDelaySpec(weight, delay_us, tau_ms, one, TICK_US), naive_delays.synaptic_delay),
        ("synaptic_delay, dendritic", SynapticDelaySpec(weight, delay_us[:1], tau_ms, one, TICK_US), naive_delays.synaptic_delay),
        ("recurrent_lif", RecurrentLIFSpec(weight, back, delay_us[0, :], tau_ms, one, TICK_US), naive_delays.recurrent_lif),
        ("mps_lif", MPSLIFSpec(weight, tau_ms, one, 0.5, TICK_US), naive_delays.mps_lif),
        ("two_compartment", TwoCompartmentSpec(4 * weight, 45.0, 8.0, one, TICK_US), naive_compartments.two_compartment),
        ("ei_lif", EILIFSpec(abs(weight), abs(weight[:, :64]), np.full((64, N_OUT), 1 / 64), one, np.array(0.5), tau_ms, one,
                             TICK_US), naive_compartments.ei_lif),
        ("linear_attention", LinearAttentionSpec(rng.normal(0, gain, (N_IN, 128 + N_OUT)), 64, np.full(4, 500.0), tau_ms, one,
                                                 tau_ms, one, TICK_US), naive_motion.linear_attention),
        ("delay_motion", DelayMotionSpec(rng.normal(0, gain, (12, 2, 5, 5, 5)), np.full(12, -2.0), 0.6, (7, 10), TICK_US),
         lambda spec, episode: (naive_motion.delay_motion(spec, episode), None)),
    ]


def recording(rate: float, ticks: int) -> Packet:
    """Every input fires with probability `rate` at every tick."""
    tick, unit = np.nonzero(np.random.default_rng(2).random((ticks, N_IN)) < rate)
    return Packet(0, ticks * TICK_US, tick * TICK_US, unit.astype(np.uint32))


def packets_of(whole: Packet) -> list[Packet]:
    edges = np.arange(0, whole.end_us + 1, PACKET_TICKS * TICK_US).tolist()
    at = np.searchsorted(whole.t_us, edges)
    return [Packet(edges[k], edges[k + 1], whole.t_us[at[k] : at[k + 1]], whole.unit[at[k] : at[k + 1]])
            for k in range(len(edges) - 1)]


def spikes_of(make: Callable[..., Any], packets: list[Packet]) -> list[tuple[int, int]]:
    operator = make(None)
    outputs = [operator.process(packet) for packet in packets] + [operator.finish()]
    return [event for out in outputs for event in zip(out.t_us.tolist(), out.unit.tolist(), strict=True)]


def row_of(name: str, make: Callable[..., Any], packets: list[Packet], truth: Truth, spec: LayerSpec) -> Row:
    """All but the times."""
    operator = make(None)
    spikes = sum(operator.process(packet).n for packet in packets)
    state_bytes = sum(array.nbytes for array in operator.snapshot().values())
    end_us, times_s = packets[-1].end_us, []
    for k in range(ROUNDS):
        begin_s = time.perf_counter()
        operator.process(Packet(end_us + k * SILENCE_US, end_us + (k + 1) * SILENCE_US))
        times_s.append(time.perf_counter() - begin_s)
    first = [packet for packet in packets if packet.end_us <= CHECKED_TICKS * TICK_US]
    whole = Packet(0, first[-1].end_us, *(np.concatenate([getattr(p, key) for p in first]) for key in ("t_us", "unit")))
    wanted = [event[:2] for event in truth(spec, whole)[0]]
    return {"layer": name, "spikes_a_neuron_and_tick": spikes / TICKS / spec.n_out, "state_kB": state_bytes / 1000,
            "silence_ms": statistics.median(times_s) * 1000, "equal": spikes_of(make, first) == wanted,
            "operations": operator.report()["synaptic_operations"]}


# --- the queue ---


@njit(cache=True)
def run_queue(v, current, ticks, keep, threshold, first, units, starts, targets, weights, span, out_tick, out_unit):  # type: ignore[no-untyped-def]
    """Every tick: v <- keep v + sum over the spikes of the last `span` ticks of the synapses whose delay is over, fire, reset.

    Spikes of tick k are units[first[k]:first[k + 1]]; the synapses of unit i with delay d are starts[i span + d] and on.
    """
    written = 0
    for tick in range(ticks):
        current[:] = 0
        for k in range(max(0, tick - span + 1), min(tick + 1, first.shape[0] - 1)):
            for s in range(first[k], first[k + 1]):
                row = units[s] * span + tick - k
                for e in range(starts[row], starts[row + 1]):
                    current[targets[e]] += weights[e]
        for j in range(v.shape[0]):
            v[j] = v[j] * keep + current[j]
            if v[j] >= threshold:
                out_tick[written], out_unit[written] = tick, j
                written += 1
                v[j] -= threshold
    return written


def queue(spec: SynapticDelaySpec, whole: Packet) -> tuple[Callable[[], list[tuple[int, int]]], float]:
    """The work, and the bytes that the fullest queue needs."""
    span, ticks = MAX_DELAY + 1, TICKS + MAX_DELAY
    delay = spec.delay_us // TICK_US
    order = np.lexsort((np.tile(np.arange(N_OUT), N_IN), delay.ravel(), np.repeat(np.arange(N_IN), N_OUT)))
    cell = (np.repeat(np.arange(N_IN), N_OUT) * span + delay.ravel())[order]
    starts = np.searchsorted(cell, np.arange(N_IN * span + 1))
    targets, weights = (order % N_OUT).astype(np.int64), spec.weight.ravel()[order]
    first = np.searchsorted(whole.t_us, np.arange(TICKS + 1) * TICK_US)
    units = whole.unit.astype(np.int64)
    out = np.empty(ticks * N_OUT, np.int64), np.empty(ticks * N_OUT, np.int64)

    def work() -> list[tuple[int, int]]:
        n = run_queue(np.zeros(N_OUT, np.float32), np.zeros(N_OUT, np.float32), ticks, spec.decay()[0], np.float32(1), first,
                      units, starts, targets, weights, span, *out)
        return list(zip((out[0][:n] * TICK_US).tolist(), out[1][:n].tolist(), strict=True))

    fullest = max(first[min(k + span, TICKS)] - first[k] for k in range(TICKS))
    return work, 8.0 * fullest + 4 * N_OUT * 2


def measure(rate: float) -> list[Row]:
    """A row for each layer. They take turns, so that whatever else the machine does hits all alike."""
    whole = recording(rate, TICKS)
    packets = packets_of(whole)
    works, rows = list[Callable[[], object]](), list[Row]()
    for name, spec, truth in layers(0.3):
        make = importlib.import_module(f"operators.{spec_type(spec)}").make(spec, INPUT)
        rows.append(row_of(name, make, packets, truth, spec))
        works.append(lambda make=make: [make_run(make, packets)])  # type: ignore[misc]
        if name == "synaptic_delay":
            delayed, wanted = spec, spikes_of(make, packets)
    work, queue_bytes = queue(delayed, whole)  # type: ignore[arg-type]
    rows.append({"layer": "queue", "state_kB": queue_bytes / 1000, "equal": work() == wanted, "operations": whole.n * N_OUT})
    works.append(work)
    times_s = seconds_of(works)
    for row, time_s in zip(rows, times_s, strict=True):
        row |= {"rate": rate, "us_a_tick": time_s / TICKS * 1e6, "ns_an_operation": time_s / row.pop("operations") * 1e9,
                "over_lif": time_s / times_s[0]}
    return rows


def make_run(make: Callable[..., Any], packets: list[Packet]) -> None:
    operator = make(None)
    for packet in packets:
        operator.process(packet)
    operator.finish()


def seconds_of(works: list[Callable[[], object]]) -> list[float]:
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
    parser.add_argument("--rate", type=float, help="spikes an input and tick (default: 0.01, 0.1 and 0.3)")
    options = parser.parse_args()
    rows = [row for rate in ([options.rate] if options.rate else [0.01, 0.1, 0.3]) for row in measure(rate)]
    publish("delays: 140 inputs, 25 ticks of delay at most, one thread", rows, options.json)
    if not all(row["equal"] for row in rows):
        raise SystemExit("a layer's output differs from the plain truth")


if __name__ == "__main__":
    main()
