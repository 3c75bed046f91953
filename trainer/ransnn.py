"""RanSNN: a recipe of fixed random layers goes in; a model whose readout alone was learnt comes out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from pipeline.layer_spec import LayerSpec, ReadoutSpec
from pipeline.model_file import Model
from pipeline.packet import Format, Packet
from trainer.calibration import best_temperature
from trainer.conv_features import ConvFeatures
from trainer.data import labelled, split
from trainer.linear_readout import LeastSquares, Linear, Recursive, averaged, descend
from trainer.random_features import Features
from trainer.recipe import RandomTraining, Recipe
from trainer.recipe_layers import RandomLIFLayer, ReadoutLayer, TimeBinsLayer
from trainer.recipe_random import RandomConvLayer


def train(recipe: Recipe, training: RandomTraining, resume: bool) -> Model:
    """Train as the recipe says. ValueError when its layers are not random ones and a readout of their counts.

    resume: begins again, which takes minutes and ends in the same file: there are no checkpoints.
    """
    if resume:
        print("training.method ransnn keeps no checkpoint: it begins again and ends in the same file", file=sys.stderr)
    *hidden, out = _layers(recipe)
    if training.parts != (1.0,) and not isinstance(hidden[0], RandomConvLayer):
        raise ValueError("training.parts is for random_conv_lif layers: leave it out")
    own, format = labelled(recipe.train, "train")
    if recipe.validation is not None:
        held = labelled(recipe.validation, "validation")[0]
    else:
        own, held = split(own, recipe.validation_share, training.seed)
    features: AnyFeatures
    if isinstance(hidden[0], RandomConvLayer):
        features, specs = _convolutions(recipe, training, hidden, own, format)
    else:
        features, specs = _dense(recipe, training, hidden, format)
    began = time.monotonic()
    learnt = SOLVERS[training.solver](features, training, own, held, len(format.names))
    total = time.monotonic() - began
    print(f"features {features.seconds:.1f} s, readout {total - features.seconds:.1f} s", file=sys.stderr)
    readout = ReadoutSpec("spike_count", format.names, learnt.linear.weight.numpy(), learnt.linear.bias.numpy(),
                          temperature=training.temperature or learnt.temperature)
    metrics = learnt.figures | {"spikes_per_neuron_and_tick": features.rates()}
    if recipe.test is not None:
        metrics |= accuracy(features, learnt, labelled(recipe.test, "test")[0], "test")
    return Model(features.format, {**specs, out.name: readout}, f"{recipe.train.type}, {len(own) + len(held)} episodes", metrics)


def _dense(recipe: Recipe, training: RandomTraining, hidden: list[Any], format: Format) -> tuple[Features, dict[str, LayerSpec]]:
    features = Features(recipe.operators, format, recipe.model.tick_us, recipe.train.type == "images", seed=training.seed,
                        threads=training.threads)
    specs: dict[str, LayerSpec] = {}
    shape = features.format.shape
    bins = hidden.pop() if isinstance(hidden[-1], TimeBinsLayer) else None
    for layer in hidden:
        spec = layer.spec(shape, training.seed + len(specs) if layer.seed is None else layer.seed, recipe.model.tick_us)
        specs[layer.name], shape = spec, (spec.n_out,)
        features.add_layer(layer.name, spec)
    if bins is not None:
        specs[bins.name] = told_apart = bins.spec(features.n)
        features.add_bins(told_apart)
    return features, specs


def _convolutions(recipe: Recipe, training: RandomTraining, hidden: list[RandomConvLayer], own: list[Packet],
                  format: Format) -> tuple[ConvFeatures, dict[str, LayerSpec]]:
    torch.set_num_threads(training.threads)
    features = ConvFeatures(recipe.operators, format, recipe.model.tick_us)
    specs: dict[str, LayerSpec] = {}
    shape = features.format.shape
    for layer in hidden:
        spec = layer.spec(shape, training.seed + len(specs) if layer.seed is None else layer.seed, recipe.model.tick_us)
        specs[layer.name] = features.add_layer(layer.name, layer, spec, own)
        shape = spec.shape_out
    return features, specs


SINGLE_STEPS = 20  # the accuracy of RanSNN's paper is the mean of those after the last 20 steps

AnyFeatures = Features | ConvFeatures
Counted = Iterator[tuple[np.ndarray, np.ndarray]]  # counts (m, n) and labels (m,), chunk by chunk


class Learnt(NamedTuple):
    """A readout, its temperature, what is to be told of it, and, of a descent, the readouts after its last single steps."""

    linear: Linear
    temperature: float
    figures: dict[str, Any]
    steps: Sequence[Linear] = ()


def _layers(recipe: Recipe) -> list[Any]:
    """The recipe's layers, checked."""
    *hidden, out = recipe.model.layers
    random = hidden[:-1] if hidden and isinstance(hidden[-1], TimeBinsLayer) else hidden
    convolutions = bool(hidden) and all(isinstance(layer, RandomConvLayer) for layer in hidden)
    if not convolutions and (not random or not all(isinstance(layer, RandomLIFLayer) for layer in random)):
        raise ValueError("training.method ransnn learns a readout behind random_lif layers: model.layers must be these, and "
                         "behind them time_bins if you like; or random_conv_lif layers alone")
    if not isinstance(out, ReadoutLayer) or out.score != "spike_count" or out.learn:
        raise ValueError("training.method ransnn learns from counts: the last of model.layers must be a readout, "
                         "score: spike_count")
    return [*hidden, out]


