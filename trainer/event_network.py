"""A network of continuous time: spike times in, class scores out, with exact gradients of weights, delays and spike times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from operators.cuba_lif import make
from operators.kernels.cuba_lif_adjoint import adjoint
from pipeline.layer_spec import CubaLIFSpec, DelaySpec, LayerSpec, ReadoutSpec, decay
from pipeline.packet import Format, Packet
from trainer.layers.parts import array, tensor

LEAST_SLOPE = 1e-3  # thresholds a tau_syn: a slower crossing counts as that fast, as its time is all but undefined


class Spikes(NamedTuple):
    """The spikes of B samples, one behind the other, each in order of (time, unit)."""

    ms: Tensor  # (N,) float64
    unit: Tensor  # (N,) int64
    first: Tensor  # (B + 1,) int64: where each sample begins
    begin_us: Tensor  # (B,) int64
    end_us: Tensor  # (B,) int64


@dataclass(frozen=True)
class EventOutcome:
    """What a batch made of a network: scores (B, classes) at each sample's end, and every layer's spikes a neuron and second."""

    scores: Tensor
    ends: Tensor  # (B,): the ticks of the readout until each sample's end
    hz: dict[str, Tensor]

    def final(self) -> Tensor:
        return self.scores

    def rates(self) -> dict[str, Tensor]:
        return self.hz


class EventNetwork(nn.Module):
    """cuba_lif (event mode), delay and readout layers, one behind the other; the last, and only the last, is a readout.

    Spikes are computed by the runtime's own operators, at the microseconds at which it fires them; gradients are those of the
    continuous time that the microseconds stand for. `most_ms`: the greatest delay of each delay layer that learns.
    """

    def __init__(self, layers: Mapping[str, LayerSpec], most_ms: Mapping[str, float] | None = None) -> None:
        super().__init__()
        most_ms = most_ms or {}
        self.layers = nn.ModuleDict({name: event_layer(name, spec, most_ms.get(name)) for name, spec in layers.items()})
        kinds = [type(layer) for layer in self.layers.values()]
        if not kinds or kinds[-1] is not EventReadout or EventReadout in kinds[:-1]:
            raise ValueError("a network ends in one readout: the last layer must be a readout, and no other")

    def forward(self, x: Spikes, ticks: Tensor) -> EventOutcome:
        hz = {}
        for name, layer in list(self.layers.items())[:-1]:
            x = layer(x)
            if isinstance(layer, EventCubaLIF):
                seconds = (x.end_us - x.begin_us).sum().double() / 1e6
                hz[name] = torch.bincount(x.unit, minlength=layer.weight.shape[1]).double() / seconds
        scores = self.readout(x)
        return EventOutcome(scores, -(-x.end_us // self.readout.tick_us), hz)

    @property
    def readout(self) -> EventReadout:
        return list(self.layers.values())[-1]  # type: ignore[return-value]

    def delays(self) -> list[EventDelay]:
        return [layer for layer in self.layers.values() if isinstance(layer, EventDelay)]

    def specs(self) -> dict[str, LayerSpec]:
        """The layers as they are now, delays in whole microseconds."""
        return {name: layer.spec() for name, layer in self.layers.items()}  # type: ignore[operator]


class EventDelay(nn.Module):
    """Axonal delays: a spike of unit i leaves delay_ms[i] later. Without `most_ms` they rest. That a sample ends later by the
    greatest of them is no concern of the gradient."""

    def __init__(self, spec: DelaySpec, most_ms: float | None) -> None:
        super().__init__()
        self.most_ms = float(spec.delay_us.max()) / 1000 if most_ms is None else most_ms
        self.delay_ms = nn.Parameter(torch.tensor(spec.delay_us / 1000), requires_grad=most_ms is not None)

    def forward(self, x: Spikes) -> Spikes:
        us = self.rounded()
        delay = self.delay_ms + (us / 1000 - self.delay_ms).detach()  # the value of whole microseconds, the slope of the delay
        ms = x.ms + delay[x.unit]
        sample = torch.repeat_interleave(torch.arange(x.first.shape[0] - 1), x.first.diff())
        order = torch.from_numpy(np.lexsort((x.unit.numpy(), whole_us(ms), sample.numpy())))
        return Spikes(ms[order], x.unit[order], x.first, x.begin_us, x.end_us + us.max())

    def rounded(self) -> Tensor:
        return (self.delay_ms.detach().clamp(0, self.most_ms) * 1000).round().long()

    @torch.no_grad()
    def clamp(self) -> None:
        self.delay_ms.clamp_(0, self.most_ms)

    def spec(self) -> DelaySpec:
        return DelaySpec(self.rounded().numpy())


class EventCubaLIF(nn.Module):
    """CubaLIFSpec in event mode; its time constants and thresholds are given, its weights learnt."""

    def __init__(self, spec: CubaLIFSpec) -> None:
        super().__init__()
        self._like = spec
        self.weight = nn.Parameter(tensor(spec.weight))
        rates = 1 / np.stack([spec.tau_syn_ms, spec.tau_ms]).astype(np.float64)
        self.rates = np.ascontiguousarray(rates[:, :1]) if (rates == rates[:, :1]).all() else rates
        self.threshold = spec.threshold.astype(np.float64)

    def forward(self, x: Spikes) -> Spikes:
        ms, unit, first = _Fire.apply(x.ms, self.weight, self, x)  # type: ignore[no-untyped-call]
        return Spikes(ms, unit, first, x.begin_us, x.end_us)

    def run(self, x: Spikes) -> tuple[Tensor, Tensor, Tensor]:
        """The spikes that the runtime's operator fires: ms, unit and where each sample begins."""
        operator_of = make(self.spec(), Format("spikes", (self.weight.shape[0],)))
        t_us, unit, first = whole_us(x.ms), x.unit.numpy().astype(np.uint32), x.first.tolist()
        parts = []
        for a, b, begin_us, end_us in zip(first, first[1:], x.begin_us.tolist(), x.end_us.tolist(), strict=False):
            operator = operator_of(None)
            parts += [operator.process(Packet(begin_us, end_us, t_us[a:b], unit[a:b])), operator.finish()]
        counts = [a.n + b.n for a, b in zip(parts[::2], parts[1::2], strict=True)]
        ms = np.concatenate([part.t_us for part in parts]) / 1000
        units = np.concatenate([part.unit for part in parts]).astype(np.int64)
        return torch.from_numpy(ms), torch.from_numpy(units), torch.tensor([0, *np.cumsum(counts).tolist()])

    def spec(self) -> CubaLIFSpec:
        like = self._like
        return CubaLIFSpec(array(self.weight), like.tau_ms, like.tau_syn_ms, like.threshold, None, like.reset)


