"""Training by EventProp: a recipe in, a model out whose spikes were the runtime's, in continuous time, from the first step on.

Sources: Wunderlich and Pehl 2021, "Event-based backpropagation can compute exact gradients for spiking neural networks";
Nowotny, Turner, Knight 2022, "Loss shaping enhances exact gradient learning with EventProp" (what a silent neuron is given);
Meszaros, Knight, Nowotny 2025, "Efficient event-based delay learning in spiking neural networks".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.layer_spec import CubaLIFSpec, LayerSpec, ReadoutSpec
from pipeline.model_file import Model
from pipeline.packet import Format, Packet
from trainer.calibration import best_temperature
from trainer.data import Batches
from trainer.event_network import EventNetwork, Spikes, event_layer, trains
from trainer.fit import Fitted, Learner, fit
from trainer.recipe import EventTraining, Recipe
from trainer.recipe_layers import CubaLIFLayer, DelayLayer, Place, ReadoutLayer
from trainer.surrogate import gather, tried


def train(recipe: Recipe, training: EventTraining, resume: bool) -> Model:
    """Train as the recipe says; ValueError when it cannot."""
    data = gather(recipe, training, EventBatches)
    network = start(recipe, training, data.format, data.first)
    fitted = fit(network, training, data.train, data.validation, recipe.export.folder, resume, EventLearner)
    held = data.validation or data.train
    if training.temperature is not None or data.validation is not None:
        network.readout.temperature.fill_(training.temperature or fit_temperature(network, held))
    metrics = figures(fitted, held, "validation" if data.validation else "training")
    if recipe.test is not None:
        tested = figures(fitted, tried(recipe, training, EventBatches), "test")
        metrics |= {key: tested[key] for key in ("test_accuracy", "test_episodes")}
    return Model(data.format, network.specs(), f"{recipe.train.type}, {data.samples} episodes", metrics)


class EventBatch(NamedTuple):
    """B samples as spike times. ticks (B,): the readout's, until each sample's end; labels (B,)."""

    x: Spikes
    ticks: Tensor
    labels: Tensor


class EventBatches(Batches):
    """Batches whose samples keep their microseconds."""

    def _encoded(self, episode: Packet) -> Packet:
        out = self._chain.push(episode)
        if out.value is not None:
            raise ValueError("method eventprop learns from the times of spikes; the operators give graded events")
        return out

    def _collated(self, samples: list[Packet]) -> EventBatch:
        ticks = torch.tensor([-(-sample.end_us // self._tick_us) for sample in samples])
        return EventBatch(trains(samples), ticks, torch.tensor([sample.label for sample in samples]))


class EventLearner(Learner):
    """Trains an EventNetwork. No exact gradient makes a silent neuron fire: one that fires less than least_hz in a batch, or more
    than most_hz, has `nudge` deviations of its layer's weights added to, or taken off, its own."""

    network: EventNetwork
    training_options: EventTraining

    def loss(self, outcome: Any, batch: Any) -> Tensor:
        self._hz = outcome.hz
        return super().loss(outcome, batch)

    @torch.no_grad()
    def on_train_batch_end(self, *_: Any) -> None:
        super().on_train_batch_end()
        options = self.training_options
        for name, hz in self._hz.items():
            weight: Any = self.network.layers[name].weight
            way = (hz < options.least_hz).float() - (hz > options.most_hz).float()
            weight += options.nudge * weight.std() * way


def start(recipe: Recipe, training: EventTraining, format: Format, sample: Any) -> EventNetwork:
    """The network before training. A layer's weights are drawn so that the membrane of a neuron that never fired would have a
    mean and a deviation of about `gain` thresholds on `sample`: by the rates of its inputs, as if they were independent."""
    rng = np.random.default_rng([training.seed, 0xB00])
    specs: dict[str, LayerSpec] = {}
    most_ms: dict[str, float] = {}
    x, n = sample.x, format.size
    for layer in recipe.model.layers:
        if not isinstance(layer, CubaLIFLayer | DelayLayer | ReadoutLayer):
            raise ValueError(f"method eventprop trains cuba_lif, delay and readout layers, {layer.name!r} is {layer.type}")
        ms = float((x.end_us - x.begin_us).sum()) / 1000
        rates = np.bincount(x.unit.numpy(), minlength=n) / ms  # spikes a ms
        if isinstance(layer, CubaLIFLayer):
            specs[layer.name] = begun(layer, rates, rng)
        else:
            tick_us = 1 if isinstance(layer, DelayLayer) else recipe.model.tick_us
            size = max(1e-3, float(np.sqrt(rates.sum() * layer.tau_ms / 2))) if isinstance(layer, ReadoutLayer) else 1.0
            spec, options = layer.begin(Place(n, size, rng, tick_us, format.names, training.seed))
            if isinstance(spec, ReadoutSpec) and spec.score == "max_membrane" and spec.weight is not None:
                spec = dataclasses.replace(spec, weight=np.abs(spec.weight))  # a class that never rises above 0 has no gradient
            specs[layer.name] = spec
            if options.get("learn"):
                most_ms[layer.name] = layer.max_ms  # type: ignore[union-attr]
        if not isinstance(layer, ReadoutLayer):
            with torch.no_grad():
                x = event_layer(layer.name, specs[layer.name], None)(x)
            n = specs[layer.name].n_out
    return EventNetwork(specs, most_ms)


def begun(layer: CubaLIFLayer, rates: np.ndarray, rng: np.random.Generator) -> CubaLIFSpec:
    """Weights m + s N(0, 1): the sum over inputs of rate m tau tau_syn is gain thresholds, that of rate s^2 (the integral over
    time of a spike's squared effect) gain^2 thresholds^2."""
    synaptic, membrane, goal = 1 / layer.tau_syn_ms, 1 / layer.tau_ms, layer.gain * layer.threshold
    squared = 1 / (2 * synaptic * membrane * (synaptic + membrane))  # of (exp(-t m) - exp(-t s)) / (s - m)
    total = max(float(rates.sum()), 1e-9)
    mean, deviation = goal * synaptic * membrane / total, goal / np.sqrt(total * squared)
    weight = mean + deviation * rng.normal(size=(rates.size, layer.units))
    return CubaLIFSpec(weight, np.array(layer.tau_ms), np.array(layer.tau_syn_ms), np.array(layer.threshold), None, layer.reset)


@torch.no_grad()
def fit_temperature(network: EventNetwork, batches: Iterable[EventBatch]) -> float:
    """The temperature of least cross-entropy over the final decisions."""
    network.eval()
    scores = [(network(batch.x, batch.ticks).final(), batch.labels) for batch in batches]
    return best_temperature(torch.cat([score for score, _ in scores]), torch.cat([labels for _, labels in scores]))


@torch.no_grad()
def figures(fitted: Fitted, batches: Iterable[EventBatch], kind: str) -> dict[str, Any]:
    """What the network reaches: accuracy, and spikes a neuron and second of every spiking layer."""
    network = fitted.network.eval()
    right, count = 0, 0
    hz: dict[str, float] = {}
    for batch in batches:
        outcome, size = network(batch.x, batch.ticks), batch.labels.shape[0]
        right, count = right + int((outcome.final().argmax(1) == batch.labels).sum()), count + size
        for name, rate in outcome.rates().items():
            hz[name] = hz.get(name, 0.0) + float(rate.mean()) * size
    return {f"{kind}_accuracy": round(right / count, 4), f"{kind}_episodes": count, "epoch": fitted.epoch,
            "epochs": fitted.epochs,
            "spikes_per_neuron_and_second": {name: round(total / count, 4) for name, total in hz.items()}}
