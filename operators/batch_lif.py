"""Many whole episodes at once through encoders and layers: for training, where what comes out must be what a pipeline gives.

The kernels do what those of `bernoulli` and `lif` do, bit for bit, without a packet, an operator and a clock for each episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.lif import ceiling
from pipeline.layer_spec import LIFSpec
from pipeline.packet import NO_VALUES, Packet

SHORT = 8  # spans of a sparse row that are shorter on average cost more than the zeros between them


@dataclass(frozen=True, eq=False)
class Episodes:
    """The events of many episodes on a tick, one episode behind the other, sorted by tick.

    first (episodes + 1,) int64: where each begins. tick (m,) int32, from the episode's first tick; unit (m,) uint32;
    value (m,) float32, or (0,) for spikes. ticks (episodes,) int64: how many each has.
    """

    first: np.ndarray
    tick: np.ndarray
    unit: np.ndarray
    value: np.ndarray
    ticks: np.ndarray

    def __len__(self) -> int:
        return self.ticks.shape[0]

    def counts(self, n: int, bins: int = 1, bin_ticks: int = 1) -> np.ndarray:
        """(episodes, bins * n) uint8: the spikes of each unit in each bin of bin_ticks ticks; the last bin never ends."""
        from operators.kernels.batch_lif import count_units

        if len(self) and self.ticks.max() > 255:
            raise ValueError(f"an episode may have 255 ticks at most, got {self.ticks.max()}; "
                             "use longer ticks or shorter episodes")
        counts = np.zeros((len(self), bins * n), np.uint8)
        unit = self.unit
        if bins > 1:
            unit = unit + (np.minimum(self.tick // bin_ticks, bins - 1) * n).astype(np.uint32)
        count_units(self.first, unit, counts)
        return counts


def as_episodes(packets: Sequence[Packet], tick_us: int) -> Episodes:
    """Whole episodes, one packet each, on ticks counted from stream time 0."""
    first = np.cumsum([0, *(packet.n for packet in packets)], dtype=np.int64)
    begins = np.array([packet.begin_us // tick_us for packet in packets], np.int64)
    ends = np.array([-(-packet.end_us // tick_us) for packet in packets], np.int64)
    empty = [np.empty(0, np.int64)]
    t_us = np.concatenate([packet.t_us for packet in packets] or empty)
    unit = np.concatenate([packet.unit for packet in packets] or empty).astype(np.uint32)
    graded = [packet.value for packet in packets if packet.value is not None]
    tick = t_us // tick_us - np.repeat(begins, np.diff(first))
    return Episodes(first, tick.astype(np.int32), unit, np.concatenate(graded) if graded else NO_VALUES, ends - begins)


def shown(pictures: Episodes, seeds: np.ndarray, scale: float = 1.0) -> Episodes:
    """Pictures, episodes whose events all come at time 0, as `bernoulli` of the same tick and scale gives them.

    seeds (episodes,) int64: of the random numbers of each. In a pipeline all episodes have the operator's.
    """
    from operators.kernels.batch_lif import picture_spikes

    n = len(pictures)
    room = int((np.diff(pictures.first) * pictures.ticks).sum())
    first, tick, unit = np.empty(n + 1, np.int64), np.empty(room, np.int32), np.empty(room, np.uint32)
    used = picture_spikes(pictures.first, pictures.unit, pictures.value, seeds.astype(np.int64), pictures.ticks, scale,
                          first, tick, unit)
    return Episodes(first, tick[:used].copy(), unit[:used].copy(), NO_VALUES, pictures.ticks)


class BatchLIF:
    """The layer of a LIFSpec with one tau, on whole episodes: what `lif` gives on each of them, bit for bit.

    Where most weights are zero, as with random fields, only the others are added.
    """

    def __init__(self, spec: LIFSpec) -> None:
        if spec.tick_us is None or (spec.tau_ms != spec.tau_ms[0]).any():
            raise ValueError("a layer that takes whole episodes must be on a tick and have one tau for all neurons")
        self.n_out = spec.n_out
        name = _order(spec.weight)
        self._sorted = bool((np.diff(name) > 0).all())
        spans = _spans(spec.weight[:, name])
        weight = np.empty((0, 0), np.float32)
        if spans is None:
            name, self._sorted, weight, spans = np.arange(self.n_out), True, spec.weight, _NO_SPANS
        bias = NO_VALUES if spec.bias is None else spec.bias[name]
        threshold, limit = spec.threshold[name], ceiling(spec)[name]
        d = float(spec.decay()[0])
        reset, number = int(spec.reset == "to_zero"), name.astype(np.uint32)
        self._fixed: tuple[Any, ...] = (weight, *spans, threshold, limit, bias, d, reset, number)

    def __call__(self, episodes: Episodes, ordered: bool = True) -> Episodes:
        """The spikes, those of a tick by unit; unless `ordered`, in any order, which is faster and as good for counting."""
        from operators.kernels.batch_lif import layer_spikes

        n = len(episodes)
        room = int(episodes.ticks.sum()) * self.n_out
        first, tick, unit = np.empty(n + 1, np.int64), np.empty(room, np.int32), np.empty(room, np.uint32)
        given = episodes.first, episodes.tick, episodes.unit, episodes.value, episodes.ticks, np.empty(self.n_out, np.float32)
        columns: tuple[Any, ...] = (*given, *self._fixed, first, tick, unit)
        used = layer_spikes(*columns)
        tick, unit = tick[:used].copy(), unit[:used].copy()
        if ordered and not self._sorted:
            episode = np.repeat(np.arange(n), np.diff(first))
            unit = unit[np.lexsort((unit, tick, episode))]
        return Episodes(first, tick, unit, NO_VALUES, episodes.ticks)


_NO_SPANS = (NO_VALUES, np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))


def _order(weight: np.ndarray) -> np.ndarray:
    """The neurons by the first and the last input that they listen to: those that hear the same stand together."""
    heard = weight != 0
    first, last = heard.argmax(0), weight.shape[0] - heard[::-1].argmax(0)
    return np.lexsort((np.arange(weight.shape[1]), first, last - first))


def _spans(weight: np.ndarray) -> tuple[np.ndarray, ...] | None:
    """The runs of weights in a row that are not zero, as add_spans takes them; None where the matrix is better taken whole."""
    heard = np.pad(weight != 0, ((0, 0), (1, 1))).astype(np.int8)
    edges = np.diff(heard, axis=1)
    row, begin = np.nonzero(edges > 0)
    _, end = np.nonzero(edges < 0)
    lengths = end - begin
    if not lengths.size or lengths.mean() < SHORT or lengths.sum() > weight.size / 2:
        return None
    first = np.searchsorted(row, np.arange(weight.shape[0] + 1)).astype(np.int64)
    place = np.cumsum(np.r_[0, lengths[:-1]]).astype(np.int64)
    return weight[heard[:, 1:-1] > 0], first, begin.astype(np.int32), end.astype(np.int32), place
