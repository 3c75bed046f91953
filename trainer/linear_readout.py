"""Linear readouts: counts and labels go in, weights of a spike_count readout come out; in closed form, online, or by steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 512  # rows of the sums that are made at once
AT_ONCE = 4096  # samples that are added together
EXACT = 2**24  # whole numbers that float32 holds exactly


@dataclass(frozen=True, eq=False)
class Linear:
    """scores = counts @ weight + bias. weight (n, classes), bias (classes,), float32."""

    weight: Tensor
    bias: Tensor

    def scores(self, counts: np.ndarray) -> Tensor:
        """(m, classes) of counts (m, n)."""
        return torch.from_numpy(counts).float() @ self.weight + self.bias


class LeastSquares:
    """Ridge regression of classes on counts, in one pass over them:

        weight = (C + penalty mean(diag C) I)^-1 X^T (Y - mean Y)      X: counts less their means, C = X^T X, Y: one-hot labels
        bias   = mean Y - mean counts @ weight

    The sums are those of whole numbers and exact, so neither order, nor threads, nor the machine change the last bit of them.
    Source: A. Hoerl and R. Kennard, Ridge regression (1970); as a readout of spikes: RanSNN's features.
    """

    def __init__(self, n: int, classes: int) -> None:
        self._gram = torch.zeros(n, n, dtype=torch.float64)
        self._cross = torch.zeros(n, classes, dtype=torch.float64)
        self._sums, self._labels = torch.zeros(n, dtype=torch.float64), torch.zeros(classes, dtype=torch.float64)
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def samples(self) -> int:
        return round(float(self._labels.sum())) + sum(len(labels) for _, labels in self._waiting)

    def add(self, counts: np.ndarray, labels: np.ndarray) -> None:
        """counts (m, n) of whole numbers below 256, labels (m,)."""
        self._waiting.append((counts, labels))
        if sum(len(labels) for _, labels in self._waiting) >= AT_ONCE:
            self._take_in()

    def _take_in(self) -> None:
        if not self._waiting:
            return
        counts, labels = (np.concatenate(columns) for columns in zip(*self._waiting, strict=True))
        self._waiting = []
        rows = max(1, EXACT // max(1, int(counts.max(initial=0))) ** 2)
        for at in range(0, len(labels), rows):
            some = torch.from_numpy(counts[at : at + rows])
            x, y = some.float(), F.one_hot(torch.from_numpy(labels[at : at + rows]).long(), self._labels.shape[0]).float()
            for first, product in _products(some):  # what lies below the diagonal follows
                self._gram[first : first + BLOCK, first:] += product
            self._cross += (x.T @ y).double()
            self._sums += x.sum(0)
            self._labels += y.sum(0)

    def solve(self, penalty: float) -> Linear:
        """The readout of least squared error and `penalty` (> 0), which is in variances of a feature, the mean over features."""
        self._take_in()
        mean, share = self._sums / self.samples, self._labels / self.samples
        centred = torch.addr(self._gram, self._sums, mean, alpha=-1)
        centred.diagonal().add_(penalty * max(float(centred.diagonal().mean()), 1e-12))
        factor = torch.linalg.cholesky(centred, upper=True)
        weight = torch.cholesky_solve(self._cross - torch.outer(self._sums, share), factor, upper=True)
        return Linear(weight.float(), (share - mean @ weight).float())


def _products(counts: Tensor) -> Iterator[tuple[int, Tensor]]:
    """(first, rows first : first + BLOCK of counts^T counts, from column `first` on), exact; counts (m, n) uint8."""
    n = counts.shape[1]
    if counts.numel() and int(counts.max()) < 128 and bytes_multiply_exactly():
        x = counts.to(torch.int8)
        columns = x.T.contiguous()
        for first in range(0, n, BLOCK):
            yield first, torch._int_mm(columns[first : first + BLOCK], x[:, first:].contiguous())
    else:
        numbers = counts.float()
        for first in range(0, n, BLOCK):
            yield first, numbers[:, first : first + BLOCK].T @ numbers[:, first:]


@cache
def bytes_multiply_exactly() -> bool:
    """Whether this torch and this machine multiply matrices of int8 into int32 without loss, which is four times as fast.

    Where a processor adds two products of bytes in 16 bits, the greatest ones are cut off.
    """
    greatest = torch.full((64, 64), 127, dtype=torch.int8)
    try:
        return bool((torch._int_mm(greatest, greatest) == 64 * 127**2).all())
    except (AttributeError, RuntimeError):
        return False


class Recursive:
    """Recursive least squares: after each batch the readout is the ridge solution of all samples so far.

        K = P X^T (I + X P X^T)^-1,   W <- W + K (Y - X W),   P <- P - K X P      X: a batch's counts and a 1, Y: one-hot labels

    from W = 0 and P = I / strength. Memory n^2, 2 n^2 multiplications a sample.
    Source: R. Plackett, Some theorems in least squares (1950); N.-Y. Liang et al., OS-ELM (2006), for random features.
    """

    def __init__(self, n: int, classes: int, strength: float) -> None:
        self._p = torch.eye(n + 1, dtype=torch.float64) / strength
        self._w = torch.zeros(n + 1, classes, dtype=torch.float64)

    def learn(self, counts: np.ndarray, labels: np.ndarray) -> int:
        """Learn a batch; returns how many of it were classified right before that."""
        x = F.pad(torch.from_numpy(counts).double(), (0, 1), value=1.0)
        wanted = torch.from_numpy(labels).long()
        error = F.one_hot(wanted, self._w.shape[1]).double() - (scores := x @ self._w)
        xp = x @ self._p
        inner = torch.linalg.cholesky(xp @ x.T + torch.eye(x.shape[0], dtype=torch.float64))
        self._w += xp.T @ torch.cholesky_solve(error, inner)
        self._p -= xp.T @ torch.cholesky_solve(xp, inner)
        return int((scores.argmax(1) == wanted).sum())

    def readout(self) -> Linear:
        return Linear(self._w[:-1].float(), self._w[-1].float())


def descend(batches: Iterable[tuple[np.ndarray, np.ndarray]], n: int, classes: int, learning_rate: float, seed: int,
            keep: int = 1) -> list[Linear]:
    """Adam on the cross-entropy of scores = counts @ weight + bias, a step a batch (counts, labels).

    Weights and biases start at U(-1, 1) / sqrt(n). Returns the readouts after the last `keep` steps, the last one last; the one
    that it began with if there are no batches. Source: D. Kingma and J. Ba, Adam (2015).
    """
    generator = torch.Generator().manual_seed(seed)
    weight = ((2 * torch.rand(n, classes, generator=generator) - 1) / n**0.5).requires_grad_()
    bias = ((2 * torch.rand(classes, generator=generator) - 1) / n**0.5).requires_grad_()
    optimizer = torch.optim.Adam([weight, bias], learning_rate)
    last: deque[Linear] = deque(maxlen=keep)
    for counts, labels in batches:
        loss = F.cross_entropy(torch.from_numpy(counts).float() @ weight + bias, torch.from_numpy(labels).long())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        last.append(Linear(weight.detach().clone(), bias.detach().clone()))
    return list(last) or [Linear(weight.detach(), bias.detach())]


def averaged(readouts: Sequence[Linear]) -> Linear:
    """The readout of mean weights: each step of a descent alone still follows its own batch.

    Source: B. Polyak and A. Juditsky, Acceleration of stochastic approximation by averaging (1992).
    """
    return Linear(torch.stack([each.weight for each in readouts]).mean(0), torch.stack([each.bias for each in readouts]).mean(0))
