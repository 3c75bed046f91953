"""A shortcut past the layers before it as a torch module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor, nn
from torch.nn import functional

from pipeline.layer_spec import ShortcutSpec

Kept = TypeVar("Kept")


class Shortcut(nn.Module):
    """x (T, B, n) of the body, past (T', B, n) that went into it -> x + past; the shorter one is silent behind its end."""

    def __init__(self, spec: ShortcutSpec) -> None:
        super().__init__()
        self.n, self.over = spec.n, spec.over

    def forward(self, x: Tensor, past: Tensor) -> Tensor:
        length = max(x.shape[0], past.shape[0])
        return _until(x, length) + _until(past, length)

    def past(self, inputs: Sequence[Kept]) -> Kept:
        """What went into the body: `inputs` are those of the layers up to this one. ValueError when these are too few."""
        if self.over >= len(inputs):
            raise ValueError(f"a shortcut over {self.over} layers must stand behind so many, there are {len(inputs) - 1}")
        return inputs[-1 - self.over]

    def spec(self) -> ShortcutSpec:
        return ShortcutSpec(self.n, self.over)


def _until(x: Tensor, length: int) -> Tensor:
    return functional.pad(x, (0, 0, 0, 0, 0, length - x.shape[0]))
