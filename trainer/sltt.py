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
from trainer.layers import LIF, ConvLIF, Pool, QuantisedConvLIF, QuantisedLIF, Readout, Shortcut
from trainer.layers.parts import Decay
from trainer.layers.spike import spike
from trainer.losses import divergence
from trainer.network import Network
from trainer.recipe import Training

NEURONS = (LIF, ConvLIF, QuantisedConvLIF, QuantisedLIF)  # which have current, decay, threshold, reset and surrogate


class ByTick:
    """A network of lif, conv_lif, their quantised kinds, pool and shortcut layers and a spike_count or membrane readout, run tick
    by tick. ValueError for any other."""

    def __init__(self, network: Network) -> None:
        self._hidden = list(network.layers.items())[:-1]
        for name, layer in self._hidden:
            if not isinstance(layer, (*NEURONS, Pool, Shortcut)):
                raise ValueError(f"gradient: sltt trains lif and conv_lif layers and their quantised kinds, {name!r} "
                                 f"is a {type(layer).__name__}; use gradient: full")
        readout = network.readout
        if not isinstance(readout, Readout) or readout.score not in ("spike_count", "membrane"):
            raise ValueError("gradient: sltt needs a readout whose score is spike_count or membrane; use gradient: full")
        self._network, self._readout = network, readout

    def backward(self, batch: Batch, options: Training, ticks: Tensor | None = None,
                 taught: Tensor | None = None) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Add the gradient of the batch to the parameters'. Returns the loss, the final scores and each layer's mean rate.

        loss = sum over `ticks` (all, or those of SLTT-K, scaled to all) of the mean over samples of L(o[t]) / (ticks of the
        sample), o being what a tick adds to a spike count, or the membrane then. L: cross-entropy, or as options.teacher_weight
        says the divergence from `taught` (B, classes), the scores of a teacher. options.guidance_weight adds so much of the
        guidance of each tick by the next (losses.guidance, a step being a tick): then a tick's graph is kept for one tick more.
        """
        length, width = batch.x.shape[:2]
        chosen = set(range(length)) if ticks is None else set(ticks.tolist())
        scale = length / max(1, len(chosen))
        states, counts = dict[str, Tensor](), dict[str, Tensor]()
        masks = dict[str, Tensor]()
        membrane, total = torch.zeros(()), torch.zeros(())
        scores = torch.zeros(width, len(self._readout.names))
        waiting: tuple[Tensor, Tensor] | None = None  # the loss and o of a tick that the next one will guide
        for t in range(length):
            with torch.set_grad_enabled(t in chosen):
                inside = (t < batch.ticks).float()
                out = self._out(self._spikes(batch.x[t], inside, states, counts, masks), membrane)
                loss = (self._loss(out, batch, options, taught) * inside / batch.ticks).mean() * scale
            if waiting is not None:
                total += learn(waiting[0] + scale * self._guidance(waiting[1], out.detach(), inside, batch, options))
                waiting = None
            if t in chosen and options.guidance_weight and t + 1 < length:
                waiting = loss, out
            elif t in chosen:
                total += learn(loss)
            membrane = out.detach()
            scores = scores + membrane * inside[:, None] if self._readout.score == "spike_count" else torch.where(
                inside[:, None] > 0, membrane, scores)
        cells = batch.ticks.sum()
        rates = {name: count / (cells * states[name].shape[1]) for name, count in counts.items()}
        return total, scores, rates

    def _spikes(self, x: Tensor, inside: Tensor, states: dict[str, Tensor], counts: dict[str, Tensor],
                masks: dict[str, Tensor]) -> Tensor:
        """One tick of the hidden layers; v, spike counts and dropout masks are kept by the names of layers.
        inside (B,): 1 where a sample lasts so long, else 0."""
        inputs: list[Tensor] = []
        for name, layer in self._hidden:
            inputs.append(x)
            if isinstance(layer, Shortcut):
                x = x + layer.past(inputs)
            elif isinstance(layer, Pool):
                x = layer(x[None])[0]
            else:
                x, states[name] = self._fire(layer, x, states.get(name))  # type: ignore[arg-type]
                counts[name] = counts.get(name, torch.zeros(())) + (x.detach().sum(1) * inside).sum()
                if name not in masks:
                    masks[name] = self._mask(x)
                x = x * masks[name]
        return x

    def _mask(self, state: Tensor) -> Tensor:
        share = self._network.dropout if self._network.training else 0.0
        return (torch.rand_like(state) >= share) / (1 - share) if share else torch.ones(())

    @staticmethod
    def _fire(layer: LIF | ConvLIF | QuantisedConvLIF | QuantisedLIF, x: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        threshold = layer.threshold()
        current = layer.current(x[None])[0]
        v = current if before is None else layer.decay() * before + current
        fired = spike(v, threshold, layer.surrogate)
        left = v.detach(), threshold.detach(), fired.detach()
        after = left[0] - left[1] * left[2] if layer.reset == "subtract" else left[0] * (1 - left[2])
        return fired, after

    @staticmethod
    def _loss(out: Tensor, batch: Batch, options: Training, taught: Tensor | None) -> Tensor:
        """(B,): the loss of one tick."""
        loss = F.cross_entropy(out / options.score_scale, batch.labels, reduction="none", label_smoothing=options.label_smoothing)
        if taught is None:
            return loss
        return (1 - options.teacher_weight) * loss + options.teacher_weight * divergence(out, taught, options.teacher_temperature)

    @staticmethod
    def _guidance(out: Tensor, later: Tensor, inside: Tensor, batch: Batch, options: Training) -> Tensor:
        """A tick's part of the guidance; later (B, classes): the next tick's o, inside (B,): whether there is one."""
        divergences = divergence(out, later, options.guidance_temperature) / options.guidance_temperature**2
        return options.guidance_weight * (divergences * inside).sum() / (batch.ticks - 1).sum().clamp(min=1)

    def _out(self, x: Tensor, before: Tensor) -> Tensor:
        readout = self._readout
        current = x if readout.weight is None else x @ readout.weight
        if readout.score == "spike_count":
            return current
        current = current if readout.bias is None else current + readout.bias
        assert readout.tau_ms is not None
        return Decay.apply(readout.tau_ms(), readout.tick_us) * before + current


def learn(loss: Tensor) -> Tensor:
    """Add the gradient of a loss to the parameters' and drop its graph; the loss."""
    loss.backward()
    return loss.detach()
