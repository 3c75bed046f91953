"""time_bins: events go in; the same events come out, of units that also say in which part of the episode they came."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from operators.model_layer import check_input, load_layer, read_layer
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import TimeBinsSpec
from pipeline.packet import NO_VALUES, Format, Packet


class TimeBinsConfig(OperatorConfig):
    """Tells the bins of an episode apart, so that what comes behind can weigh when a unit fired, not only how often.

        unit -> bin * n + unit,  bin = min(floor((t - begin) / bin), bins - 1),  begin being that of the episode

    The last bin takes all that is later. A spike_count readout behind it scores the counts of all bins, one behind the other,
    as events come in: nothing is held back, and a decision may be asked for at any time.

    In: spikes or graded events (values go along), n units of any shape, times in us. Out: the same events, interval and tick, of
    shape (bins, n), sorted by (t_us, unit). Errors: ValueError if the layer of the model is for another number of units.

    Example: {type: time_bins, bin_ms: 5, bins: 5}
    Example: {type: time_bins, model: models/mnist_bins.safetensors, layer: bins}

    Source: counts of several windows as features of a random network, a common readout of reservoirs; here after RanSNN (2025,
    arXiv 2505.13622), which takes one count.
    """

    type: Literal["time_bins"] = "time_bins"
    bin_ms: float | None = Field(None, ge=0.001, description="length of a bin; needs bins")
    bins: int | None = Field(None, ge=1, description="number of bins; the last one never ends")
    model: FilePath | None = Field(None, description="model file (.safetensors) with a time_bins layer, in place of these")
    layer: str | None = Field(None, description="name of the time_bins layer in the model")

    @model_validator(mode="after")
    def _options_fit(self) -> TimeBinsConfig:
        if (self.model is None) != (self.layer is None):
            raise ValueError("model and layer belong together: give both or none")
        given = [name for name in ("bin_ms", "bins") if getattr(self, name) is not None]
        if (self.model is not None and given) or (self.model is None and len(given) < 2):
            raise ValueError(f"time_bins needs bin_ms and bins, or model and layer; got {' and '.join(given) or 'none of both'}"
                             f"{' beside a model' if self.model is not None and given else ''}")
        return self

    def check(self, upstream: Format) -> Format:
        return out_format(self._spec(upstream), upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], TimeBins]:
        if self.model is not None and self.layer is not None:
            return make(load_layer(self.model, self.layer, "time_bins"), upstream)
        return make(self._spec(upstream), upstream)

    def _spec(self, upstream: Format) -> TimeBinsSpec:
        if self.model is not None and self.layer is not None:
            return TimeBinsSpec(**read_layer(self.model, self.layer, "time_bins").settings)
        assert self.bin_ms is not None, "checked by _options_fit"
        assert self.bins is not None, "checked by _options_fit"
        return TimeBinsSpec(upstream.size, self.bins, round(self.bin_ms * 1000))


def out_format(spec: TimeBinsSpec, upstream: Format) -> Format:
    """What comes out; ValueError if `upstream` does not fit."""
    check_input("time_bins", spec.n_in, None, upstream)
    return dataclasses.replace(upstream, shape=spec.shape_out, rate_hz=None)


def make(spec: TimeBinsSpec, upstream: Format) -> Callable[[State | None], TimeBins]:
    """What `prepare` returns, for a spec at hand instead of a config."""
    out_format(spec, upstream)
    return lambda state: TimeBins(spec, upstream.kind == "graded", state)


class TimeBins:
    """The bins of one episode. State: `clock` (started, begin of the episode, time reached)."""

    def __init__(self, spec: TimeBinsSpec, graded: bool, state: State | None) -> None:
        self._spec, self._graded = spec, graded
        clock: list[int] = [0, 0, 0] if state is None else state["clock"].tolist()
        self._started, self._begin_us, self._end_us = clock

    def process(self, packet: Packet) -> Packet:
        if not self._started:
            self._started, self._begin_us = 1, packet.begin_us
        self._end_us = packet.end_us
        spec = self._spec
        bin = np.minimum((packet.t_us - self._begin_us) // spec.bin_us, spec.bins - 1)
        unit = (bin * spec.n_in + packet.unit).astype(np.uint32)
        t_us, value = packet.t_us, packet.value
        if ((t_us[1:] == t_us[:-1]) & (unit[1:] < unit[:-1])).any():
            order = np.lexsort((unit, t_us))
            t_us, unit, value = t_us[order], unit[order], None if value is None else value[order]
        return Packet(packet.begin_us, packet.end_us, t_us, unit, value)

    def finish(self) -> Packet:
        return Packet(self._end_us, self._end_us, value=NO_VALUES if self._graded else None)

    def snapshot(self) -> State:
        return {"clock": np.array([self._started, self._begin_us, self._end_us], np.int64)}
