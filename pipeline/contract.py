"""The contracts of sources, operators and sinks, and of the configs that make them: the rules in words and types.

Rules that no type can express, each tested for every component by tests/contract.py:

* Re-cutting a recording into other packets changes no bit of the output. State moves only at a tick (or microsecond) with input.
* A snapshot is a detached copy, valid between two packets; a new object made from it goes on bit for bit.
* Outputs of an operator meet: each begins where the one before ended; the first begins where the first input does
  (layers on a tick: at floor(begin/tick)*tick). Events come out sorted by (t_us, unit).
* An input packet is never edited. The stage, not the operator, copies episode, label, lost, barrier and last.
* After `finish` an operator is thrown away: a new episode starts with a newly made one.
* A config file's kernels and heavy libraries (numba, pyarrow, h5py) are imported inside `prepare`, never at the top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from pipeline.packet import Format, Packet

State = dict[str, np.ndarray]  # saved without pickle; the keys are the format
GREATEST_MS = 1e12  # of an option in ms, 31 years: in us it stays far inside an int64


class Source(Protocol):
    """Hands out the packets of a stream, each beginning where the one before ended."""

    format: Format

    def packets(self) -> Iterator[Packet | None]: ...  # live: a packet, empty if need be, at least every heartbeat_ms;
    # None where it would have to be empty and no episode is under way. Sources that replay never hand out None.
    def snapshot(self) -> State: ...  # the position AFTER the last packet handed out
    def close(self) -> None: ...


class Operator(Protocol):
    """Turns packets into packets."""

    def process(self, packet: Packet) -> Packet: ...  # may hold events back; fills interval and events only
    def finish(self) -> Packet: ...  # the episode is over: gives out what is still held
    def snapshot(self) -> State: ...  # a detached copy, valid between two packets


class Sink(Protocol):
    """Puts packets somewhere for good."""

    def write(self, packet: Packet) -> None: ...  # returns once written
    def snapshot(self) -> State: ...  # byte offset, counts: a resume neither repeats nor skips
    def close(self) -> None: ...


@runtime_checkable
class Reporting(Protocol):
    """What a source, operator or sink may offer besides: figures for the run's summary and metrics, JSON values by name."""

    def report(self) -> dict[str, Any]: ...


@runtime_checkable
class Waiting(Protocol):
    """What a live source offers besides: for how long in all it has waited for its sender, which is no work. Seconds."""

    waited_s: float


class CommandLineText(str):
    """A text given on the command line: a path in it is relative to the current folder, not to the YAML file."""


def _resolve(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str | Path) or not str(value):
        return value
    folder = (info.context or {}).get("folder")
    path = Path(value).expanduser()
    if folder is None or isinstance(value, CommandLineText) or path.is_absolute():
        return str(path)  # as a text: a config read from JSON takes no Path
    return str(Path(folder) / path)


FilePath = Annotated[Path, BeforeValidator(_resolve)]
"""A path option: relative to the YAML file that holds it, or to the current folder when given on the command line."""


class WrittenInt(int):
    """A whole number that knows how it was written: an environment variable may hold one or a password of digits."""

    text: str


class WrittenFloat(float):
    """The same for other numbers."""

    text: str


def _as_written(value: Any) -> Any:
    if isinstance(value, WrittenInt | WrittenFloat):
        return value.text
    if isinstance(value, int | float):
        raise ValueError("must be text: put it between quotes")  # without the value, which may be secret
    return value


Secret = Annotated[str, BeforeValidator(_as_written)]
"""A text that no error shows. Digits from ${env:NAME} are text here. Give the field repr=False."""


class Config(BaseModel):
    """What every config shares: frozen, and an unknown option is an error. Option names carry their unit."""

    # deferred: a validator is built at its first use, so that a run does not build those of the whole catalog
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True, defer_build=True)

    @field_validator("*")
    @classmethod
    def _within_reach(cls, value: Any, about: ValidationInfo) -> Any:
        if (about.field_name or "").endswith("_ms"):
            for number in value if isinstance(value, tuple | list) else (value,):
                if isinstance(number, int | float) and abs(number) > GREATEST_MS:
                    raise ValueError(f"must be at most {GREATEST_MS:g} ms, got {number:g}")
        return value


class SourceConfig(Config):
    """The options of a source. `type` is its tag."""

    type: str

    def check(self) -> Format:
        """What comes out, or a ValueError that says what is wrong. Reads headers and folder listings, no events."""
        raise NotImplementedError

    def prepare(self) -> Callable[[State | None], Source]:
        """Once a stage: opens files, compiles kernels. The function returned makes a source from the start or from a snapshot."""
        raise NotImplementedError


class ReplayConfig(SourceConfig):
    """The options of every source that replays or simulates, so that the stage may set its pace."""

    packet_ms: float = Field(10.0, gt=0, description="length of a packet")
    max_events: int = Field(65536, ge=1, description="most events a packet: cut before the microsecond that exceeds it")
    pace: Literal["realtime", "fast"] | Annotated[float, Field(gt=0)] = Field(
        "fast", description="realtime, fast (as fast as the pipeline takes it), or a factor of real time"
    )
    gap_ms: float = Field(0.0, ge=0, description="pause between two episodes, in time of the stream; kept when paced")
    spin_us: float = Field(
        0.0, ge=0, description="time before a packet is due that passes in looking at the clock: on time to the us, for a core"
    )

    @property
    def packet_us(self) -> int:
        return max(1, round(self.packet_ms * 1000))


class OperatorConfig(Config):
    """The options of an operator. `type` is its tag."""

    type: str

    def check(self, upstream: Format) -> Format:
        """What comes out, or a ValueError that says what fits. Reads no file but the card of a model that it names."""
        raise NotImplementedError

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        """Once a stage: reads files, compiles kernels. The function returned makes an operator, with no I/O,
        from nothing (None: start, new episode) or from a snapshot (resume). One door."""
        raise NotImplementedError


class SinkConfig(Config):
    """The options of a sink. `type` is its tag."""

    type: str

    def check(self, upstream: Format) -> None:
        """A ValueError that says what fits, unless the sink can take this stream."""
        raise NotImplementedError

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        """Once a stage. `stream` is the pipeline's name. The function returned makes a sink: from None it starts anew
        (a file is replaced), from a snapshot it goes on where that was taken."""
        raise NotImplementedError
