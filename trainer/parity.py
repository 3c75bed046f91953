"""Parity: whether the runtime, or any other implementation, does what the trained modules do, spike for spike."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pipeline.layer_spec import (
    DelayMotionSpec,
    DelaySpec,
    LayerSpec,
    PoolSpec,
    ReadoutSpec,
    ShortcutSpec,
    TimeBinsSpec,
    TwoCompartmentSpec,
    spec_type,
)
from pipeline.model_file import Model
from pipeline.packet import Format, Packet, decisions, join
from trainer.data import cells
from trainer.event_network import EventNetwork, EventReadout, trains, whole_us
from trainer.layers import Layer, Readout, Shortcut, Spiking, build

RunLayer = Callable[[LayerSpec, Format, Packet], Packet]
GRADED = (DelayMotionSpec, TwoCompartmentSpec)  # layers that give out graded events
BORDER = 1e-5  # of the larger of 1 and the largest |v| of the neuron so far


@dataclass(frozen=True)
class Difference:
    """One spike that one side has and the other has not."""

    episode: int
    layer: str
    tick: int
    unit: int
    distance: float  # |v - threshold| of the module
    border: float  # what distance may be at most

    @property
    def borderline(self) -> bool:
        return self.distance < self.border


@dataclass
class Report:
    """What was compared and what differed."""

    episodes: int = 0
    spikes: dict[str, int] = field(default_factory=dict)  # of the reference, by layer
    differences: list[Difference] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)  # delays and graded layers whose events differ: no rounding excuses them
    scores: float = 0.0  # the greatest difference of a final decision's values, all layers fed the reference's input
    decided_otherwise: list[int] = field(default_factory=list)  # episodes that the network alone, end to end, gives another class

    @property
    def equal(self) -> bool:
        """Whether all spikes agree but for borderline ones."""
        return not self.moved and all(difference.borderline for difference in self.differences)

    def __str__(self) -> str:
        spikes = ", ".join(f"{name} {count}" for name, count in self.spikes.items())
        beyond = sum(not difference.borderline for difference in self.differences)
        text = (f"{self.episodes} episodes; spikes {spikes}; {len(self.differences) - beyond} borderline, {beyond} beyond; "
                f"{len(self.moved)} delays or graded layers differ; decisions differ by {self.scores:.2g} at most, "
                f"in class on {len(self.decided_otherwise)} episodes")
        listed = [f"  episode {d.episode} layer {d.layer} tick {d.tick} unit {d.unit}: |v - threshold| {d.distance:.3g}, "
                  f"border {d.border:.3g}" for d in self.differences]
        return "\n".join([text, *listed])


def runtime(spec: LayerSpec, upstream: Format, packet: Packet) -> Packet:
    """What the runtime's operator of a layer makes of a whole episode."""
    operator = importlib.import_module(f"operators.{spec_type(spec)}").make(spec, upstream)(None)
    return join(operator.process(packet), operator.finish())


def check(model: Model, episodes: Iterable[Packet], run: RunLayer = runtime) -> Report:
    """Compare `run` with the torch modules of `model` on episodes of the model's input, each layer fed the reference's input.

    A spike may differ where |v - threshold| < 1e-5 * max(1, the largest |v| of that neuron so far): it is reported, the
    reference's spike is imposed on that neuron, which puts its v where the reference's is, and counting goes on. Layers in
    continuous time fire the runtime's own spikes in training: theirs must be equal in all microseconds.
    """
    if any(getattr(spec, "tick_us", 0) is None for spec in model.layers.values() if not isinstance(spec, PoolSpec | ReadoutSpec)):
        return check_events(model, episodes, run)
    tick_us = next(tick_us for spec in model.layers.values() if (tick_us := getattr(spec, "tick_us", None)))
    layers = {name: build(spec, tick_us).eval() for name, spec in model.layers.items()}
    report = Report(spikes={name: 0 for name, layer in layers.items() if isinstance(layer, Spiking)})
    for episode in episodes:
        report.episodes += 1
        _check_episode(model, layers, dataclasses.replace(episode, last=True), tick_us, run, report)
    return report


@torch.no_grad()
def check_events(model: Model, episodes: Iterable[Packet], run: RunLayer) -> Report:
    """`check` of a model in continuous time, whose modules are those of an EventNetwork."""
    network = EventNetwork(model.layers)
    report = Report(spikes={name: 0 for name, spec in model.layers.items() if not isinstance(spec, DelaySpec | ReadoutSpec)})
    for episode in episodes:
        report.episodes += 1
        x, packet, format = trains([episode]), dataclasses.replace(episode, last=True), model.input
        for name, spec in model.layers.items():
            packet = dataclasses.replace(run(spec, format, packet), last=True)
            if isinstance(spec, ReadoutSpec):
                scores, after = network.readout(x)[0], format_after(spec, format)
                _compare_scores(scores, network.readout, packet, after, report, episode.episode)
                break
            x, format = network.layers[name](x), format_after(spec, format)
            if name in report.spikes:
                report.spikes[name] += packet.n
            if not (np.array_equal(whole_us(x.ms), packet.t_us) and np.array_equal(x.unit.numpy(), packet.unit)):
                report.moved.append(name)
    return report