def accuracy(features: AnyFeatures, learnt: Learnt, packets: list[Packet], kind: str) -> dict[str, Any]:
    """The share of episodes that the readout classifies right, shown as a pipeline shows them; and its steps, in the mean."""
    at, labels, readouts = 0, labels_of(packets), [learnt.linear, *learnt.steps]
    right = np.zeros(len(readouts), np.int64)
    for counts in features.chunks(packets):
        now = labels[at : at + len(counts)]
        right += [int((readout.scores(counts).argmax(1).numpy() == now).sum()) for readout in readouts]
        at += len(now)
    shares = right / len(packets)
    figures = {f"{kind}_accuracy": round(float(shares[0]), 4), f"{kind}_episodes": len(packets)}
    return figures | ({f"{kind}_accuracy_of_single_steps": round(float(shares[1:].mean()), 4)} if learnt.steps else {})


def labels_of(packets: list[Packet]) -> np.ndarray:
    return np.array([packet.label for packet in packets])


def _presented(features: AnyFeatures, training: RandomTraining, packets: list[Packet]) -> Counted:
    """Counts and labels, chunk by chunk, of all presentations of the episodes."""
    labels = labels_of(packets)
    if isinstance(features, ConvFeatures):
        at = 0
        for counts in features.parts(packets, training.parts):
            for part in counts:
                yield part, labels[at : at + len(part)]
            at += counts.shape[1]
            _tell(at, len(packets), features.seconds)
        return
    for presentation in range(training.presentations):
        at = 0
        for counts in features.chunks(packets, presentation if training.redraw else None):
            yield counts, labels[at : at + len(counts)]
            at += len(counts)
            _tell(presentation * len(packets) + at, training.presentations * len(packets), features.seconds)


def _tell(done: int, total: int, seconds: float) -> None:
    """One line, rewritten in place on a terminal."""
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{done} of {total} presentations, {seconds:.0f} s", end=end, file=sys.stderr, flush=True)


