"""A training recipe: the YAML that `spikeline train` runs, as checked options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, SerializeAsAny, Tag, model_validator

from pipeline.config import Catalog, read_options
from pipeline.contract import Config, FilePath, OperatorConfig, SourceConfig
from trainer.augmentation import Augmentation
from trainer.recipe_images import ConvLIFLayer, PoolLayer, ShortcutLayer
from trainer.recipe_layers import (
    CubaLIFLayer,
    DelayLayer,
    LIFLayer,
    MPSLIFLayer,
    RandomLIFLayer,
    ReadoutLayer,
    RecurrentLIFLayer,
    SynapticDelayLayer,
    TimeBinsLayer,
)
from trainer.recipe_neurons import AdaptiveLIFLayer, ResonateLayer, SRMLayer
from trainer.recipe_quantised import QuantisedConvLIFLayer, QuantisedLIFLayer
from trainer.recipe_random import RandomConvLayer

Layer = Annotated[
    LIFLayer
    | AdaptiveLIFLayer
    | ConvLIFLayer
    | CubaLIFLayer
    | DelayLayer
    | MPSLIFLayer
    | PoolLayer
    | QuantisedConvLIFLayer
    | QuantisedLIFLayer
    | RandomConvLayer
    | RandomLIFLayer
    | ReadoutLayer
    | RecurrentLIFLayer
    | ResonateLayer
    | ShortcutLayer
    | SRMLayer
    | SynapticDelayLayer
    | TimeBinsLayer,
    Field(discriminator="type"),
]


class ModelRecipe(Config):
    """The network to train."""

    tick_ms: float = Field(10.0, gt=0, description="length of a tick")
    layers: tuple[Layer, ...] = Field(min_length=1, description="layers in order; the last is the readout")

    @property
    def tick_us(self) -> int:
        return round(self.tick_ms * 1000)


class Method(Config):
    """What all ways to train share."""

    temperature: float | None = Field(None, gt=0, description="temperature of the readout; none: fitted on validation")
    seed: int = Field(0, ge=0, description="seed of weights, delays, split, order and augmentation")
    threads: int = Field(1, ge=1, description="threads; another number may give other last bits")


class GradientTraining(Method):
    """What the ways to train by gradients of a loss share."""

    epochs: int = Field(100, ge=1, description="passes over the training samples")
    batch: int = Field(64, ge=1, description="samples a step")
    alike: int = Field(1, ge=1, description="batches drawn together and shared out by length, which saves padding; 1: none")
    learning_rate: float = Field(1e-3, gt=0, description="AdamW step of weights, taus and thresholds; falls as a cosine")
    constant_learning_rate: float | None = Field(
        None, gt=0, description="AdamW step of the logarithms of taus and thresholds and of alphas; none: learning_rate")
    delay_learning_rate: float = Field(0.1, gt=0, description="AdamW step of delays, in ticks; falls as a cosine")
    weight_decay: float = Field(1e-4, ge=0, description="AdamW decay of weights")
    clip: float = Field(1.0, gt=0, description="greatest norm of a gradient")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all classes")
    loss: Literal["cross_entropy", "spikemax", "num_spikes"] = Field(
        "cross_entropy", description="of final and early scores; the other two count spikes and want a readout without weights")
    score_scale: float = Field(1.0, gt=0, description="scores are divided by this in the loss")
    precision: Literal["32-true", "bf16-mixed"] = Field(
        "32-true", description="bf16-mixed: products with weights in bfloat16; membranes, figures and export in float32")
    devices: int = Field(1, ge=1, description="processes that share out the batches of an epoch and average their gradients")
    accelerator: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="auto: CUDA GPUs where there is one for each process, else the CPU; the last bits are the device's")
    select: Literal["best", "last"] = Field("best", description="state exported: least validation loss, or the last epoch")


class Training(GradientTraining):
    """How to train by surrogate gradients through time."""

    method: Literal["surrogate"] = "surrogate"
    dropout: float = Field(0.0, ge=0, lt=1, description="share of a layer's neurons silenced for a sample")
    surrogate: Literal["atan", "fast_sigmoid", "rectangle", "slayer", "triangle"] = Field(
        "atan", description="what stands for the slope of a spike")
    gradient: Literal["full", "truncated", "sltt"] = Field(
        "full", description="full: through time; truncated: in chunks, sltt: tick by tick, in memory that does not grow with the "
        "samples' length")
    truncate_ticks: int = Field(50, ge=1, description="truncated: ticks of a chunk, through which gradients run")
    sltt_ticks: int | None = Field(None, ge=1, description="sltt: random ticks of a batch that are differentiated; none: all")
    target_shares: tuple[float, float] = Field((0.2, 0.02), description="num_spikes: spikes a tick of the true and a false class")
    guidance_weight: float = Field(0.0, ge=0, description="weight of the guidance of each step by the next (TASG); 0: none")
    guidance_temperature: float = Field(2.0, gt=0, description="temperature of the scores there")
    start: FilePath | None = Field(
        None, description="model file whose layers of the same names training starts from; quantised ones from float ones too")
    activation: Literal["spike", "relu"] = Field(
        "spike", description="relu: rectified units on the mean input, a teacher for spiking networks; no pipeline runs it")
    teacher: FilePath | None = Field(None, description="model file of a teacher whose scores every step learns; none: no teacher")
    teacher_weight: float = Field(1.0, ge=0, le=1, description="the teacher's part in the loss; 1: it takes the labels' place")
    teacher_temperature: float = Field(1.0, gt=0, description="temperature of the scores there")
    every_ms: float = Field(50.0, gt=0, description="the loss also counts decisions at every such time before the end")
    early_weight: float = Field(0.5, ge=0, description="weight of the decisions before the end; 0: the end alone")
    rate_least: float = Field(0.0, ge=0, description="spikes a tick of a neuron below which it is pushed; 0: never")
    rate_most: float = Field(0.1, gt=0, description="spikes a tick of a neuron above which it is held back")
    rate_weight: float = Field(0.1, ge=0, description="weight of both restraints")
    delay_sigma_ticks: float = Field(3.0, gt=0, description="width of the smear that lets delays move, at the start; ends at 0.5")
    delay_forward: Literal["smeared", "whole"] = Field(
        "smeared", description="what delays do while they are learnt: smear spikes, or move them by whole ticks, as they will in "
        "the end, the smear being their gradient alone")
    settle_share: float = Field(0.25, ge=0, lt=1, description="last share of the epochs, with delays in whole ticks and at rest")


class EventTraining(GradientTraining):
    """How to train by EventProp: exact gradients of spike times, in continuous time. tick_ms is that of the readout alone."""

    method: Literal["eventprop"]
    delay_learning_rate: float = Field(0.2, gt=0, description="AdamW step of delays, in ms; falls as a cosine")
    devices: Literal[1] = Field(1, description="one process")
    accelerator: Literal["cpu"] = Field("cpu", description="spikes are those of the runtime's operators")
    precision: Literal["32-true"] = Field("32-true", description="spike times are float64 all the same")
    loss: Literal["cross_entropy"] = Field("cross_entropy", description="of the final scores")
    least_hz: float = Field(1.0, ge=0, description="a neuron that fires less often in a batch is nudged: no gradient reaches it")
    most_hz: float = Field(200.0, gt=0, description="so is one that fires more often")
    nudge: float = Field(0.02, ge=0, description="what that adds to, or takes off, its weights, in deviations of the layer's")


class RandomTraining(Method):
    """How to train the readout alone, on spikes that fixed random layers counted: RanSNN (2025, arXiv 2505.13622).

    ridge: least squares with a penalty, in closed form. rls: the same by recursive least squares, sample by sample, each of
    them classified before it is learnt. adam: cross-entropy, by steps of gradient descent.
    """

    method: Literal["ransnn"]
    solver: Literal["ridge", "rls", "adam"] = Field("ridge", description="how the readout is learnt")
    redraw: bool = Field(True, description="whether bernoulli gives each training sample random numbers of its own")
    presentations: int = Field(1, ge=1, description="how often each training sample is shown")
    parts: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (1.0,), min_length=1, description="random_conv_lif: shares of an episode after which its counts are learnt"
    )
    penalty: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1), min_length=1,
        description="ridge, rls: penalties, in mean variances of a feature: the one of least validation error (rls: the first)"
    )
    steps: int = Field(400, ge=1, description="adam: steps, each on a batch drawn anew from what was not yet seen")
    batch: int = Field(128, ge=1, description="adam: samples a step; rls: samples that are learnt together")
    learning_rate: float = Field(5e-4, gt=0, description="adam: size of a step")
    average: int = Field(1, ge=1, description="adam: the weights after so many last steps are averaged; 1: those of the last")


AnyTraining = Annotated[
    Annotated[Training, Tag("surrogate")] | Annotated[RandomTraining, Tag("ransnn")] | Annotated[EventTraining, Tag("eventprop")],
    Discriminator(
        lambda options: options.get("method", "surrogate") if isinstance(options, dict) else getattr(options, "method", None),
        custom_error_type="method", custom_error_message="method must be surrogate, ransnn or eventprop",
    ),
]


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
    test: SerializeAsAny[SourceConfig] | None = Field(
        None, description="source of test episodes, on which the model that was chosen is tried once; none: no test"
    )
    operators: tuple[SerializeAsAny[OperatorConfig], ...] = Field((), description="operators before the first layer")
    augmentation: Augmentation = Field(Augmentation(), description="changes to training episodes")
    model: ModelRecipe = Field(description="the network")
    training: AnyTraining = Field(Training(), description="how to train")
    export: Export = Field(description="where the model goes")

    @model_validator(mode="after")
    def _loss_fits(self) -> Recipe:
        last, training = self.model.layers[-1], self.training
        counts = isinstance(last, ReadoutLayer) and last.score == "spike_count" and last.weights == "none"
        if isinstance(training, Training) and training.loss != "cross_entropy" and not counts:
            raise ValueError(f"the loss {training.loss} counts spikes of output neurons: end the layers in a readout with "
                             "score: spike_count, weights: none")
        whole = isinstance(training, Training) and (training.guidance_weight or training.teacher is not None)
        if isinstance(training, Training) and training.gradient == "truncated" and whole:
            raise ValueError("gradient: truncated knows one chunk at a time: guidance_weight and teacher want gradient: full")
        if isinstance(training, Training) and training.precision != "32-true" and training.gradient != "full":
            raise ValueError(f"precision: {training.precision} is for gradient: full")
        if isinstance(training, Training) and training.devices > 1 and training.gradient != "full":
            raise ValueError(f"devices: {training.devices} is for gradient: full")
        return self


def read_recipe(path: str | Path, overrides: Sequence[str], catalog: Catalog) -> Recipe:
    """The recipe in a YAML file with every `--set` applied. ConfigErrors with the line of everything that is wrong."""
    return read_options(path, Recipe, overrides, catalog)