class _Fire(torch.autograd.Function):
    """The spikes of a layer; backward by EventProp."""

    @staticmethod
    def forward(ctx: Any, ms: Tensor, weight: Tensor, layer: EventCubaLIF, x: Spikes) -> tuple[Tensor, Tensor, Tensor]:
        out_ms, unit, first = layer.run(x._replace(ms=ms.detach()))
        ctx.save_for_backward(ms, weight, x.unit, x.first, out_ms, unit, first)
        ctx.layer = layer
        ctx.mark_non_differentiable(unit, first)
        return out_ms, unit, first

    @staticmethod
    def backward(ctx: Any, slope: Tensor, *_: Any) -> tuple[Tensor, Tensor, None, None]:
        ms, weight, unit_in, first_in, out_ms, unit, first = (saved.numpy() for saved in ctx.saved_tensors)
        layer, n_out = ctx.layer, weight.shape[1]
        grad_in, grad_weight = np.zeros(ms.shape[0]), np.zeros(weight.shape)
        adjoint(first_in, ms, unit_in, first, out_ms, unit, slope.contiguous().numpy(), weight.astype(np.float64),
                layer.threshold, layer.rates, LEAST_SLOPE, np.empty(out_ms.shape[0]), grad_in, grad_weight, np.empty(3 * n_out))
        return torch.from_numpy(grad_in), torch.from_numpy(grad_weight.astype(np.float32)), None, None


