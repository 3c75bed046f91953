"""A training recipe: the YAML that `spikeline train` runs, as checked options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SerializeAsAny

from pipeline.config import Catalog, read_options
from pipeline.contract import Config, FilePath, OperatorConfig, SourceConfig
from trainer.augmentation import Augmentation


class LIFLayer(Config):
    """A dense layer of `units` leaky integrate-and-fire neurons."""

    type: Literal["lif"] = "lif"
    name: str = Field(description="name of the layer in the model file")
    units: int = Field(ge=1, description="number of neurons")
    tau_ms: float = Field(20.0, gt=0, description="membrane time constant at the start")
    threshold: float = Field(1.0, gt=0, description="firing threshold at the start")
    reset: Literal["subtract", "to_zero"] = Field("subtract", description="what a spike leaves of v")
    gain: float = Field(0.5, gt=0, description="standard deviation of a tick's input at the start, in thresholds")
    learn: tuple[Literal["tau", "threshold"], ...] = Field((), description="what is learnt besides the weights")


class DelayLayer(Config):
    """Axonal delays of the layer before, one a unit."""

    type: Literal["delay"] = "delay"
    name: str = Field(description="name of the layer in the model file")
    max_ms: float = Field(gt=0, description="greatest delay")
    start: Literal["uniform", "zero"] = Field("uniform", description="delays at the start: uniform in 0..max_ms, or zero")
    learn: bool = Field(True, description="whether delays are learnt; false keeps them where they start")


class ReadoutLayer(Config):
    """Class scores; see the operator `readout` for the scores."""

    type: Literal["readout"] = "readout"
    name: str = Field("out", description="name of the layer in the model file")
    score: Literal["spike_count", "membrane", "max_membrane", "softmax_sum"] = Field(
        "spike_count", description="how scores come from spikes")
    tau_ms: float = Field(20.0, gt=0, description="time constant of v, for all scores but spike_count")
    learn: tuple[Literal["tau"], ...] = Field((), description="what is learnt besides the weights")


Layer = Annotated[LIFLayer | DelayLayer | ReadoutLayer, Field(discriminator="type")]


class ModelRecipe(Config):
    """The network to train."""

    tick_ms: float = Field(10.0, gt=0, description="length of a tick")
    layers: tuple[Layer, ...] = Field(min_length=1, description="layers in order; the last is the readout")

    @property
    def tick_us(self) -> int:
        return round(self.tick_ms * 1000)


class Training(Config):
    """How to train."""

    epochs: int = Field(100, ge=1, description="passes over the training samples")
    batch: int = Field(64, ge=1, description="samples a step")
    learning_rate: float = Field(1e-3, gt=0, description="AdamW step of weights, taus and thresholds; falls as a cosine")
    delay_learning_rate: float = Field(0.1, gt=0, description="AdamW step of delays, in ticks; falls as a cosine")
    weight_decay: float = Field(1e-4, ge=0, description="AdamW decay of weights")
    clip: float = Field(1.0, gt=0, description="greatest norm of a gradient")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of a layer's neurons silenced for a sample")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all classes")
    surrogate: Literal["atan", "fast_sigmoid"] = Field("atan", description="what stands for the slope of a spike")
    score_scale: float = Field(1.0, gt=0, description="scores are divided by this in the loss")
    every_ms: float = Field(50.0, gt=0, description="the loss also counts decisions at every such time before the end")
    early_weight: float = Field(0.5, ge=0, description="weight of the decisions before the end; 0: the end alone")
    rate_most: float = Field(0.1, gt=0, description="spikes a tick of a neuron above which it is held back")
    rate_weight: float = Field(0.1, ge=0, description="weight of that restraint")
    delay_sigma_ticks: float = Field(3.0, gt=0, description="width of the smear that lets delays move, at the start; ends at 0.5")
    settle_share: float = Field(0.25, ge=0, lt=1, description="last share of the epochs, with delays in whole ticks and at rest")
    select: Literal["best", "last"] = Field("best", description="state exported: least validation loss, or the last epoch")
    temperature: float | None = Field(None, gt=0, description="temperature of the readout; none: fitted on validation")
    seed: int = Field(0, ge=0, description="seed of weights, delays, split, order and augmentation")
    threads: int = Field(1, ge=1, description="threads of torch; another number may give other last bits")


class Export(Config):
    """Where the model goes."""

    path: FilePath = Field(description="the model file, .safetensors")
    folder: FilePath = Field(description="folder of checkpoints and logs")
    trained_on: str = Field("", description="the model card's words on the training data")


class Recipe(Config):
    """A training recipe: what to train on, through which operators of the runtime, what to train, and how."""

    train: SerializeAsAny[SourceConfig] = Field(description="source of labelled training episodes")
    validation: SerializeAsAny[SourceConfig] | None = Field(
        None, description="source of validation episodes; none: validation_share of train"
    )
    validation_share: float = Field(0.1, ge=0, lt=1, description="share of every class of train kept for validation")
    operators: tuple[SerializeAsAny[OperatorConfig], ...] = Field((), description="operators before the first layer")
    augmentation: Augmentation = Field(Augmentation(), description="changes to training episodes")
    model: ModelRecipe = Field(description="the network")
    training: Training = Field(Training(), description="how to train")
    export: Export = Field(description="where the model goes")


def read_recipe(path: str | Path, overrides: Sequence[str], catalog: Catalog) -> Recipe:
    """The recipe in a YAML file with every `--set` applied. ConfigErrors with the line of everything that is wrong."""
    return read_options(path, Recipe, overrides, catalog)
