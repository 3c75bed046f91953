"""What training makes small: class scores and labels go in, one number comes out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from trainer.network import Outcome
from trainer.recipe import Training

Loss = Callable[[Tensor, Tensor, Tensor, Training], Tensor]
SILENT = 1e-3  # a rate, in spikes a tick
CUMULATIVE = ("spike_count", "softmax_sum")  # scores that grow with time


def cross_entropy(scores: Tensor, labels: Tensor, ticks: Tensor, options: Training) -> Tensor:
    """CE of softmax(score / score_scale); on membrane, max_membrane or sums of softmax as the readout has them."""
    return F.cross_entropy(scores / options.score_scale, labels, label_smoothing=options.label_smoothing)


def spikemax(scores: Tensor, labels: Tensor, ticks: Tensor, options: Training) -> Tensor:
    """-log((r_y + e) / (sum_c r_c + e)), r the spike rates of the output neurons, which the scores count, e = 1e-3.

    e, which the source has in the denominator alone and smaller, is what a neuron that is silent where it should fire learns
    from. Source: Shrestha, Zhu, Sun 2022, "Spikemax: spike-based loss methods for classification", eq. 5.
    """
    rates = scores / ticks[:, None]
    right = rates.gather(1, labels[:, None])[:, 0]
    return (torch.log(rates.sum(1) + SILENT) - torch.log(right + SILENT)).mean()


def num_spikes(scores: Tensor, labels: Tensor, ticks: Tensor, options: Training) -> Tensor:
    """Mean over samples of 1/2 sum_c ((count_c - target_c) / ticks)^2, the target being a share of the sample's ticks.

    Source: Shrestha and Orchard 2018, "SLAYER", section 4 (target spike counts of the true and of the false classes).
    """
    true, false = options.target_shares
    target = torch.full_like(scores, false).scatter(1, labels[:, None], true)
    return (0.5 * (scores / ticks[:, None] - target) ** 2).sum(1).mean()


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "num_spikes": num_spikes, "spikemax": spikemax}


def out_of_bounds(rate: Tensor, least: float, most: float) -> Tensor:
    """The mean over neurons of the square of how far a rate is out of its bounds, as a share of the bound; least 0: no such."""
    beyond = torch.relu(rate / most - 1) ** 2
    return beyond.mean() if not least else (beyond + torch.relu(1 - rate / least) ** 2).mean()


def guidance(outcome: Outcome, score: str, every: int, temperature: float) -> Tensor:
    """Temporally adjacent subnetwork guidance: the mean over steps t of KL(p(t + 1) || p(t)), p = softmax(o / temperature).

    A step is `every` ticks, o what its class scores are, or, where scores grow with time, what the step adds to them. The
    later step teaches: no gradient runs through it. 0 where no sample lasts two steps.

    Source: Ding, Zuo, Jing, He, Deng 2025, "Rethinking spiking neural networks from an ensemble learning perspective",
    section 4.3.
    """
    o, inside = steps(outcome, score, every)
    if o.shape[0] < 2:
        return outcome.scores.sum() * 0
    divergences = divergence(o[:-1], o[1:].detach(), temperature) / temperature**2
    return (divergences * inside[1:]).sum() / inside[1:].sum().clamp(min=1)


def distillation(outcome: Outcome, taught: Tensor, score: str, every: int, temperature: float) -> Tensor:
    """The mean over steps t of KL(p_teacher || p(t)) temperature^2, p = softmax(o / temperature); steps and o as in `guidance`.

    taught (B, classes): the scores of the teacher. The factor keeps the size of gradients.

    Source: Hinton, Vinyals, Dean 2015, "Distilling the knowledge in a neural network", section 2; at every step: Meng, Xiao, Ma,
    Zhou, Tian, Lin 2025 (arXiv 2508.12609).
    """
    o, inside = steps(outcome, score, every)
    return (divergence(o, taught.expand_as(o), temperature) * inside).sum() / inside.sum().clamp(min=1)


def steps(outcome: Outcome, score: str, every: int) -> tuple[Tensor, Tensor]:
    """(steps, B, classes): what each step of `every` ticks says, and (steps, B) of 0 and 1: whether the sample lasts so long."""
    times = torch.arange(every, outcome.scores.shape[0] + 1, every)
    o = outcome.scores[times - 1]
    if score in CUMULATIVE and times.numel() > 1:
        o = torch.cat([o[:1], o[1:] - o[:-1]])
    return o, (times[:, None] <= outcome.ends[None, :]).to(o.dtype)


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL(softmax(teacher / temperature) || softmax(student / temperature)) temperature^2 over the last axis."""
    own, wanted = (torch.log_softmax(scores / temperature, dim=-1) for scores in (student, teacher))
    return F.kl_div(own, wanted, reduction="none", log_target=True).sum(-1) * temperature**2
