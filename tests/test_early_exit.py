"""The threshold of early exit: chosen on validation, the least that costs next to nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from trainer.data import Batch  # noqa: E402
from trainer.early_exit import exit_threshold, stopped  # noqa: E402
from trainer.network import Outcome  # noqa: E402


def network(confidences: list[list[float]], ends: list[int]) -> Any:
    """One that answers class 0 with the given confidence after each tick, or, where that is above 1, class 1 with it less 1."""
    p = torch.tensor(confidences, dtype=torch.float64).T
    first = torch.where(p > 1, 2 - p, p)
    scores = torch.stack([first, 1 - first], -1).log()

    class Answering:
        readout = SimpleNamespace(temperature=1.0)

        def eval(self) -> Answering:
            return self

        def __call__(self, x: Any, ticks: Any) -> Outcome:
            return Outcome(scores, torch.tensor(ends), {}, {})

    return Answering()


def chosen(confidences: list[list[float]], ends: list[int], every: int = 1) -> dict[str, Any]:
    labels = torch.zeros(len(ends), dtype=torch.int64)
    return exit_threshold(network(confidences, ends), [Batch(torch.zeros(1), torch.tensor(ends), labels)], every)


def test_the_threshold_lies_above_the_confidence_of_early_mistakes() -> None:
    found = chosen([[1.75, 0.9, 0.97, 0.97], [0.6, 0.86, 0.99, 0.99]], [4, 4])  # 75 % sure of the wrong class after one tick
    assert found == {"exit_at": 0.8, "exit_accuracy": 1.0, "exit_time_share": 0.5}


def test_a_network_that_is_never_sure_stops_at_the_end() -> None:
    assert chosen([[1.9995, 0.9]], [2]) == {}  # surely wrong, then right: no threshold will do
    assert chosen([[0.4, 0.45]], [2])["exit_time_share"] == 0.5  # class 1 at 0.6: wrong early and late


def test_samples_end_at_their_own_ticks() -> None:
    found = chosen([[0.7, 0.995, 0.2, 0.1], [0.8, 0.9, 0.96, 0.999]], [2, 4], every=2)
    assert found["exit_accuracy"] == 1.0  # what comes after the first sample's end does not count
    assert found["exit_time_share"] == pytest.approx((1 + 0.5) / 2)


def test_the_first_sure_decision_is_final_or_else_the_last() -> None:
    sure, right, shares = torch.tensor([0.6, 0.9, 0.95]), torch.tensor([False, True, False]), torch.tensor([0.2, 0.6, 1.0])
    assert stopped(sure, right, shares, 0.9) == (1.0, pytest.approx(0.6))
    assert stopped(sure, right, shares, 0.99) == (0.0, 1.0)
