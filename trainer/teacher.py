"""A teacher: a trained model goes in, with a batch of samples; the class scores that a student learns from come out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from pipeline.model_file import load_model
from trainer.data import Batch
from trainer.network import Network


class Teacher:
    """The network of a model file, spiking or of rectified units (`training.activation: relu`), which never changes.

    ValueError where its classes or its tick are others than the student's.
    """

    def __init__(self, path: Path, names: Sequence[str], tick_us: int) -> None:
        model = load_model(path)
        self._network = Network(model.layers, tick_us, activation=model.metrics.get("activation", "spike")).eval()
        if tuple(names) != self._network.readout.names:
            raise ValueError(f"{path}: the teacher knows the classes {', '.join(self._network.readout.names)}, "
                             f"want {', '.join(names)}")
        self._network.requires_grad_(False)

    @torch.no_grad()
    def scores(self, batch: Batch) -> Tensor:
        """(B, classes): its final scores, over its temperature."""
        network = self._network.to(batch.x.device)
        return network(batch.x, batch.ticks).final() / network.readout.temperature.float()
