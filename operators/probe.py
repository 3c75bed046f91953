"""probe: spikes go in; the same episode comes out disturbed, so that one sees what a network reads from its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format, Packet

REDRAWS = 50  # to find a free bin
AMOUNTS = {"relocate": "share", "delete": "share", "jitter": "sigma_ms", "unit_jitter": "sigma_ms", "reverse": None}


class ProbeConfig(OperatorConfig):
    """Holds an episode until it ends and gives it out disturbed: what a network does then tells what it reads from spikes.

        relocate      each spike moves, with probability `share`, to a random free bin of its unit: counts stay, timing goes
        jitter        each spike moves by N(0, sigma_ms), drawn again (50 times at most) until a bin of its unit is free
        unit_jitter   all spikes of a unit move by one N(0, sigma_ms), another for each unit: times between units go
        delete        each spike is dropped with probability `share`: timing stays, counts go
        reverse       the episode runs backwards: t -> begin + end - 1 us - t

    A bin is bin_ms of the episode; a spike keeps its place inside its bin. A spike that finds no free bin stays where it is; one
    that unit_jitter moves out of the episode is dropped. The random numbers of an episode follow from (seed, episode).

    In: spikes of any shape, times in us. Out: spikes of that shape, sorted; on no tick, but for delete. It is no
    filter for live use: nothing comes out before the episode ends, and it holds all of it.
    Errors: ValueError on graded events and decisions; an amount that belongs to another probe.

    Example: {type: probe, how: relocate, share: 0.5}

    Source: Yu, Sun, Goodman et al., "Beyond rate coding: surrogate gradients enable spike timing learning in spiking neural
    networks" (2025), the perturbations of section 2.
    """

    type: Literal["probe"] = "probe"
    how: Literal["relocate", "jitter", "unit_jitter", "delete", "reverse"] = Field(description="what is done to the spikes")
    share: float | None = Field(None, ge=0, le=1, description="of spikes that are relocated or deleted")
    sigma_ms: float | None = Field(None, ge=0, description="standard deviation of the jitters")
    bin_ms: float = Field(1.0, ge=0.001, description="length of a bin, which holds one spike of a unit")
    seed: int = Field(0, ge=0, description="of the random numbers")

    @model_validator(mode="after")
    def _amount_fits(self) -> ProbeConfig:
        for name in ("share", "sigma_ms"):
            if (getattr(self, name) is not None) != (AMOUNTS[self.how] == name):
                verb = "needs" if AMOUNTS[self.how] == name else "has no"
                raise ValueError(f"{self.how} {verb} {name}")
        return self

    def check(self, upstream: Format) -> Format:
        if upstream.kind != "spikes":
            raise ValueError(f"probe takes spikes, got {upstream}; put it behind what makes spikes of them")
        return Format("spikes", upstream.shape, upstream.tick_us if self.how == "delete" else None, names=upstream.names)

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        self.check(upstream)
        return lambda state: Probe(self, state)


class Probe:
    """Holds the episode. State: its events so far, `clock` (started, begin, end, episode)."""

    def __init__(self, config: ProbeConfig, state: State | None) -> None:
        self._config = config
        self._t_us = [np.empty(0, np.int64)] if state is None else [state["t_us"].copy()]
        self._unit = [np.empty(0, np.uint32)] if state is None else [state["unit"].copy()]
        clock: list[int] = [0, 0, 0, 0] if state is None else state["clock"].tolist()
        self._started, self._begin_us, self._end_us, self._episode = clock

    def process(self, packet: Packet) -> Packet:
        if not self._started:
            self._started, self._begin_us, self._episode = 1, packet.begin_us, packet.episode
        self._t_us.append(packet.t_us)
        self._unit.append(packet.unit)
        self._end_us = packet.end_us
        return Packet(self._begin_us, self._begin_us)

    def finish(self) -> Packet:
        begin_us, end_us = self._begin_us, self._end_us
        rng = np.random.default_rng([self._config.seed, self._episode])
        t_us, unit = np.concatenate(self._t_us), np.concatenate(self._unit)
        t_us, unit = disturbed(self._config, t_us - begin_us, unit, end_us - begin_us, rng)
        order = np.lexsort((unit, t_us))
        return Packet(begin_us, end_us, t_us[order] + begin_us, unit[order])

    def snapshot(self) -> State:
        clock = [self._started, self._begin_us, self._end_us, self._episode]
        return {"t_us": np.concatenate(self._t_us), "unit": np.concatenate(self._unit), "clock": np.array(clock, np.int64)}


def disturbed(config: ProbeConfig, t_us: np.ndarray, unit: np.ndarray, length_us: int,
              rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The events, t_us (n,) in [0, length_us) and unit (n,), disturbed as `config` says; in no order."""
    if config.how == "reverse":
        return length_us - 1 - t_us, unit
    if config.how == "delete":
        kept = rng.random(t_us.size) >= (config.share or 0.0)
        return t_us[kept], unit[kept]
    sigma_us = (config.sigma_ms or 0.0) * 1000
    if config.how == "unit_jitter":
        shift = np.rint(rng.normal(0, sigma_us, int(unit.max(initial=0)) + 1)).astype(np.int64)
        moved = t_us + shift[unit]
        kept = (moved >= 0) & (moved < length_us)
        return moved[kept], unit[kept]
    bin_us = round(config.bin_ms * 1000)
    if config.how == "relocate":
        chosen = np.flatnonzero(rng.random(t_us.size) < (config.share or 0.0))
        bins = max(1, length_us // bin_us)
        anywhere = lambda t: rng.integers(0, bins, t.size) * bin_us + t % bin_us  # noqa: E731
        return _moved(t_us, unit, chosen, bin_us, length_us, anywhere), unit
    nearby = lambda t: t + np.rint(rng.normal(0, sigma_us, t.size)).astype(np.int64)  # noqa: E731
    return _moved(t_us, unit, np.arange(t_us.size), bin_us, length_us, nearby), unit


def _moved(t_us: np.ndarray, unit: np.ndarray, chosen: np.ndarray, bin_us: int, length_us: int,
           propose: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The times once the `chosen` spikes have moved where `propose` says: to bins of their unit that no other spike holds."""
    cells_a_unit = length_us // bin_us + 1
    place, t_us = unit.astype(np.int64) * cells_a_unit, t_us.copy()
    staying = np.ones(t_us.size, bool)
    staying[chosen] = False
    taken = np.unique((place + t_us // bin_us)[staying])
    left = chosen
    for _ in range(REDRAWS):
        if not left.size:
            break
        proposed = propose(t_us[left])
        cell = place[left] + proposed // bin_us
        good = (proposed >= 0) & (proposed < length_us) & ~np.isin(cell, taken)
        first = np.zeros(left.size, bool)
        first[np.unique(cell, return_index=True)[1]] = True
        # Of several that want one cell the first gets it, unless it is out of bounds itself.
        good &= first
        t_us[left[good]] = proposed[good]
        taken = np.union1d(taken, cell[good])
        left = left[~good]
    return t_us
