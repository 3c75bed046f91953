"""Early exit: scores over time and labels go in; the confidence from which on it costs next to nothing to stop comes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from trainer.data import Batch
from trainer.network import Network

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
COST = 0.005  # accuracy that stopping early may cost


@torch.no_grad()
def exit_threshold(network: Network, batches: Iterable[Batch], every: int) -> dict[str, Any]:
    """The least confidence at which a decision, taken every `every` ticks, may be final: at it, and at every higher one, no more
    than COST of the accuracy at the end is lost on `batches`. Empty where none is.

    exit_at: that confidence, as the readout's option has it; exit_accuracy; exit_time_share: of the samples' length.
    Source: Li, Jones, Furber 2023, "Unleashing the potential of spiking neural networks with dynamic confidence": confidence
    calibrated, the threshold chosen on validation.
    """
    samples = [sample for batch in batches for sample in _course(network.eval(), batch, every)]
    best: dict[str, Any] = {}
    at_end = sum(float(right[-1]) for _, right, _ in samples) / len(samples)
    for threshold in sorted(THRESHOLDS, reverse=True):
        found = [stopped(*sample, threshold) for sample in samples]
        accuracy = sum(right for right, _ in found) / len(found)
        if accuracy < at_end - COST:
            break
        share = sum(share for _, share in found) / len(found)
        best = {"exit_at": threshold, "exit_accuracy": round(accuracy, 4), "exit_time_share": round(share, 4)}
    return best


def stopped(confidences: Tensor, right: Tensor, shares: Tensor, threshold: float) -> tuple[float, float]:
    """Whether the first decision of at least `threshold`, or the last of all, is right, and at which share of the time it is."""
    sure = confidences >= threshold
    at = int(sure.float().argmax()) if bool(sure.any()) else -1
    return float(right[at]), float(shares[at])


def _course(network: Network, batch: Batch, every: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Of every sample's decisions, the last at its end: confidence, whether right, share of its time."""
    outcome = network(batch.x, batch.ticks)
    p = torch.softmax(outcome.scores.double() / network.readout.temperature, -1)
    for sample, end in enumerate(outcome.ends.tolist()):
        ticks = torch.tensor([*range(every, end, every), end])
        own = p[ticks - 1, sample]
        yield own.amax(1), own.argmax(1) == batch.labels[sample], ticks / end
