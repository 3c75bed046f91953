"""delay_motion: events of a camera go in; where something moves, and how, comes out as graded events."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.model_layer import check_input, load_layer, read_layer
from operators.tick_layer import Events, TickLayer, operators_of
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import DelayMotionSpec
from pipeline.packet import Format


class DelayMotionConfig(OperatorConfig):
    """Detectors of motion with heterogeneous delays: kernels over polarity, delay and place, and a logistic decision a place.

    The evidence of class c at a place (y, x) and tick t is bias_c plus the sum of kernel[c, p, d, ky, kx] over the events of
    polarity p, d ticks ago, at (y - ky + kh // 2, x - kx + kw // 2); what lies beyond the border is left out. Where the greatest
    evidence (the lowest class on a tie) has sigmoid(evidence) >= least, a graded event of class, y, x and that value is given.
    Each event adds slices of the kernels to future evidence; taps that are 0 in all classes cost nothing, so pruned kernels are
    faster; places and ticks that no tap reaches are not looked at.

    In: spikes or graded events (value times kernel) of shape (polarities, height, width), times in us, on no tick or on one that
    divides the layer's. Out: graded events of shape (classes, height, width), at most one a place and tick, stamped with the
    begin of the tick; an episode's output ends the greatest delay after its input.
    Memory: 4 classes + 1 bytes for each place and each tick of the greatest delay and one more: 128 x 128 places, 36 classes and
    21 delays take 50 MB, and a checkpoint as much. Cost: classes additions for each tap of the event's polarity.
    Errors: ValueError if the file is no model, the layer is not in it, or its size or tick does not fit the stream.

    Example: {type: delay_motion, model: models/motion.safetensors, layer: motion}

    Source: A. Grimaldi and L. U. Perrinet, "Learning heterogeneous delays in a layer of spiking neurons for fast motion
    detection", Biological Cybernetics 117 (2023).
    """

    type: Literal["delay_motion"] = "delay_motion"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the delay_motion layer in the model")

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "delay_motion")
        height, width = card.settings["size"]
        return checked(f"delay_motion layer {self.layer!r} of {self.model}", card.n_in, card.n_out, height, width, card.tick_us,
                       upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], TickLayer]:
        self.check(upstream)
        return make(load_layer(self.model, self.layer, "delay_motion"), upstream)


def checked(what: str, n_in: int, n_out: int, height: int, width: int, tick_us: int | None, upstream: Format) -> Format:
    """What comes out; ValueError if `upstream` does not fit."""
    check_input(what, n_in, tick_us, upstream)
    shape = (n_in // (height * width), height, width)
    if upstream.shape not in (shape, (n_in,)):
        raise ValueError(f"{what} takes a picture of shape {shape}, got {upstream}")
    out = (n_out // (height * width), height, width)
    return dataclasses.replace(upstream, kind="graded", shape=out, tick_us=tick_us, rate_hz=None)


def make(spec: DelayMotionSpec, upstream: Format) -> Callable[[State | None], TickLayer]:
    """What `prepare` returns, for a spec at hand instead of a model file."""
    checked("the delay_motion layer", spec.n_in, spec.n_out, *spec.size, spec.tick_us, upstream)
    return operators_of(Law(spec))


class Law:
    """The arrays of the spec as the kernel takes them."""

    graded, restless = True, False

    def __init__(self, spec: DelayMotionSpec) -> None:
        from operators.kernels.delay_motion import run_ticks

        self.run_ticks = run_ticks
        self.height, self.width = spec.size
        self.n_out = self.height * self.width  # events that a tick makes at most
        self.classes, self.tick_us, self.tail_ticks = spec.kernel.shape[0], spec.tick_us, spec.reach_ticks
        kernel = spec.kernel.transpose(1, 2, 3, 4, 0)  # (polarities, delays, kh, kw, classes)
        polarity, delay, down, right = np.nonzero(kernel.any(-1))
        self.taps = np.stack([delay, down - kernel.shape[2] // 2, right - kernel.shape[3] // 2], -1)
        self.weight = np.ascontiguousarray(kernel[polarity, delay, down, right])
        self.first = np.searchsorted(polarity, np.arange(kernel.shape[0] + 1))
        self.operations = self.weight.size // kernel.shape[0]
        self.bias, self.level = spec.bias, spec.level()

    def start(self) -> State:
        slots = self.tail_ticks + 1
        return {"coming": np.zeros((slots, self.n_out, self.classes), np.float32),
                "reached": np.zeros((slots, self.n_out), np.uint8), "due": np.full(2, -(2**62), np.int64)}

    def run(self, held: State, clock: np.ndarray, events: Events, room: Events) -> int:
        return int(self.run_ticks(held["coming"], held["reached"], held["due"], clock, self.taps, self.weight, self.first,
                                  self.bias, self.level, self.height, self.width, self.tick_us,
                                  events.t_us, events.unit, events.value, room.t_us, room.unit, room.value))
