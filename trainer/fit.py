"""The training loop: a network, training and validation batches in; the trained network and its figures out."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from trainer.data import Batch, Batches
from trainer.event_network import EventNetwork
from trainer.history import History
from trainer.layers import MPSLIF, Delay
from trainer.losses import LOSSES, distillation, guidance, out_of_bounds
from trainer.network import Network, Outcome
from trainer.progress import Progress
from trainer.recipe import GradientTraining, Training
from trainer.sltt import ByTick
from trainer.teacher import Teacher
from trainer.truncated import InChunks

AnyNetwork = Network | EventNetwork
HISTORY = "csv/metrics.csv"  # in the folder of a run


class Learner(L.LightningModule):
    """Trains a network by gradients of a loss at the end of each sample; what all such methods share."""

    def __init__(self, network: AnyNetwork, training: GradientTraining, batches_an_epoch: int) -> None:
        super().__init__()
        self.network, self.training_options, self.batches_an_epoch = network, training, batches_an_epoch

    def training_step(self, batch: Any, index: int) -> Tensor:
        with made_beside(batch.labels):
            outcome = self.network(batch.x, batch.ticks)
            loss = self.loss(outcome, batch)
            self.note(loss, outcome.final(), batch)
        return loss

    def loss(self, outcome: Any, batch: Any) -> Tensor:
        """The loss of the final scores."""
        options = self.training_options
        return LOSSES[options.loss](outcome.final(), batch.labels, outcome.ends, options)  # type: ignore[arg-type]

    def note(self, loss: Tensor, scores: Tensor, batch: Any) -> None:
        accuracy = (scores.argmax(1) == batch.labels).float().mean()
        self.log_dict({"train_loss": loss.detach(), "train_accuracy": accuracy}, on_step=False, on_epoch=True,
                      batch_size=batch.labels.shape[0])

    def validation_step(self, batch: Any, index: int) -> None:
        with made_beside(batch.labels):
            outcome = self.network(batch.x, batch.ticks)
            figures = {"val_loss": Learner.loss(self, outcome, batch),
                       "val_accuracy": (outcome.final().argmax(1) == batch.labels).float().mean()}
        figures |= {f"rate_{name}": rate.mean() for name, rate in outcome.rates().items()}
        figures |= {f"alpha_{name}": layer.alpha().detach() for name, layer in self.network.layers.items()
                    if isinstance(layer, MPSLIF)}
        self.log_dict(figures, batch_size=batch.labels.shape[0])

    def on_train_epoch_start(self) -> None:
        """All randomness of an epoch follows from the seed and its number."""
        torch.manual_seed(np.random.SeedSequence([self.training_options.seed, self.current_epoch]).generate_state(1)[0].item())

    def on_train_batch_end(self, *_: Any) -> None:
        for delay in self.network.delays():
            delay.clamp()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        options = self.training_options
        optimizer = torch.optim.AdamW(_groups(self.network, options))
        steps = options.epochs * self.batches_an_epoch
        warm = max(1, min(steps // 10, 100))

        def factor(step: int) -> float:
            return min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Classifier(Learner):
    """Trains a network, by surrogate gradients, to classify at the end of a sample, and while it is still coming in.

    With a teacher, teacher_weight says how far its lesson takes the place of L(final scores).

    loss = L(final scores) + early_weight * mean over decision times of L(scores then) + guidance_weight * guidance +
    rate_weight * mean over neurons of excess^2, L being the training's loss and the excess that of the firing rate over
    rate_most, or its lack below rate_least, as a share of that bound.
    """

    network: Network
    training_options: Training

    def __init__(self, network: Network, training: Training, batches_an_epoch: int) -> None:
        super().__init__(network, training, batches_an_epoch)
        self.teacher = None if training.teacher is None else Teacher(training.teacher, network.readout.names, network.tick_us)
        self.by_tick = ByTick(network) if training.gradient == "sltt" else None
        self.in_chunks = InChunks(network, training.truncate_ticks) if training.gradient == "truncated" else None
        self.automatic_optimization = training.gradient == "full"

    def training_step(self, batch: Batch, index: int) -> Tensor:
        if self.automatic_optimization:
            return super().training_step(batch, index)
        optimizer, schedule = self.optimizers(), self.lr_schedulers()
        optimizer.zero_grad()  # type: ignore[union-attr]
        with made_beside(batch.labels):
            loss, scores = self._backward(batch)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.training_options.clip)
        optimizer.step()  # type: ignore[union-attr]
        schedule.step()  # type: ignore[union-attr, call-arg]
        self.note(loss, scores, batch)
        return loss

    def _backward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss and the final scores; the gradients of ticks, or of chunks of them, have added up in the parameters."""
        options = self.training_options
        if self.in_chunks is not None:
            return self.in_chunks.backward(batch, options, self.decision_ticks())
        assert self.by_tick is not None
        ticks = None if options.sltt_ticks is None else torch.randperm(batch.x.shape[0])[: options.sltt_ticks]
        taught = None if self.teacher is None else self.teacher.scores(batch)
        return self.by_tick.backward(batch, options, ticks, taught)[:2]

    def loss(self, outcome: Outcome, batch: Batch) -> Tensor:
        options = self.training_options
        of = LOSSES[options.loss]
        loss = super().loss(outcome, batch)
        if self.teacher is not None:
            taught, score = self.teacher.scores(batch), self.network.readout.score
            told = distillation(outcome, taught, score, self.decision_ticks(), options.teacher_temperature)
            loss = (1 - options.teacher_weight) * loss + options.teacher_weight * told
        if options.early_weight:
            scores, labels, ticks = early(outcome, batch.labels, self.decision_ticks())
            if labels.numel():
                loss = loss + options.early_weight * of(scores, labels, ticks, options)
        if options.guidance_weight:
            step = guidance(outcome, self.network.readout.score, self.decision_ticks(), options.guidance_temperature)
            loss = loss + options.guidance_weight * step
        for rate in outcome.rates().values():
            loss = loss + options.rate_weight * out_of_bounds(rate, options.rate_least, options.rate_most)
        return loss

    def decision_ticks(self) -> int:
        return max(1, round(self.training_options.every_ms * 1000 / self.network.tick_us))

    def on_train_epoch_start(self) -> None:
        """The smear of delays shrinks to none."""
        super().on_train_epoch_start()
        options, epoch = self.training_options, self.current_epoch
        moving = max(1, round(options.epochs * (1 - options.settle_share)))
        for delay in self.network.delays():
            if epoch and isinstance(delay, Delay):
                delay.grow()
            sigma = options.delay_sigma_ticks * (0.5 / options.delay_sigma_ticks) ** (epoch / max(1, moving - 1))
            delay.whole = options.delay_forward == "whole"
            delay.sigma.fill_(sigma if epoch < moving and delay.delay_ticks.requires_grad else 0.0)


