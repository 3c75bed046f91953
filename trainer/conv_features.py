"""Features of random convolutions: whole episodes go in; the spikes that each neuron of the last layer gives in them come out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from pipeline.chain import Chain
from pipeline.contract import OperatorConfig
from pipeline.layer_spec import ConvLIFSpec
from pipeline.packet import Format, Packet
from trainer.data import Batch, Sample, collate, encode, nodes
from trainer.layers.conv import ConvLIF
from trainer.network import within
from trainer.recipe_random import RandomConvLayer

SAMPLES = 64  # whose statistics scale the weights
AT_ONCE, BATCH = 512, 32  # episodes that are put in order of length together, and run together


class ConvFeatures:
    """The counts of a chain of operators and random convolutions, by the trainer's own modules: (episodes, n) uint8.

    What `Features` is for dense random layers. A count above 255 stays 255.
    """

    def __init__(self, operators: Sequence[OperatorConfig], format: Format, tick_us: int) -> None:
        chain, self.format = nodes(operators, format)
        if self.format.kind == "decisions":
            raise ValueError("operators must leave events to learn from, they give decisions")
        self._chain, self._tick_us = Chain(chain), tick_us
        self._layers: dict[str, ConvLIF] = {}
        self._spikes: dict[str, float] = {}
        self._ticks, self.seconds = 0, 0.0

    def add_layer(self, name: str, layer: RandomConvLayer, spec: ConvLIFSpec, packets: Sequence[Packet]) -> ConvLIFSpec:
        """Put a layer behind those that are there, scaled on some of `packets`; what it is then."""
        chosen = [packets[i] for i in np.linspace(0, len(packets) - 1, min(SAMPLES, len(packets))).astype(int)]
        batch = self._through([self._encoded(packet) for packet in chosen])
        spec = layer.scaled(spec, batch)
        self._layers[name], self._spikes[name] = ConvLIF(spec).eval(), 0.0
        return spec

    @property
    def n(self) -> int:
        return list(self._layers.values())[-1].like.n_out

    def rates(self) -> dict[str, float]:
        """Spikes a neuron and tick of each layer, over all that was asked for."""
        return {name: round(self._spikes[name] / max(1, self._ticks * layer.like.n_out), 4)
                for name, layer in self._layers.items()}

    def all(self, packets: Sequence[Packet], presentation: int | None = None) -> np.ndarray:
        """The counts of all these episodes."""
        return np.concatenate([np.empty((0, self.n), np.uint8), *self.chunks(packets, presentation)])

    def chunks(self, packets: Sequence[Packet], presentation: int | None = None) -> Iterator[np.ndarray]:
        """The counts of these episodes, some at a time, in order; every presentation is the same."""
        return (counts[0] for counts in self.parts(packets, (1.0,)))

    def parts(self, packets: Sequence[Packet], shares: Sequence[float]) -> Iterator[np.ndarray]:
        """The counts in the first shares[k] of the ticks of these episodes, (shares, some episodes, n), in order."""
        for first in range(0, len(packets), AT_ONCE):
            began = time.monotonic()
            samples = [self._encoded(packet) for packet in packets[first : first + AT_ONCE]]
            order = np.argsort([sample.ticks for sample in samples], kind="stable")  # a batch costs what its longest costs
            counts = np.empty((len(shares), len(samples), self.n), np.uint8)
            for at in range(0, len(samples), BATCH):
                rows = order[at : at + BATCH]
                batch = self._through([samples[row] for row in rows.tolist()])
                self._ticks += int(batch.ticks.sum())
                for part, share in zip(counts, shares, strict=True):
                    heard = within(torch.ceil(batch.ticks * share), batch.x.shape[0])
                    part[rows] = (batch.x * heard).sum(0).clamp(max=255).to(torch.uint8).numpy()
            self.seconds += time.monotonic() - began
            yield counts

    def _encoded(self, packet: Packet) -> Sample:
        return encode(packet, self._chain, self._tick_us, self.format.size)

    @torch.no_grad()
    def _through(self, samples: Sequence[Sample]) -> Batch:
        """The samples behind the layers that are there, nothing behind the end of each."""
        x, ticks, labels = collate(samples, self.format.size)
        inside = within(ticks, x.shape[0])
        for name, layer in self._layers.items():
            x = layer(x) * inside
            self._spikes[name] += float(x.sum())
        return Batch(x, ticks, labels)
