"""Random features: whole episodes go in; the spikes that each neuron of the last random layer gives in them come out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np

from operators.batch_lif import BatchLIF, Episodes, as_episodes, shown
from operators.bernoulli import BernoulliConfig
from pipeline.chain import Chain
from pipeline.contract import OperatorConfig
from pipeline.layer_spec import RandomLIFSpec, TimeBinsSpec
from pipeline.packet import Format, Packet
from trainer.data import nodes

ROOM = 20_000_000  # spikes that one chunk of episodes could give at most


class Features:
    """The counts of a chain of operators and random layers, by the kernels that run them in a pipeline: (episodes, n) uint8.

    Where the operators are bernoulli alone and the source gives `pictures`, whose events all come at the begin of the episode,
    no packet is made; and a `presentation` may have random numbers of its own. `threads` chunks are worked on at a time.
    """

    def __init__(self, operators: Sequence[OperatorConfig], format: Format, tick_us: int, pictures: bool, *, seed: int = 0,
                 threads: int = 1) -> None:
        self._operators, self.format = nodes(operators, format)
        if self.format.kind == "decisions":
            raise ValueError("operators must leave events to learn from, they give decisions")
        self._tick_us, self._seed, self._threads = tick_us, seed, threads
        only = operators[0] if len(operators) == 1 and pictures else None
        self._bernoulli = only if isinstance(only, BernoulliConfig) and only.tick_us == tick_us else None
        self._layers: dict[str, BatchLIF] = {}
        self.seconds = 0.0  # spent on features so far
        self._spikes: dict[str, int] = {}
        self._ticks = 0
        self._bins = 1, 1  # how many, and the ticks of one

    def add_layer(self, name: str, spec: RandomLIFSpec) -> None:
        """Put a layer behind those that are there."""
        self._layers[name] = BatchLIF(spec.lif())
        self._spikes[name] = 0

    def add_bins(self, spec: TimeBinsSpec) -> None:
        """Count the spikes of the last layer bin by bin. ValueError unless a bin is a whole number of ticks."""
        if spec.bin_us % self._tick_us:
            raise ValueError(f"a bin must be whole ticks of {self._tick_us / 1000:g} ms, got {spec.bin_us / 1000:g} ms")
        self._bins = spec.bins, spec.bin_us // self._tick_us

    @property
    def n(self) -> int:
        """Counts of an episode: the neurons of the last layer, times the bins."""
        return self._units * self._bins[0]

    @property
    def _units(self) -> int:
        return list(self._layers.values())[-1].n_out

    def rates(self) -> dict[str, float]:
        """Spikes a neuron and tick of each layer, over all that was asked for."""
        return {name: round(self._spikes[name] / max(1, self._ticks * layer.n_out), 4) for name, layer in self._layers.items()}

    def all(self, packets: Sequence[Packet], presentation: int | None = None) -> np.ndarray:
        """The counts of all these episodes."""
        return np.concatenate([np.empty((0, self.n), np.uint8), *self.chunks(packets, presentation)])

    def chunks(self, packets: Sequence[Packet], presentation: int | None = None) -> Iterator[np.ndarray]:
        """The counts of these episodes, some at a time, in order.

        presentation: which draw of random numbers bernoulli shows them with; None: the one of its own seed, as in a pipeline.
        """
        seeds = self._seeds(len(packets), presentation)
        longest = max((-(-p.end_us // self._tick_us) - p.begin_us // self._tick_us for p in packets), default=1)
        size = max(1, min(1000, ROOM // (longest * max(layer.n_out for layer in self._layers.values()))))
        parts = ((packets[at : at + size], seeds[at : at + size]) for at in range(0, len(packets), size))
        with ThreadPoolExecutor(self._threads) as pool:
            while batch := list(islice(parts, self._threads)):
                began = time.monotonic()
                made = list(pool.map(self._through, (self._encoded(*part) for part in batch)))
                self.seconds += time.monotonic() - began
                for counts, spikes, ticks in made:
                    self._ticks += ticks
                    for name, count in zip(self._spikes, spikes, strict=True):
                        self._spikes[name] += count
                    yield counts

    def _seeds(self, n: int, presentation: int | None) -> np.ndarray:
        if presentation is None or self._bernoulli is None:
            return np.full(n, self._bernoulli.seed if self._bernoulli else 0, np.int64)
        return np.random.default_rng([self._seed, 0xD1CE, presentation]).integers(0, 2**32, n)

    def _encoded(self, packets: Sequence[Packet], seeds: np.ndarray) -> Episodes:
        """What the first layer gets of these episodes."""
        if self._bernoulli is not None:
            return shown(as_episodes(packets, self._tick_us), seeds, self._bernoulli.scale)
        chain = Chain(self._operators)
        return as_episodes([chain.push(packet) for packet in packets], self._tick_us)

    def _through(self, episodes: Episodes) -> tuple[np.ndarray, list[int], int]:
        """Counts of the last layer, spikes of every layer, ticks."""
        spikes = []
        for number, layer in enumerate(self._layers.values(), 1):
            episodes = layer(episodes, ordered=number < len(self._layers))
            spikes.append(episodes.unit.size)
        return episodes.counts(self._units, *self._bins), spikes, int(episodes.ticks.sum())
