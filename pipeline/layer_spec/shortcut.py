"""A shortcut past the layers before it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ShortcutSpec:
    """The input of the `over` layers before this one is added to what they give out: y = body(x) + x, tick by tick.

    Spikes add as counts: a unit that fires on both ways in one tick fires twice. n: units, of the body's input as of its output.
    In a pipeline it is the operator residual, with these layers as its body; a model's layers stand in one row, so the shortcut
    follows them.

    Source: He, Zhang, Ren and Sun (2016), "Deep residual learning for image recognition", section 3.2; with spikes that are
    added Fang et al. (2021), "Deep residual learning in spiking neural networks", section 3.3 (ADD).

    >>> ShortcutSpec(8 * 14 * 14, over=1).n_out
    1568
    """

    n: int
    over: int

    def __post_init__(self) -> None:
        if self.n < 1 or self.over < 1:
            raise ValueError(f"a shortcut needs at least one unit and one layer, got n {self.n} and over {self.over}")

    @property
    def n_in(self) -> int:
        return self.n

    @property
    def n_out(self) -> int:
        return self.n
