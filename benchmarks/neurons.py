"""What the kinds of neurons cost beside lif: one thread, 512 inputs, 512 neurons, ticks of 1 ms, packets of 10 ms.

`us_a_tick` is a tick with 10 events and the neurons firing at `hz`, `us_an_event` what each event adds to a tick of a layer whose
thresholds are out of reach (between 10 and 40 a tick), both as medians of processor time; `over_lif` their ratios to lif's.
`silence_us` is the time that 10 s without events take, after activity, as one packet, and `run_on` the ticks of it that had to be
run because the bound on silence did not hold yet. `equal`: a small layer of the kind gives, bit for bit, the spikes of the plain
truth in tests/.

python -m benchmarks.neurons [--json FILE]
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # read when the libraries below are imported

import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.report import Row, arguments, publish
from operators import adaptive_lif, cuba_lif, lif, resonate, srm
from operators.tick_layer import LAST
from pipeline.layer_spec import AdaptiveLIFSpec, CubaLIFSpec, LIFSpec, ResonateSpec, SRMSpec
from pipeline.layer_spec.adaptive_lif import Form
from pipeline.packet import Format, Packet
from tests import naive
from tests import naive_neurons as truth

TICK_US = 1000
UNITS = 512
TICKS = 1000
ROUNDS = 7

Spikes = list[tuple[int, int]]


@dataclass(frozen=True)
class Kind:
    name: str
    spec: Callable[[np.random.Generator, int, int], Any]  # of so many inputs and neurons
    module: Any  # of its operator
    spikes: Callable[[Any, Packet], Spikes]  # the plain truth


def weights(rng: np.random.Generator, n_in: int, n_out: int, gain: float) -> np.ndarray:
    """So that a tick's input of n_in / 51 events has the standard deviation `gain`, and a mean of a quarter of that."""
    return rng.normal(gain / 4, gain, (n_in, n_out)) / np.sqrt(max(1, n_in / 51))


def taus(rng: np.random.Generator, n_out: int, least: float, most: float) -> np.ndarray:
    return rng.uniform(least, most, n_out)


def adaptive(form: Form) -> Callable[[np.random.Generator, int, int], Any]:
    def spec(rng: np.random.Generator, n_in: int, n_out: int) -> AdaptiveLIFSpec:
        own = taus(rng, n_out, 5, 25), taus(rng, n_out, 30, 120), rng.uniform(0, 1, n_out), rng.uniform(0, 2, n_out)
        return AdaptiveLIFSpec(weights(rng, n_in, n_out, 3), *own, 1.0, TICK_US, form, 20.0 if form == "se_adlif" else 1.0)

    return spec


def plain(neuron: Callable[[Any, int], truth.Neuron], law: Callable[[Any], Any]) -> Callable[[Any, Packet], Spikes]:
    def spikes(spec: Any, episode: Packet) -> Spikes:
        neurons = [neuron(spec, j) for j in range(spec.n_out)]
        return truth.run(spec, neurons, truth.restless_by(law(spec).bound), episode)[0]

    return spikes


KINDS = [
    Kind("lif", lambda rng, n, m: LIFSpec(weights(rng, n, m, 0.12), 20.0, 1.0, TICK_US), lif, lambda s, e: naive.lif(s, e)[0]),
    Kind("lif, a tau each", lambda rng, n, m: LIFSpec(weights(rng, n, m, 0.12), taus(rng, m, 5, 25), 1.0, TICK_US),
         lif, lambda s, e: naive.lif(s, e)[0]),
    Kind("cuba_lif",
         lambda rng, n, m: CubaLIFSpec(weights(rng, n, m, 0.03), taus(rng, m, 10, 25), taus(rng, m, 2, 10), 1.0, TICK_US),
         cuba_lif, plain(truth.cuba_lif, cuba_lif.tick_law)),
    Kind("srm", lambda rng, n, m: SRMSpec(weights(rng, n, m, 0.15), taus(rng, m, 2, 10), taus(rng, m, 2, 10), 1.0, TICK_US),
         srm, plain(truth.srm, srm.SRMLaw)),
    Kind("adaptive_lif, adlif", adaptive("adlif"), adaptive_lif, plain(truth.adaptive_lif, adaptive_lif.tick_law)),
    Kind("adaptive_lif, se_adlif", adaptive("se_adlif"), adaptive_lif, plain(truth.adaptive_lif, adaptive_lif.tick_law)),
    Kind("resonate",
         lambda rng, n, m: ResonateSpec(weights(rng, n, m, 0.2), taus(rng, m, 10, 40), rng.uniform(0, 50, m), 1.0, TICK_US),
         resonate, plain(truth.resonate, resonate.tick_law)),
]  # fmt: skip


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    rows = measure()
    publish("neurons: cost of a tick, of an event and of silence, one thread", rows, options.json)
    if not all(row["equal"] for row in rows):
        raise SystemExit("a kernel's spikes differ from the plain truth")