def _ridge(features: AnyFeatures, training: RandomTraining, own: list[Packet], held: list[Packet], classes: int) -> Learnt:
    """The penalty of least error on the validation episodes; with it all episodes are learnt, these too."""
    squares = LeastSquares(features.n, classes)
    for counts, labels in _presented(features, training, own):
        squares.add(counts, labels)
    if not held:
        return Learnt(squares.solve(training.penalty[0]), 1.0, {"penalty": training.penalty[0]})
    counts, labels = features.all(held), labels_of(held)
    counted = list(_presented(features, training, held)) if isinstance(features, ConvFeatures) else [(counts, labels)]
    tried = []
    for penalty in training.penalty:
        linear = squares.solve(penalty)
        right = int((linear.scores(counts).argmax(1).numpy() == labels).sum())
        scores, theirs = torch.cat([linear.scores(some) for some, _ in counted]), np.concatenate([part for _, part in counted])
        tried.append((right, penalty, best_temperature(scores, torch.from_numpy(theirs), -3)))
    right, penalty, temperature = max(tried, key=lambda each: each[0])
    for more, theirs in _presented(features, training, held):
        squares.add(more, theirs)
    figures = {"validation_accuracy": round(right / len(held), 4), "validation_episodes": len(held), "penalty": penalty}
    return Learnt(squares.solve(penalty), temperature, figures)


def _rls(features: AnyFeatures, training: RandomTraining, own: list[Packet], held: list[Packet], classes: int) -> Learnt:
    """Each batch is classified, then learnt. The penalty is in variances of the features of the first chunk."""
    right, seen, learner = 0, 0, None
    for counts, labels in _presented(features, training, own):
        if learner is None:
            variance = float(counts.astype(np.float64).var(0).mean())
            strength = training.penalty[0] * max(variance, 1e-12) * len(own) * training.presentations
            learner = Recursive(features.n, classes, strength)
        for at in range(0, len(labels), training.batch):
            right += learner.learn(counts[at : at + training.batch], labels[at : at + training.batch])
        seen += len(labels)
    assert learner is not None
    linear = learner.readout()
    return _held(features, linear, held, {"accuracy_before_learning": round(right / seen, 4)})


def _adam(features: AnyFeatures, training: RandomTraining, own: list[Packet], held: list[Packet], classes: int) -> Learnt:
    keep = max(training.average, SINGLE_STEPS)
    last = descend(_drawn(features, training, own), features.n, classes, training.learning_rate, training.seed, keep)
    learnt = _held(features, averaged(last[-training.average :]), held, {"steps": training.steps})
    return learnt._replace(steps=last[-SINGLE_STEPS:])


def _drawn(features: AnyFeatures, training: RandomTraining, packets: list[Packet]) -> Counted:
    """A batch a step; no episode is drawn again before all were."""
    rng = np.random.default_rng([training.seed, 0xADA])
    ahead = max(1, 2000 // training.batch)  # steps whose features are made at once
    left: list[int] = []
    for step in range(0, training.steps, ahead):
        wanted = min(ahead, training.steps - step) * training.batch
        while len(left) < wanted:
            left += rng.permutation(len(packets)).tolist()
        now, left = [packets[index] for index in left[:wanted]], left[wanted:]
        counts, labels = features.all(now, step if training.redraw else None), labels_of(now)
        for at in range(0, wanted, training.batch):
            yield counts[at : at + training.batch], labels[at : at + training.batch]


def _held(features: AnyFeatures, linear: Linear, held: list[Packet], figures: dict[str, Any]) -> Learnt:
    """The figures of the validation episodes, which had no part in learning, and the temperature that fits them."""
    if not held:
        return Learnt(linear, 1.0, figures)
    scores, labels = linear.scores(features.all(held)), torch.from_numpy(labels_of(held))
    right = int((scores.argmax(1) == labels).sum())
    figures |= {"validation_accuracy": round(right / len(held), 4), "validation_episodes": len(held)}
    return Learnt(linear, best_temperature(scores, labels, -3), figures)


SOLVERS: dict[str, Callable[[AnyFeatures, RandomTraining, list[Packet], list[Packet], int], Learnt]] = {
    "ridge": _ridge,
    "rls": _rls,
    "adam": _adam,
}