@torch.no_grad()
def _check_episode(model: Model, layers: dict[str, Layer], episode: Packet, tick_us: int, run: RunLayer,
                   report: Report) -> None:
    packet, format = episode, model.input
    alone = binned(episode, tick_us, format.size)  # what the network makes of the episode by itself
    inputs: list[tuple[Packet, Tensor]] = []
    for name, layer in layers.items():
        spec = model.layers[name]
        inputs.append((packet, alone))
        if isinstance(layer, Shortcut):
            past, past_alone = layer.past(inputs)
            packet, alone = added(packet, past), layer(alone, past_alone)
            continue
        x = binned(packet, tick_us, spec.n_in)
        packet = dataclasses.replace(run(spec, format, packet), last=True)
        alone = layer(alone)
        if isinstance(layer, Readout):
            _compare_decisions(layer, x, alone, packet, format_after(spec, format), report, episode.episode)
            return
        reference = binned(packet, tick_us, spec.n_out)
        if isinstance(layer, Spiking):
            report.spikes[name] += packet.n
            report.differences += compare_spikes(layer, x, reference, episode.episode, name)
        elif not near(layer(x), reference, getattr(layer, "tolerance", 0.0)):
            report.moved.append(name)
        format = format_after(spec, format)


def added(packet: Packet, past: Packet) -> Packet:
    """The events of both, those of one time in order of their units and first those of `past`, as residual gives them out."""
    t_us, unit = (np.concatenate(columns) for columns in ((past.t_us, packet.t_us), (past.unit, packet.unit)))
    order = np.lexsort((unit, t_us))
    value = None if packet.value is None or past.value is None else np.concatenate([past.value, packet.value])[order]
    begin_us, end_us = min(packet.begin_us, past.begin_us), max(packet.end_us, past.end_us)
    return dataclasses.replace(packet, begin_us=begin_us, end_us=end_us, t_us=t_us[order], unit=unit[order], value=value)


def near(x: Tensor, other: Tensor, tolerance: float) -> bool:
    """Whether both have the same shape, and no two values of theirs are further apart than `tolerance`."""
    return x.shape == other.shape and torch.allclose(x, other, rtol=0, atol=tolerance)


@torch.no_grad()
def compare_spikes(layer: Spiking, x: Tensor, reference: Tensor, episode: int, name: str) -> list[Difference]:
    """Where the module, kept on the reference's course, would have spiked otherwise. x (T, 1, n_in), reference (T + reach, 1,
    n_out)."""
    if torch.equal(layer(x), reference):
        return []
    found: list[Difference] = []
    largest = torch.zeros(reference.shape[2])
    for tick, ((v, threshold), spiked) in enumerate(zip(layer.course(x, reference), reference[:, 0] > 0, strict=True)):
        largest = torch.maximum(largest, v.abs())
        for unit in ((v >= threshold) != spiked).nonzero()[:, 0].tolist():
            distance = float((v[unit] - threshold[unit]).abs())
            found.append(Difference(episode, name, tick, unit, distance, BORDER * max(1.0, float(largest[unit]))))
    return found


def _compare_decisions(layer: Readout, x: Tensor, alone: Tensor, packet: Packet, format: Format, report: Report,
                       episode: int) -> None:
    _compare_scores(layer(x)[-1, 0], layer, packet, format, report, episode, alone[-1, 0])


def _compare_scores(scores: Tensor, layer: Readout | EventReadout, packet: Packet, format: Format, report: Report, episode: int,
                    alone: Tensor | None = None) -> None:
    """scores (classes,): of the layer fed the reference's input; alone: of the network end to end, if that is another."""
    final = list(decisions(packet, format))
    if not final:
        return
    own = torch.softmax(scores.double() / layer.temperature, dim=0)
    report.scores = max(report.scores, float((own - torch.from_numpy(final[-1].scores.astype(np.float64))).abs().max()))
    if int((scores if alone is None else alone).argmax()) != final[-1].index:
        report.decided_otherwise.append(episode)


def format_after(spec: LayerSpec, format: Format) -> Format:
    """What a layer gives out."""
    if isinstance(spec, ReadoutSpec):
        return Format("decisions", (spec.n_out,), names=spec.names)
    if isinstance(spec, DelaySpec | ShortcutSpec):
        return format
    if isinstance(spec, TimeBinsSpec):
        return dataclasses.replace(format, shape=spec.shape_out, rate_hz=None)
    if isinstance(spec, PoolSpec):
        return dataclasses.replace(format, kind="graded" if spec.how == "average" else format.kind, shape=spec.shape_out)
    kind: Literal["spikes", "graded"] = "graded" if isinstance(spec, GRADED) else "spikes"
    shape = getattr(spec, "shape_out", (spec.n_out,))
    return dataclasses.replace(format, kind=kind, shape=shape, tick_us=spec.tick_us, rate_hz=None)


def binned(packet: Packet, tick_us: int, n: int) -> Tensor:
    """(T, 1, n) counts (graded events: sums) a tick of one whole episode."""
    cell, ticks = cells(packet, tick_us, n)
    counts = np.bincount(cell, packet.value, ticks * n)
    return torch.from_numpy(counts.astype(np.float32).reshape(ticks, 1, n))
