"""Truncated backpropagation through time: a backward pass a chunk of ticks, so that memory does not grow with time.

What a chunk owes to earlier ones is a constant in the backward pass: the states at its begin, what is on its way in delays, and
the scores so far. Its graph is dropped when it is differentiated; the gradients of all chunks add up. Chunks that hold no
decision of the loss (every_ms, and the samples' ends) teach nothing.

Source: Williams and Peng 1990, "An efficient gradient-based algorithm for on-line training of recurrent network trajectories".
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from trainer.data import Batch
from trainer.layers import LIF, Delay
from trainer.layers.lif import Scan
from trainer.layers.readout import Left
from trainer.losses import LOSSES, out_of_bounds
from trainer.network import Network, reach, within
from trainer.recipe import Training


@dataclass
class _Held:
    """What goes from chunk to chunk, by layer; no gradient runs through any of it."""

    v: dict[str, Tensor] = field(default_factory=dict)  # of lif layers
    late: dict[str, Tensor] = field(default_factory=dict)  # the last inputs of delay layers, (max_ticks, B, n)
    kept: dict[str, Tensor] = field(default_factory=dict)  # the neurons that dropout leaves
    left: Left | None = None  # of the readout


class InChunks:
    """A network of lif and delay layers and a readout, run in chunks of `ticks`. ValueError for any other."""

    def __init__(self, network: Network, ticks: int) -> None:
        self._hidden = list(network.layers.items())[:-1]
        for name, layer in self._hidden:
            if not isinstance(layer, LIF | Delay):
                raise ValueError(f"gradient: truncated trains lif and delay layers, {name!r} is a {type(layer).__name__}; "
                                 "use gradient: full")
        self._network, self._readout, self._ticks = network, network.readout, ticks

    def backward(self, batch: Batch, options: Training, every: int) -> tuple[Tensor, Tensor]:
        """Add the gradient of the batch to the parameters'. Returns the loss and the final scores.

        every: ticks between decisions. The loss is that of gradient: full; a restraint of rates is that of each chunk, weighted
        by its length.
        """
        lag = sum(reach(layer) for _, layer in self._hidden)
        length, ends, held = batch.x.shape[0] + lag, batch.ticks + lag, _Held()
        x = F.pad(batch.x, (0, 0, 0, 0, 0, lag))
        decisions = int(((ends - 1) // every).sum())
        total, final = torch.zeros(()), torch.zeros(ends.shape[0], len(self._readout.names))
        for begin in range(0, length, self._ticks):
            scores, loss = self._chunk(x[begin : begin + self._ticks], begin, batch, options, held)
            loss = loss + self._decided(scores, begin, every, ends, decisions, batch.labels, options)
            if loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
            total = total + loss.detach()
            done = (ends > begin) & (ends <= begin + scores.shape[0])
            final[done] = scores.detach()[ends[done] - 1 - begin, done.nonzero()[:, 0]]
        return total, final

    def _chunk(self, x: Tensor, begin: int, batch: Batch, options: Training, held: _Held) -> tuple[Tensor, Tensor]:
        """The scores of a chunk's ticks, and what its rates cost."""
        longest, ends, loss = batch.x.shape[0], batch.ticks, torch.zeros(())
        for name, layer in self._hidden:
            if isinstance(layer, Delay):
                x = self._delayed(name, layer, x, held)
                longest, ends = longest + layer.reach(), ends + layer.reach()
                continue
            assert isinstance(layer, LIF)
            x = self._lif(name, layer, x, held)
            x = x * (torch.arange(begin, begin + x.shape[0]) < longest)[:, None, None]  # a layer ends with its input
            cells = within(ends - begin, x.shape[0])
            if cells.any():
                cost = out_of_bounds((x * cells).sum((0, 1)) / cells.sum(), options.rate_least, options.rate_most)
                loss = loss + options.rate_weight * cost * cells.sum() / ends.sum()
            x = self._dropped(name, x, held)
        scores, held.left = self._readout.go_on(x, held.left)
        return scores, loss

    @staticmethod
    def _lif(name: str, layer: LIF, x: Tensor, held: _Held) -> Tensor:
        d, threshold, current = layer.decay(), layer.threshold(), layer.current(x)
        if name in held.v:
            current = torch.cat([current[:1] + d * held.v[name], current[1:]])
        spikes, trace = Scan.apply(current, d, threshold, layer.reset, layer.surrogate)
        v, fired = trace[-1], spikes[-1].detach()
        held.v[name] = v - threshold.detach() * fired if layer.reset == "subtract" else v * (1 - fired)
        return spikes

    @staticmethod
    def _delayed(name: str, layer: Delay, x: Tensor, held: _Held) -> Tensor:
        most = layer.max_ticks
        before = held.late.get(name, x.new_zeros(most, *x.shape[1:]))
        joined = torch.cat([before, x])
        held.late[name] = joined[joined.shape[0] - most :].detach()
        return layer(joined)[most : most + x.shape[0]]  # type: ignore[no-any-return]

    def _dropped(self, name: str, x: Tensor, held: _Held) -> Tensor:
        share = self._network.dropout if self._network.training else 0.0
        if not share:
            return x
        if name not in held.kept:
            held.kept[name] = (torch.rand(1, *x.shape[1:]) >= share) / (1 - share)
        return x * held.kept[name]

    @staticmethod
    def _decided(scores: Tensor, begin: int, every: int, ends: Tensor, decisions: int, labels: Tensor,
                 options: Training) -> Tensor:
        """The loss of the decisions that lie in a chunk: as a share of all samples, and of all early decisions."""
        of, loss = LOSSES[options.loss], torch.zeros(())
        times = torch.arange(begin + 1, begin + scores.shape[0] + 1)
        last = times[:, None] == ends[None, :]
        early = (times[:, None] % every == 0) & (times[:, None] < ends[None, :])
        for chosen, weight in ((last, 1 / ends.shape[0]), (early, options.early_weight / max(1, decisions))):
            if weight and chosen.any():
                row, sample = chosen.nonzero(as_tuple=True)
                loss = loss + weight * row.shape[0] * of(scores[row, sample], labels[sample], times[row], options)
        return loss
