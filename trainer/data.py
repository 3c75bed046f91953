"""Samples for training: the episodes of a source, through the runtime's own operators, binned to counts a tick."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.chain import Chain
from pipeline.contract import OperatorConfig, SourceConfig
from pipeline.packet import Format, Packet

Augment = Callable[[Packet, np.random.Generator], Packet]


class Batch(NamedTuple):
    """B samples, padded to the longest. x (T, B, n) counts, zero after a sample's end; ticks (B,), labels (B,)."""

    x: Tensor
    ticks: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False)
class Sample:
    """One encoded episode, sparse: its number of ticks, and where every event belongs."""

    ticks: int
    cell: np.ndarray  # (m,) int32, tick * n + unit
    value: np.ndarray | None  # (m,) float32, or None: every event counts 1
    label: int


def episodes(config: SourceConfig) -> tuple[list[Packet], Format]:
    """Every episode of a source as one packet (cutting changes nothing), and the source's format."""
    source = config.prepare()(None)
    whole: list[Packet] = []
    parts: list[Packet] = []
    try:
        for packet in source.packets():
            if packet is None:  # of a live source, in silence
                continue
            parts.append(packet)
            if packet.last:
                whole.append(joined(parts))
                parts = []
        return whole, source.format
    finally:
        source.close()


def labelled(config: Any, where: str) -> tuple[list[Packet], Format]:
    """The episodes of a source that have a label."""
    found, format = episodes(config)
    found = [episode for episode in found if episode.label >= 0]
    if len({episode.label for episode in found}) < 2 or not format.names:
        raise ValueError(f"{where}: wanted labelled episodes of at least two classes, got {len(found)} of source {config.type}")
    return found, format


def joined(parts: Sequence[Packet]) -> Packet:
    """The packets of one episode as one, in one copy."""
    if len(parts) == 1:
        return parts[0]
    first, final = parts[0], parts[-1]
    value = None if final.value is None else np.concatenate([p.value for p in parts if p.value is not None])
    t_us, unit = (np.concatenate([getattr(p, name) for p in parts]) for name in ("t_us", "unit"))
    lost = sum(p.lost for p in parts)
    return Packet(first.begin_us, final.end_us, t_us, unit, value, final.episode, final.last, final.label, lost, final.barrier)


def nodes(operators: Sequence[OperatorConfig], format: Format) -> tuple[list[tuple[OperatorConfig, Format]], Format]:
    """The operators with what each receives, and what the last gives out."""
    chain = []
    for config in operators:
        chain.append((config, format))
        format = config.check(format)
    return chain, format


def encode(episode: Packet, chain: Chain, tick_us: int, n: int) -> Sample:
    """One episode through the operators to `n` units, binned by law: see `cells`."""
    out = chain.push(episode)
    cell, ticks = cells(out, tick_us, n)
    return Sample(ticks, cell.astype(np.int32), out.value, episode.label)  # int32: half the memory of thousands of recordings


def cells(packet: Packet, tick_us: int, n: int) -> tuple[np.ndarray, int]:
    """Where the events of a whole episode belong, tick * n + unit, and its number of ticks.

    Tick k holds [k tick, (k+1) tick), anchored at stream time 0; the first is the one in which the episode begins,
    the last the one that its end closes.
    """
    first = packet.begin_us // tick_us
    return (packet.t_us // tick_us - first) * n + packet.unit, -(-packet.end_us // tick_us) - first


def collate(samples: Sequence[Sample], n: int) -> Batch:
    """Samples of `n` units as one padded batch; events of one unit in one tick add."""
    ticks = np.array([s.ticks for s in samples])
    length, width = max(1, int(ticks.max())), len(samples)
    x = np.zeros((length, width, n), np.float32)
    for place, sample in enumerate(samples):
        x[: sample.ticks, place] = np.bincount(sample.cell, sample.value, sample.ticks * n).reshape(sample.ticks, n)
    return Batch(torch.from_numpy(x), torch.from_numpy(ticks), torch.tensor([s.label for s in samples]))


class Batches:
    """Episodes through operators, in batches: iterating gives them in order as they are, `at` gives an epoch of training.

    Order and augmentation of an epoch follow from (seed, epoch, sample) alone: a resumed run sees what an undisturbed one does.
    What is not augmented is encoded once. `alike`: so many batches are drawn together, and shared out by length.
    """

    def __init__(self, episodes: Sequence[Packet], operators: Sequence[OperatorConfig], format: Format, tick_us: int, size: int,
                 *, seed: int = 0, augment: Augment | None = None, alike: int = 1) -> None:
        chain, self.format = nodes(operators, format)
        self._chain, self._episodes, self._tick_us, self._size = Chain(chain), episodes, tick_us, size
        self._seed, self._augment, self._alike = seed, augment, alike
        self._kept: dict[int, Any] = {}

    def __len__(self) -> int:
        return -(-len(self._episodes) // self._size)

    def __iter__(self) -> Iterator[Any]:
        return self._batches(np.arange(len(self._episodes)), self._plain)

    def at(self, epoch: int) -> Iterator[Any]:
        rng = np.random.default_rng([self._seed, epoch])
        order = rng.permutation(len(self._episodes))
        if self._alike > 1:
            order = self._by_length(order, rng)
        return self._batches(order, partial(self._augmented, epoch=epoch) if self._augment else self._plain)

    def _by_length(self, order: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The same samples, those of `alike` batches at a time in order of length, and their batches in random order: a batch is
        padded to its longest, so it costs what that costs."""
        length_us = np.array([episode.end_us - episode.begin_us for episode in self._episodes])
        step = self._alike * self._size
        groups = [order[first : first + step] for first in range(0, order.size, step)]
        order = np.concatenate([group[np.argsort(length_us[group], kind="stable")] for group in groups])
        whole = order.size // self._size * self._size
        return np.concatenate([rng.permutation(order[:whole].reshape(-1, self._size)).ravel(), order[whole:]])

    def _batches(self, order: np.ndarray, sample: Callable[[int], Any]) -> Iterator[Any]:
        for first in range(0, order.size, self._size):
            yield self._collated([sample(index) for index in order[first : first + self._size].tolist()])

    def _collated(self, samples: list[Any]) -> Any:
        return collate(samples, self.format.size)

    def _plain(self, index: int) -> Any:
        if index not in self._kept:
            self._kept[index] = self._encoded(self._episodes[index])
        return self._kept[index]

    def _augmented(self, index: int, epoch: int) -> Any:
        assert self._augment is not None
        return self._encoded(self._augment(self._episodes[index], np.random.default_rng([self._seed, epoch, index])))

    def _encoded(self, episode: Packet) -> Any:
        return encode(episode, self._chain, self._tick_us, self.format.size)


def split(episodes: Sequence[Packet], share: float, seed: int) -> tuple[list[Packet], list[Packet]]:
    """Training and validation episodes: `share` of every class, drawn by `seed`, is kept out of training."""
    rng = np.random.default_rng([seed, 0x5EED])
    held: set[int] = set()
    labels = np.array([e.label for e in episodes])
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        held.update(own[: round(share * own.size)].tolist())
    return [e for i, e in enumerate(episodes) if i not in held], [e for i, e in enumerate(episodes) if i in held]
