"""polarity: keeps one polarity of an event camera, or folds both into one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from operators.event_filter import EventFilter
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format


def _unquoted(keep: Any) -> Any:
    """YAML 1.1 reads a bare `on` or `off` as a truth."""
    return {True: "on", False: "off"}[keep] if isinstance(keep, bool) else keep


class PolarityConfig(OperatorConfig):
    """Keeps the ON or the OFF events of an event camera, or folds both polarities into one channel.

    ON is index 1 of the first axis. `on` and `off` drop the other polarity, `merge` drops nothing and forgets which it was:
    shape (2, H, W) becomes (1, H, W). `both` changes nothing.

    Takes spikes or graded events (values go along) of shape (2, ...). Out come events of shape (1, ...), with `both` (2, ...),
    over the same interval. Counts are natural: an ON and an OFF event of one pixel stay two events. Times in microseconds.
    ValueError: a first axis that is not 2 long.

    Example: `{type: polarity, keep: merge}`
    """

    type: Literal["polarity"] = "polarity"
    keep: Annotated[Literal["both", "on", "off", "merge"], BeforeValidator(_unquoted)] = Field(
        "both", description="both: as they are; on, off: these events alone; merge: both as one channel"
    )

    def check(self, upstream: Format) -> Format:
        if upstream.kind == "decisions" or len(upstream.shape) < 2 or upstream.shape[0] != 2:
            raise ValueError(f"{self.type} takes spikes or graded events of shape (2, height, width), got {upstream}")
        return upstream if self.keep == "both" else dataclasses.replace(upstream, shape=(1, *upstream.shape[1:]))

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        from operators.kernels.polarity import polarity

        self.check(upstream)
        units, pixels = upstream.size, upstream.size // 2
        first, end, fold = {
            "both": (0, units, units), "on": (pixels, units, pixels), "off": (0, pixels, pixels), "merge": (0, units, pixels)
        }[self.keep]  # fmt: skip
        return lambda state: EventFilter(polarity, (first, end, fold), {}, state, graded=upstream.kind == "graded")
