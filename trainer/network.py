"""A network: the layers of a model as torch modules, from binned events to class scores at every tick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.layer_spec import LayerSpec
from trainer.layers import Delay, Pool, Readout, Shortcut, Spiking, build


@dataclass(frozen=True)
class Outcome:
    """What a batch made of a network. scores (T + all delays, B, classes); a sample counts up to its own `ends` tick."""

    scores: Tensor
    ends: Tensor  # (B,) the number of ticks of each sample at the readout: its own and all delays on the way
    spikes: dict[str, Tensor]  # of every spiking layer: (T + delays before it, B, n)
    lengths: dict[str, Tensor]  # of every spiking layer: (B,) the number of ticks of each sample there

    def final(self) -> Tensor:
        """(B, classes): the scores after each sample's last tick."""
        return self.at(self.ends)

    def at(self, ticks: Tensor) -> Tensor:
        """(B, classes): the scores after the first ticks[b] ticks of sample b."""
        return self.scores[ticks - 1, torch.arange(ticks.shape[0])]

    def rates(self) -> dict[str, Tensor]:
        """Of every spiking layer (n,): spikes a tick of each neuron, over the samples' own ticks."""
        return {name: (s * within(self.lengths[name], s.shape[0])).sum((0, 1)) / self.lengths[name].sum()
                for name, s in self.spikes.items()}


class Network(nn.Module):
    """Spiking, delay, pool and readout layers, one behind the other on one tick; the last, and only the last, is a readout.
    Shortcuts lead past layers.

    activation relu: the same weights with rectified units in place of spiking ones, max(0, current), run once on the mean input
    of each sample's ticks. It is a teacher for spiking networks, and no runtime executes it.

    `layers` are specs by name; `options` are keyword arguments for the module of a layer, by name.
    """

    def __init__(self, layers: Mapping[str, LayerSpec], tick_us: int, options: Mapping[str, dict[str, Any]] | None = None,
                 dropout: float = 0.0, activation: str = "spike") -> None:
        super().__init__()
        self.tick_us, self.dropout, self.activation = tick_us, dropout, activation
        options = options or {}
        self.layers = nn.ModuleDict({name: build(spec, tick_us, **options.get(name, {})) for name, spec in layers.items()})
        kinds = [type(layer) for layer in self.layers.values()]
        if not kinds or kinds[-1] is not Readout or Readout in kinds[:-1]:
            raise ValueError("a network ends in one readout: the last layer must be a readout, and no other")
        for name, layer in self.layers.items():
            if activation == "relu" and not hasattr(layer, "current") and not _is_linear(layer):
                raise ValueError(f"activation: relu has no units for layer {name!r}, a {type(layer).__name__}; it stands for "
                                 "spikes in lif, conv_lif and quantised_lif layers, beside sum and average pools and shortcuts")

    def forward(self, x: Tensor, ticks: Tensor) -> Outcome:
        """x (T, B, n_in) counts a tick, zero after a sample's end; ticks (B,) each sample's own number of ticks."""
        if self.activation == "relu":
            x, ticks = (x.sum(0) / ticks[:, None])[None], torch.ones_like(ticks)
        spikes, lengths, ends = {}, {}, ticks
        inputs: list[tuple[Tensor, Tensor]] = []
        for name, layer in self.layers.items():
            inputs.append((x, ends))
            if isinstance(layer, Shortcut):
                past, past_ends = layer.past(inputs)
                x, ends = layer(x, past), torch.maximum(ends, past_ends)
                continue
            if self.activation == "relu" and isinstance(layer, Spiking):
                x = torch.relu(layer.current(x))  # type: ignore[operator]
                continue
            x = layer(x)
            ends = ends + reach(layer)
            if isinstance(layer, Spiking):
                spikes[name], lengths[name] = x, ends
                x = self._drop(x)
        return Outcome(x, ends, spikes, lengths)

    def _drop(self, x: Tensor) -> Tensor:
        """Dropout of whole neurons for a whole sample, so that the spikes left keep their times."""
        if not self.training or not self.dropout:
            return x
        kept = torch.rand(1, *x.shape[1:]) >= self.dropout
        return x * kept / (1 - self.dropout)

    @property
    def readout(self) -> Readout:
        return list(self.layers.values())[-1]  # type: ignore[return-value]

    def delays(self) -> list[Delay]:
        """The layers that learn delays as Delay does: with `delay_ticks`, `sigma` and `clamp`."""
        return [layer for layer in self.layers.values() if hasattr(layer, "delay_ticks")]  # type: ignore[misc]

    def specs(self) -> dict[str, LayerSpec]:
        """The layers as they are now, delays in whole ticks."""
        return {name: layer.spec() for name, layer in self.layers.items()}  # type: ignore[operator]


def _is_linear(layer: nn.Module) -> bool:
    return isinstance(layer, Readout | Shortcut) or (isinstance(layer, Pool) and layer.like.how != "max")


def reach(layer: nn.Module) -> int:
    """By how many ticks the output of a layer is longer than its input."""
    return layer.reach() if isinstance(layer, Delay | Spiking) else 0


def within(ticks: Tensor, length: int) -> Tensor:
    """(length, B, 1) of 0 and 1: which ticks lie before the end of each sample."""
    return (torch.arange(length)[:, None] < ticks[None, :]).float()[:, :, None]
