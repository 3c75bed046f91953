"""readout: spikes go in; decisions come out: every so often, and at the end of the episode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from operators.model_layer import check_input, load_layer, read_layer
from operators.open_tick import OpenTick
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import ReadoutSpec
from pipeline.packet import NO_TIMES, NO_UNITS, NO_VALUES, Format, Packet

GREATEST_BINS = 100_000  # of a window
NEVER_US = 2**62  # when a decision is due that is not due
ROOM = 64  # decisions that the output buffer takes
KINDS = {"spike_count": 0, "membrane": 1, "softmax_sum": 2, "max_membrane": 3}  # as the kernel numbers them


class ReadoutConfig(OperatorConfig):
    """Class scores from spikes, and decisions from them: values are softmax(score / temperature), the greatest is the class.

    The score is what the model's layer says:

        spike_count   weight^T counts + bias, the counts being the spikes of each input unit so far; in a window, inside it
        membrane      v after the last closed tick, v <- d v + bias + sum of weight[i] over the tick's spikes i,
                      d = exp(-tick / tau); in a window the mean of v over the window's ticks
        max_membrane  the greatest v of all ticks so far, or of the window's ticks; the same v
        softmax_sum   the sum of softmax(v) over all ticks so far, or over the window's ticks; the same v

    A decision over the data up to E is C events stamped E - 1 us, one a class in order. It is given at every multiple of
    every_ms of stream time, and at the end of the episode, where a tick that is still open counts; not twice at one time, and
    never without evidence: an input event since the start, or inside the window. The first whose confidence is at
    least exit_at is final: the readout is silent until the episode ends. With rearm it starts from nothing instead.
    A window is made of bins of every_ms; at the end of the episode the open bin stands for a whole one.

    In: spikes or graded events (value times weight), n_in units of any shape, on no tick or on one that divides the layer's.
    Out: decisions of shape (classes,) on no tick; the output clock stays 1 us behind the input's until a decision is given.
    Errors: ValueError if the file is no model, the layer is not in it, its size or tick does not fit, or the labels of the stream
    name other classes than the model or name them in another order.

    Example: {type: readout, model: models/nmnist.safetensors, layer: out, every_ms: 50, exit_at: 0.9}

    Source of softmax_sum: I. Hammouamri, I. Khalfaoui-Hassani, T. Masquelier, Learning delays in spiking neural networks
    using dilated convolutions with learnable spacings (2024).
    """

    type: Literal["readout"] = "readout"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the readout layer in the model")
    every_ms: float | None = Field(None, ge=0.001, description="time between decisions; without it one at the end of the episode")
    window_ms: float | None = Field(None, gt=0, description="the past that counts, a whole number of every_ms; default: all")
    exit_at: float | None = Field(None, gt=0, le=1, description="confidence from which on a decision is final")
    rearm: bool = Field(False, description="after a final decision start from nothing instead of being silent; needs exit_at")
    temperature: float | None = Field(None, ge=1e-6, description="divides the scores before the softmax, in place of the model's")

    @model_validator(mode="after")
    def _options_fit(self) -> ReadoutConfig:
        if self.window_ms is not None and (self.every_us is None or self.window_us % self.every_us):
            raise ValueError(f"window_ms must be a whole number of every_ms, got {self.window_ms:g} and every_ms "
                             f"{'not given' if self.every_ms is None else format(self.every_ms, 'g')}")
        if (bins := self.window_us // (self.every_us or 1)) > GREATEST_BINS:
            raise ValueError(f"window_ms may hold {GREATEST_BINS} times every_ms at most, got {bins} times")
        if self.rearm and self.exit_at is None:
            raise ValueError("rearm starts anew after a final decision, and without exit_at none is: give exit_at")
        return self

    @property
    def every_us(self) -> int | None:
        return None if self.every_ms is None else round(self.every_ms * 1000)

    @property
    def window_us(self) -> int:
        return 0 if self.window_ms is None else round(self.window_ms * 1000)

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "readout")
        what = f"readout layer {self.layer!r} of {self.model}"
        check_input(what, card.n_in, card.tick_us, upstream)
        names = tuple(card.settings["names"])
        check_names(what, names, upstream.names)
        return Format("decisions", (card.n_out,), names=names, exit_at=self.exit_at)

    def prepare(self, upstream: Format) -> Callable[[State | None], Readout]:
        self.check(upstream)
        spec = load_layer(self.model, self.layer, "readout")
        return make(spec, upstream, every_us=self.every_us, window_us=self.window_us, exit_at=self.exit_at, rearm=self.rearm,
                    temperature=self.temperature)


def check_names(what: str, names: tuple[str, ...], labels: tuple[str, ...]) -> None:
    """Raise ValueError if the stream's labels refer to other classes than the model's, or number them in another way."""
    for label in labels:
        if label not in names:
            raise ValueError(f"{what} does not know the class {label!r} of the stream; it knows {', '.join(names)}")
    if labels != names[: len(labels)]:
        raise ValueError(f"{what} numbers the classes {', '.join(names)}, the stream {', '.join(labels)}; "
                         "number them alike (the option classes of dvs_dataset does)")


def make(spec: ReadoutSpec, upstream: Format, *, every_us: int | None = None, window_us: int = 0, exit_at: float | None = None,
         rearm: bool = False, temperature: float | None = None) -> Callable[[State | None], Readout]:
    """What `prepare` returns, for a spec at hand instead of a model file. window_us: a multiple of every_us, or 0 for none."""
    check_input("the readout", spec.n_in, spec.tick_us, upstream)
    check_names("the readout", spec.names, upstream.names)
    law = Law(spec, every_us, window_us, exit_at, rearm, spec.temperature if temperature is None else temperature)
    graded = upstream.kind == "graded"
    return lambda state: Readout(law, graded, state)


class Law:
    """What all operators of one readout share: the spec and the options as the kernel takes them. Nothing of it ever changes."""

    def __init__(self, spec: ReadoutSpec, every_us: int | None, window_us: int, exit_at: float | None, rearm: bool,
                 temperature: float) -> None:
        from operators.kernels.readout import readout

        self.kernel = readout
        self.kind, self.classes = KINDS[spec.score], spec.n_out
        self.tick_us = spec.tick_us or 1
        self.every_us = every_us or NEVER_US
        self.bins = window_us // self.every_us if window_us else 1
        self.width = spec.n_in if spec.score == "spike_count" else spec.n_out
        self.weight = np.empty((0, 0), np.float32) if spec.weight is None else spec.weight
        self.bias = np.zeros(spec.n_out, np.float32) if spec.bias is None else spec.bias
        self.decay = np.zeros(spec.n_out, np.float32) if spec.tau_ms is None else spec.decay()
        confident = np.float32(np.inf if exit_at is None else exit_at)
        self.rule = (int(window_us > 0), int(rearm), np.float32(temperature), confident)
        self.units = np.tile(np.arange(spec.n_out, dtype=np.uint32), ROOM)
        self.units.flags.writeable = False


class Readout:
    """The readout at work on one episode."""

    def __init__(self, law: Law, graded: bool, state: State | None) -> None:
        self._law = law
        self._open = OpenTick(graded, state)
        self._v = np.zeros(law.classes, np.float32)
        self._sums = np.zeros((law.bins, law.width), np.float64)
        self._evidence, self._ticks = np.zeros(law.bins, np.int64), np.zeros(law.bins, np.int64)
        self._marks = np.zeros(6, np.int64)
        self._started, self._end_us, self._out_us, self._given = 0, 0, 0, 0
        if state is not None:
            for key, array in self._arrays().items():
                array[...] = state[key]
            self._started, self._end_us, self._out_us, self._given = state["clock"].tolist()
        self._read_marks()
        self._scratch = np.empty((2, law.classes), np.float32)
        self._out_t_us, self._out_value = np.empty(ROOM * law.classes, np.int64), np.empty(ROOM * law.classes, np.float32)

    def process(self, packet: Packet) -> Packet:
        if not self._started:
            self._start(packet.begin_us)
        self._end_us = end_us = packet.end_us
        begin_us = self._out_us
        if self._silent:
            self._out_us = end_us
            return Packet(begin_us, end_us, NO_TIMES, NO_UNITS, NO_VALUES)
        if packet.t_us.shape[0]:
            self._open.add(packet)
        if end_us >= self._next_us or (self._open.t_us and end_us >= self._usable_us):
            return self._decide(closing=0)
        if end_us > begin_us:
            self._out_us = end_us - 1
        return Packet(begin_us, self._out_us, NO_TIMES, NO_UNITS, NO_VALUES)

    def finish(self) -> Packet:
        return self._decide(closing=1)

    def snapshot(self) -> State:
        clock = np.array([self._started, self._end_us, self._out_us, self._given], np.int64)
        return {"clock": clock, **{key: array.copy() for key, array in self._arrays().items()}, **self._open.snapshot()}

    def report(self) -> dict[str, Any]:
        return {"decisions": self._given}

    def _arrays(self) -> State:
        """What the kernel edits, by its name in a snapshot."""
        return {"v": self._v, "sums": self._sums, "evidence": self._evidence, "ticks": self._ticks, "marks": self._marks}

    def _start(self, begin_us: int) -> None:
        """Ticks and decisions lie on multiples of their length from stream time 0, wherever the episode begins."""
        law = self._law
        self._started = 1
        self._end_us = self._out_us = begin_us
        first_us = NEVER_US if law.every_us == NEVER_US else (begin_us // law.every_us + 1) * law.every_us
        self._marks[:] = [0, first_us, 0, begin_us, 0, begin_us // law.tick_us]
        self._read_marks()

    def _read_marks(self) -> None:
        _, self._next_us, _, self._decided_us, self._silent, tick = self._marks.tolist()
        # Held events are used as soon as they can be, so that little is left to do when a decision is due.
        self._usable_us = 0 if self._law.kind == KINDS["spike_count"] else (tick + 1) * self._law.tick_us

    def _decide(self, closing: int) -> Packet:
        """The output up to the end of the input so far.

        It ends 1 us early unless a decision was given there: the one that the end of the episode brings is stamped in it.
        """
        begin_us, end_us = self._out_us, self._end_us
        t_us, value = self._run(end_us, closing)
        open_end = not closing and not self._silent and self._decided_us != end_us
        self._out_us = max(begin_us, end_us - 1) if open_end else end_us
        n = t_us.shape[0]
        units = self._law.units
        unit = units[:n] if n <= units.shape[0] else np.resize(units, n)
        return Packet(begin_us, self._out_us, t_us, unit, value)

    def _run(self, end_us: int, closing: int) -> tuple[np.ndarray, np.ndarray]:
        """The t_us and value of the decisions due up to end_us."""
        law = self._law
        events = self._open.joined()
        self._marks[0] = 0
        t_us, value = [NO_TIMES], [NO_VALUES]
        n = ROOM
        while n == ROOM:
            n = law.kernel(law.kind, self._v, law.decay, self._sums, self._evidence, self._ticks, law.weight, law.bias,
                           self._marks, *events, law.tick_us, end_us, law.every_us, closing, *law.rule, self._scratch,
                           self._out_t_us, self._out_value)
            if n:
                t_us.append(self._out_t_us[: n * law.classes].copy())
                value.append(self._out_value[: n * law.classes].copy())
                self._given += n
        self._open.drop(int(self._marks[0]))
        self._read_marks()
        return (np.concatenate(t_us), np.concatenate(value)) if len(t_us) > 2 else (t_us[-1], value[-1])
