"""Spatial learning through time: a gradient step a tick, so that memory does not grow with the length of the samples.

What a tick owes to earlier ones is a constant in the backward pass: v[t] = d stop(v[t-1]) + I[t]. Then the loss of a tick can be
differentiated as soon as it is known and its graph be dropped; the gradients of all ticks add up.

Source: Meng, Xiao, Yan, Wang, Lin, Luo 2023, "Towards memory- and time-efficient backpropagation for training spiking neural
networks", sections 4.2 (SLTT) and 4.3 (SLTT-K: only K random ticks are differentiated).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from trainer.data import Batch
from trainer.layers import LIF, Readout
from trainer.layers.parts import Decay
from trainer.layers.spike import spike
from trainer.network import Network
from trainer.recipe import Training


class ByTick:
    """A network of lif layers and a spike_count or membrane readout, run tick by tick. ValueError for any other."""

    def __init__(self, network: Network) -> None:
        hidden: list[LIF] = []
        for name, layer in list(network.layers.items())[:-1]:
            if not isinstance(layer, LIF):
                raise ValueError(f"gradient: sltt trains lif layers, {name!r} is a {type(layer).__name__}; use gradient: full")
            hidden.append(layer)
        readout = network.readout
        if not isinstance(readout, Readout) or readout.score not in ("spike_count", "membrane"):
            raise ValueError("gradient: sltt needs a readout whose score is spike_count or membrane; use gradient: full")
        self._network, self._hidden, self._readout = network, hidden, readout

    def backward(self, batch: Batch, options: Training, ticks: Tensor | None = None) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Add the gradient of the batch to the parameters'. Returns the loss, the final scores and each layer's mean rate.

        loss = sum over `ticks` (all, or those of SLTT-K, scaled to all) of the mean over samples of CE(o[t]) / (ticks of the
        sample), o being what a tick adds to a spike count, or the membrane then.
        """
        length, width = batch.x.shape[:2]
        chosen = set(range(length)) if ticks is None else set(ticks.tolist())
        scale = length / max(1, len(chosen))
        states = [torch.zeros(width, layer.weight.shape[1]) for layer in self._hidden]
        masks = [self._mask(state) for state in states]
        membrane, total = torch.zeros(()), torch.zeros(())
        scores, counts = torch.zeros(width, len(self._readout.names)), [torch.zeros(()) for _ in states]
        for t in range(length):
            with torch.set_grad_enabled(t in chosen):
                x = batch.x[t]
                for place, layer in enumerate(self._hidden):
                    x, states[place] = self._lif(layer, x, states[place])
                    counts[place] = counts[place] + x.detach().sum()
                    x = x * masks[place]
                out = self._out(x, membrane)
                inside = (t < batch.ticks).float()
                loss = (F.cross_entropy(out / options.score_scale, batch.labels, reduction="none",
                                        label_smoothing=options.label_smoothing) * inside / batch.ticks).mean() * scale
                if t in chosen:
                    loss.backward()
                    total = total + loss.detach()
            membrane = out.detach()
            scores = scores + membrane * inside[:, None] if self._readout.score == "spike_count" else torch.where(
                inside[:, None] > 0, membrane, scores)
        cells = batch.ticks.sum()
        rates = {name: count / (cells * state.shape[1])
                 for name, count, state in zip(list(self._network.layers), counts, states, strict=False)}
        return total, scores, rates

    def _mask(self, state: Tensor) -> Tensor:
        share = self._network.dropout if self._network.training else 0.0
        return (torch.rand_like(state) >= share) / (1 - share) if share else torch.ones(())

    @staticmethod
    def _lif(layer: LIF, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        threshold = layer.threshold()
        v = layer.decay() * before + layer.current(x)
        fired = spike(v, threshold, layer.surrogate)
        left = v.detach(), threshold.detach(), fired.detach()
        after = left[0] - left[1] * left[2] if layer.reset == "subtract" else left[0] * (1 - left[2])
        return fired, after

    def _out(self, x: Tensor, before: Tensor) -> Tensor:
        readout = self._readout
        current = x if readout.weight is None else x @ readout.weight
        if readout.score == "spike_count":
            return current
        current = current if readout.bias is None else current + readout.bias
        assert readout.tau_ms is not None
        return Decay.apply(readout.tau_ms(), readout.tick_us) * before + current