def measure() -> list[Row]:
    made = [(kind, kind.spec(np.random.default_rng(1), UNITS, UNITS)) for kind in KINDS]
    ten, forty = (stream(events, UNITS, TICKS) for events in (10, 40))
    times: dict[str, list[list[float]]] = {kind.name: [[], [], []] for kind, _ in made}
    for _ in range(ROUNDS):  # in turns, so that whatever else the machine does hits all alike
        for kind, spec in made:
            mute = dataclasses.replace(spec, threshold=spec.threshold * 1e6)
            for which, (layer, packets) in enumerate(((spec, ten), (mute, ten), (mute, forty))):
                times[kind.name][which].append(seconds(kind, layer, packets) / TICKS * 1e6)
    rows = []
    for kind, spec in made:
        tick_us, ten_us, forty_us = (statistics.median(values) for values in times[kind.name])
        hz = play(kind, spec, ten)[0] / UNITS / (TICKS * TICK_US / 1e6)
        rows.append({"kind": kind.name, "us_a_tick": tick_us, "us_an_event": (forty_us - ten_us) / 30,
                     **silence(kind, spec, ten), "hz": hz, "equal": is_true(kind)})  # fmt: skip
    for row in rows:
        row["over_lif"] = f"{row['us_a_tick'] / rows[0]['us_a_tick']:.2f}, {row['us_an_event'] / rows[0]['us_an_event']:.2f}"
    return rows


def stream(events: int, units: int, ticks: int, seed: int = 2) -> list[Packet]:
    """So many events in every tick, in packets of 10 ms."""
    rng = np.random.default_rng(seed)
    packets = []
    for begin in range(0, ticks, 10):
        t_us = np.repeat(np.arange(begin, begin + 10) * TICK_US, events)
        unit = rng.integers(0, units, t_us.size).astype(np.uint32)
        packets.append(Packet(begin * TICK_US, (begin + 10) * TICK_US, t_us, unit))
    return packets


def play(kind: Kind, spec: Any, packets: list[Packet]) -> tuple[int, Any]:
    """How many spikes, and the operator after them."""
    operator = kind.module.make(spec, Format("spikes", (spec.n_in,)))(None)
    return sum(operator.process(packet).n for packet in packets), operator


def seconds(kind: Kind, spec: Any, packets: list[Packet]) -> float:
    operator = kind.module.make(spec, Format("spikes", (spec.n_in,)))(None)
    begin_s = time.process_time()
    for packet in packets:
        operator.process(packet)
    return time.process_time() - begin_s


def silence(kind: Kind, spec: Any, packets: list[Packet]) -> Row:
    """The cost of 10 s of nothing and of the first event after them, which ends the gap."""
    times_us, run_on = [], 0
    end_us = packets[-1].end_us
    late = Packet(end_us + 10_000_000, end_us + 10_002_000, np.array([end_us + 10_000_000]), np.zeros(1, np.uint32))
    for _ in range(ROUNDS):
        operator = play(kind, spec, packets[-60:])[1]
        begin_s = time.perf_counter()
        operator.process(Packet(end_us, end_us + 10_000_000))
        middle = operator.snapshot()["ticks"][LAST]
        operator.process(late)
        times_us.append((time.perf_counter() - begin_s) * 1e6)
        run_on = int(middle - (end_us // TICK_US - 1))
    return {"silence_us": statistics.median(times_us), "run_on": run_on}


def is_true(kind: Kind) -> bool:
    """Whether a layer of 60 inputs and 16 neurons gives the plain truth's spikes, over gaps too."""
    spec = kind.spec(np.random.default_rng(3), 60, 16)
    rng = np.random.default_rng(4)
    t_us = np.sort(rng.choice(rng.integers(0, 1_500_000, 150), 1500))
    episode = Packet(0, 2_000_000, t_us, rng.integers(0, 60, 1500).astype(np.uint32))
    operator = kind.module.make(spec, Format("spikes", (60,)))(None)
    outputs = [operator.process(episode), operator.finish()]
    found = [spike for out in outputs for spike in zip(out.t_us.tolist(), out.unit.tolist(), strict=True)]
    return bool(found) and found == kind.spikes(spec, episode)


if __name__ == "__main__":
    main()