class EventReadout(nn.Module):
    """A membrane or max_membrane readout as ReadoutSpec defines it, on ticks; to the gradient spikes keep their times."""

    temperature: Tensor
    tau_ms: Tensor

    def __init__(self, spec: ReadoutSpec) -> None:
        super().__init__()
        assert spec.weight is not None
        assert spec.tau_ms is not None
        assert spec.tick_us is not None
        self.score, self.names, self.tick_us = spec.score, spec.names, spec.tick_us
        self.weight = nn.Parameter(tensor(spec.weight))
        self.register_buffer("tau_ms", tensor(spec.tau_ms))
        self.register_buffer("temperature", torch.tensor(float(spec.temperature), dtype=torch.float64))

    def forward(self, x: Spikes) -> Tensor:
        """(B, classes): the scores at each sample's end, sum of w exp(-(t - t_k) / tau) over the spikes k up to t; t is the last
        tick, or that of the greatest v, which moves with the last spike in it."""
        tick = self.tick_us / 1000
        us = torch.from_numpy(whole_us(x.ms))
        sample = torch.repeat_interleave(torch.arange(x.first.shape[0] - 1), x.first.diff())
        ticks = us // self.tick_us
        ms = x.ms + (ticks * tick - x.ms).detach()
        ended = -(-x.end_us // self.tick_us) - 1
        at = ended[:, None].expand(-1, len(self.names))
        now = at.double() * tick
        if self.score == "max_membrane":
            at = self._greatest(x, sample, ticks, ended)
            key = sample * (int(ended.max()) + 2) + ticks  # rises from spike to spike
            wanted = torch.arange(at.shape[0])[:, None] * (int(ended.max()) + 2) + at
            latest = (torch.searchsorted(key, wanted, right=True) - 1).clamp(min=0)
            moves = key[latest] == wanted if key.numel() else torch.zeros_like(at, dtype=torch.bool)
            now = torch.where(moves, ms[latest], at.double() * tick) if key.numel() else at.double() * tick
        share = torch.exp((ms[:, None] - now[sample]) / self.tau_ms.double()) * (ticks[:, None] <= at[sample])
        return torch.zeros(at.shape, dtype=torch.float64).index_add(0, sample, self.weight.double()[x.unit] * share)

    @torch.no_grad()
    def _greatest(self, x: Spikes, sample: Tensor, ticks: Tensor, ended: Tensor) -> Tensor:
        """(B, classes): the first tick at which v is greatest."""
        begun = x.begin_us // self.tick_us
        length = int((ended - begun).max()) + 1
        added = torch.zeros(length * begun.shape[0], len(self.names))
        added.index_add_(0, (ticks - begun[sample]) * begun.shape[0] + sample, self.weight[x.unit])
        d = torch.from_numpy(decay(self.tau_ms.numpy(), self.tick_us))
        v, course = torch.zeros(begun.shape[0], len(self.names)), []
        for tick in added.reshape(length, begun.shape[0], -1):
            v = d * v + tick
            course.append(v)
        late = torch.arange(length)[:, None] > (ended - begun)[None, :]
        return torch.stack(course).masked_fill(late[:, :, None], -torch.inf).argmax(0) + begun[:, None]

    def spec(self) -> ReadoutSpec:
        return ReadoutSpec(self.score, self.names, array(self.weight), None, array(self.tau_ms), self.tick_us,
                           float(self.temperature))


EventLayer = EventDelay | EventCubaLIF | EventReadout


def event_layer(name: str, spec: LayerSpec, most_ms: float | None) -> EventLayer:
    """The module of a layer; ValueError for one that has no exact gradient."""
    if isinstance(spec, DelaySpec):
        return EventDelay(spec, most_ms)
    if isinstance(spec, CubaLIFSpec) and spec.tick_us is None:
        return EventCubaLIF(spec)
    if isinstance(spec, ReadoutSpec) and spec.score in ("membrane", "max_membrane") and spec.weight is not None:
        return EventReadout(spec)
    raise ValueError(f"method eventprop trains cuba_lif layers in continuous time, delays, and a membrane or max_membrane "
                     f"readout with weights; layer {name!r} is none of them: use method surrogate")


def trains(packets: Sequence[Packet]) -> Spikes:
    """The spikes of whole episodes, one packet each."""
    empty = [np.empty(0, np.int64)]
    ms = np.concatenate([*empty, *(packet.t_us for packet in packets)]) / 1000
    unit = np.concatenate([*empty, *(packet.unit.astype(np.int64) for packet in packets)])
    first = np.cumsum([0, *(packet.n for packet in packets)])
    begin_us, end_us = (torch.tensor([getattr(packet, name) for packet in packets]) for name in ("begin_us", "end_us"))
    return Spikes(torch.from_numpy(ms), torch.from_numpy(unit), torch.from_numpy(first), begin_us, end_us)


def whole_us(ms: Tensor) -> np.ndarray:
    """(N,) int64: the microseconds that times stand for."""
    return np.rint(ms.detach().numpy() * 1000).astype(np.int64)
