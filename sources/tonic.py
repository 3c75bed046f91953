"""Any data set of the package tonic: each of its samples, a structured array of events, comes out as one labelled episode."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, Source, State
from pipeline.packet import Format
from sources.cut import Events
from sources.samples import Sample, SampledConfig, Samples


class TonicConfig(SampledConfig):
    """A data set class of the package tonic (an extra, GPL-3.0, imported on use), such as NMNIST, SHD or DVSGesture.

    Out: spikes, times in us as tonic gives them: of shape (2, height, width), ON is index 1, where the class's sensor_size is
    (width, height, 2), of (channels,) where it is (channels, 1, 1), or of `shape`. Each sample is an episode from 0 to 1 us after
    its last event, or to `end_ms`; events that are not in order of time are put in order. Format.names are the class's `classes`
    when these are texts; a packet's label is the sample's target where that is a number, or its place among the names.
    tonic downloads what is missing to `save_to` when the run begins; `options` go to the class as they are.

    Errors: without tonic; a name that tonic.datasets does not have; a class that does not tell its sensor_size (set `shape`);
    items that are no structured arrays with t and x; an event outside of the shape.

    Example: {type: tonic, dataset: NMNIST, save_to: data, options: {train: false}, limit: 100}

    Source: Lenz et al. 2021, "Tonic: event-based datasets and transformations".
    """

    type: Literal["tonic"] = "tonic"
    dataset: str = Field(pattern=r"^[A-Za-z_]\w*$", description="name of the class in tonic.datasets")
    save_to: FilePath = Field(description="the folder that holds the data, or gets them")
    options: dict[str, Any] = Field(default_factory=dict, description="further arguments of the class, such as train: false")
    shape: tuple[int, ...] | None = Field(None, min_length=1, description="of the events: (2, height, width) or (channels,)")
    end_ms: float | None = Field(
        None, gt=0, description="length of every episode, filled with silence or cut off; none: as recorded"
    )

    def check(self) -> Format:
        cls = self.dataset_class()
        names = getattr(cls, "classes", ())
        named = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
        return Format("spikes", self.shape or _shape(self.dataset, cls), names=tuple(names) if named else ())

    def prepare(self) -> Callable[[State | None], Source]:
        format, cls = self.check(), self.dataset_class()
        try:
            data = cls(save_to=str(self.save_to), **self.options)
        except Exception as error:  # whatever another's code and its downloads raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ValueError(f"tonic's {self.dataset} cannot be opened in {self.save_to} ({reason[:200]})") from None
        if not len(data):
            raise ValueError(f"tonic's {self.dataset} in {self.save_to} has no samples")
        return lambda state: Samples(self, format, partial(_TonicReader, self, data, format), state)

    def dataset_class(self) -> Any:
        try:
            from tonic import datasets
        except ImportError:
            raise ValueError("source tonic needs the package tonic: pip install tonic (or the extra spikeline[train])") from None
        if not isinstance(cls := getattr(datasets, self.dataset, None), type):
            known = ", ".join(name for name in dir(datasets) if isinstance(getattr(datasets, name), type))
            raise ValueError(f"tonic has no data set {self.dataset}; it has {known}")
        return cls


class _TonicReader:
    """The samples of a data set; what its items are is checked here, one by one."""

    def __init__(self, config: TonicConfig, data: Any, format: Format) -> None:
        self._name, self._data, self._format = config.dataset, data, format
        self._end_us = None if config.end_ms is None else max(1, round(config.end_ms * 1000))
        self._last: tuple[int, Any] = (-1, None)
        self.fingerprint = f"{config.dataset} {len(data)} {sorted(config.options.items())}".encode()

    def __len__(self) -> int:
        return len(self._data)

    def label(self, index: int) -> int:
        target = self._item(index)[1]
        if isinstance(target, str):
            return self._format.names.index(target) if target in self._format.names else -1
        whole = isinstance(target, int | np.integer) and not isinstance(target, bool)
        return int(target) if whole and -1 <= int(target) < (len(self._format.names) or 1 << 31) else -1

    def read(self, index: int) -> Sample:
        events = self._item(index)[0]
        names = getattr(getattr(events, "dtype", None), "names", None) or ()
        where = f"tonic's {self._name}: sample {index}"
        if not {"t", "x"} <= set(names) or events.ndim != 1:
            raise ValueError(f"{where} is no structured array of events with fields t and x, but {type(events).__name__}")
        places = [np.asarray(events["x"]).astype(np.int64)]
        if len(self._format.shape) == 3:
            rows = events["y"] if "y" in names else np.zeros(len(events))
            signs = events["p"] if "p" in names else np.zeros(len(events))
            places = [(np.asarray(signs) > 0).astype(np.int64), np.asarray(rows).astype(np.int64), *places]
        for place, length, axis in zip(places, self._format.shape, ("p", "y", "x")[-len(places) :], strict=True):
            if place.size and not 0 <= place.min() <= place.max() < length:
                raise ValueError(f"{where} has an event at {axis}={place.max()}, outside of {self._format}: set shape")
        t_us = np.rint(events["t"]).astype(np.int64)
        if t_us.size and t_us.min() < 0:
            raise ValueError(f"{where} has an event at {t_us.min()} us, before its begin")
        order = np.argsort(t_us, kind="stable")
        unit = np.ravel_multi_index(tuple(places), self._format.shape) if t_us.size else np.empty(0, np.int64)
        return Sample(Events(t_us[order], unit[order].astype(np.uint32)), self._end_us)

    def about(self, index: int) -> dict[str, str]:
        return {}

    def close(self) -> None:
        pass

    def _item(self, index: int) -> Any:
        if self._last[0] != index:
            item = self._data[index]
            if not isinstance(item, tuple) or len(item) != 2:
                raise ValueError(f"tonic's {self._name}: sample {index} is no pair of events and target")
            self._last = index, item
        return self._last[1]


def _shape(name: str, cls: Any) -> tuple[int, ...]:
    size = getattr(cls, "sensor_size", None)
    if not isinstance(size, tuple) or len(size) != 3 or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(f"tonic's {name} does not tell its sensor_size: set shape, as in shape: [2, 180, 240]")
    width, height, polarities = size
    return (width,) if height == polarities == 1 else (2, height, width)