@dataclass(frozen=True)
class Fitted:
    """A trained network in the state that was selected, and the epoch (from 1) it comes from."""

    network: AnyNetwork
    epoch: int
    epochs: int


def fit(network: AnyNetwork, training: GradientTraining, train: Batches, validation: Iterable[Any] | None, folder: Path,
        resume: bool = False, learner: Callable[..., Learner] = Classifier) -> Fitted:
    """Train `network` and put it in the selected state. Checkpoints and logs go to `folder`; `resume` goes on from its last.ckpt.

    learner: what makes the module that trains it. The state selected is that of least validation loss, or the last one without
    validation or with `select: last`.
    """
    last = folder / "last.ckpt"
    if resume and not last.exists():
        raise ValueError(f"{last}: no checkpoint to go on from; train without --resume, or correct the recipe's folder")
    if not resume:
        for stale in (*folder.glob("*.ckpt"), *folder.glob("tensorboard/events.*"), folder / HISTORY):
            stale.unlink(missing_ok=True)
    _quiet()
    if len(train) < training.devices:
        raise ValueError(f"devices: {training.devices} processes have only {len(train)} batches to share; make batch smaller")
    module = learner(network, training, len(train) // training.devices)
    best = validation is not None and training.select == "best"
    # The last is written last: a run killed between the two repeats the epoch and finds the same best.
    keep = [ModelCheckpoint(folder, filename=name, monitor=monitor, save_top_k=1, enable_version_counter=False)
            for name, monitor in (("best", "val_loss"), ("last", None))[not best :]]
    clip = training.clip if module.automatic_optimization else None  # where it is not, the step clips by itself
    trainer = L.Trainer(
        max_epochs=training.epochs, accelerator=accelerator(training), devices=training.devices,
        strategy="ddp" if training.devices > 1 else "auto", precision=training.precision, gradient_clip_val=clip,
        num_sanity_val_steps=0, logger=TensorBoardLogger(folder, "tensorboard", ""), log_every_n_steps=1_000_000,
        callbacks=[Progress(), History(folder / HISTORY), *keep], enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, _Epochs(train, module), validation, ckpt_path=str(last) if resume else None, weights_only=True)
    chosen = torch.load(folder / ("best.ckpt" if best else "last.ckpt"), map_location="cpu", weights_only=True)
    module.cpu().load_state_dict(chosen["state_dict"])  # what is told and exported is worked out here
    network.eval()
    return Fitted(network, chosen["epoch"] + 1, training.epochs)


def accelerator(training: GradientTraining) -> Literal["cpu", "cuda"]:
    """Where the network is trained: on GPUs, if the recipe lets it and there is one for each of its processes.
    ValueError where the recipe wants GPUs that there are not."""
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if training.accelerator == "gpu" and found < training.devices:
        raise ValueError(f"accelerator: gpu needs a CUDA device for each of {training.devices} processes, found {found}; "
                         "use accelerator: auto")
    return "cuda" if training.accelerator != "cpu" and found >= training.devices else "cpu"


def made_beside(tensor: Tensor) -> AbstractContextManager[Any]:
    """Within it, tensors that are made from nothing are made on the device of `tensor`."""
    return nullcontext() if tensor.is_cpu else tensor.device


class _Epochs:
    """The training batches of the epoch that the module is in. Of several processes each takes every so many; what does not share
    out is left out of this epoch."""

    def __init__(self, batches: Batches, module: Learner) -> None:
        self._batches, self._module = batches, module

    def __len__(self) -> int:
        return len(self._batches) // self._module.trainer.world_size

    def __iter__(self) -> Iterator[Batch]:
        rank, processes = self._module.trainer.global_rank, self._module.trainer.world_size
        yield from islice(self._batches.at(self._module.current_epoch), rank, len(self) * processes, processes)


def early(outcome: Outcome, labels: Tensor, every: int) -> tuple[Tensor, Tensor, Tensor]:
    """At every `every` ticks before the end of each sample that lasts so long: scores (m, classes), labels (m,), ticks (m,)."""
    times = torch.arange(every, max(every, outcome.scores.shape[0]) + 1, every)
    times = times[times <= outcome.scores.shape[0]]
    inside = times[:, None] < outcome.ends[None, :]
    scores = outcome.scores[times - 1]
    return scores[inside], labels[None, :].expand(times.shape[0], -1)[inside], times[:, None].expand_as(inside)[inside]


def _groups(network: AnyNetwork, options: GradientTraining) -> list[dict[str, Any]]:
    """Weights decay; delays, taus, thresholds, biases and normalisations do not. Delays have a step of their own."""
    delays = [p for m in network.delays() for name, p in m.named_parameters() if name.startswith("delay_") and p.requires_grad]
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    weights = [p for name, p in named if name.endswith("weight") and ".norm." not in name]
    constants = [p for name, p in named if name.endswith(("log_factor", "logit"))]
    ours = {id(p) for p in delays + weights + constants}
    rest = [p for p in network.parameters() if id(p) not in ours and p.requires_grad]
    groups = [{"params": weights, "lr": options.learning_rate, "weight_decay": options.weight_decay},
              {"params": delays, "lr": options.delay_learning_rate, "weight_decay": 0.0},
              {"params": constants, "lr": options.constant_learning_rate or options.learning_rate, "weight_decay": 0.0},
              {"params": rest, "lr": options.learning_rate, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _quiet() -> None:
    """Lightning's hints are for its developers' own set-ups; errors still show."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
